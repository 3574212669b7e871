"""A command that asks its questions on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

# A question as click asks it: its text, what it proposes, and the cursor behind.
_QUESTION = re.compile(r"([^\r\n]*) \[([^\r\n]*)\]: $")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def with_enter_alone(
    command: list[str], folder: Path, environ: dict[str, str], longest: float = 300.0
) -> tuple[int, str, list[tuple[str, str]]]:
    """Run a command in a folder and answer every question with Enter.

    Returns:
        Its exit code, all it said, and the questions: text, and what was proposed.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environ},
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    until = time.monotonic() + longest
    said, read, questions = b"", 0, []
    try:
        while True:
            text = _COLOUR.sub("", said.decode(errors="replace"))
            assert time.monotonic() < until, text
            if asked := _QUESTION.search(text, read):
                questions.append((asked[1].strip(), asked[2]))
                assert len(questions) < 200, text  # asked the same again and again
                read = len(text)
                os.write(ours, b"\n")
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(ours, 65_536)
            except OSError:  # Linux's way to say that nobody holds the other end
                break
            said += data
        return process.wait(30), text, questions
    finally:
        process.kill()
        process.wait()
        os.close(ours)
