"""Runs a Python program that the policy wrote, in a child process with as little as possible.

::

    box = Sandbox(seconds=5)
    reply = episode.converse(question, tools=[box.python])

The child has an empty environment and a folder of its own. Before the first line of the program it has
given up (:mod:`rollout.sandbox_child`) time, memory and files over its limits; by a seccomp filter
("calls") processes, sockets, signals to others, tracing and more; and, where the kernel has Landlock
("files"), all files but Python's own and its folder. This process hides its own environment, where a
function's credentials are, from others of the same user.

docs/environments/code.md says what this does not protect from. A program that never ends, or is killed
for what it took, is the policy's doing and no outage; a child that cannot be started or guarded is
``ToolBroken``.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from rollout.errors import ToolBroken, ToolRefused

Ended = Literal["exit", "time", "output", "disk", "signal"]

_CHILD = str(Path(__file__).with_name("sandbox_child.py"))
_PR_SET_DUMPABLE = 4
# Seconds between two looks at the folder, and at a child that has closed its outputs.
_LOOK = 0.05
# Files and folders that a program may make.
_MOST_FILES = 1_000
# Seconds a child has to begin.
_STARTING = 10.0
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Run:
    """What a program came to.

    Args:
        stdout: text, as far as the limit goes.
        stderr: the same; a traceback stands here.
        code: exit status; negative for the signal that ended it.
        ended: by itself, or by the limit that it met.
        files: what was to be kept, by name.
        guards: what was in force: ``limits``, ``files``, ``calls``.
        seconds: from its start to its end.
    """

    stdout: str
    stderr: str
    code: int
    ended: Ended
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    guards: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        """Whether it ended by itself and without an error."""
        return self.ended == "exit" and self.code == 0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The limits of programs.

    Args:
        seconds: from start to end, and of CPU.
        memory: bytes of address space; Python takes some 30 MB.
        output: bytes of stdout and of stderr; one more ends the program.
        disk: bytes it may write in its folder; 0: it writes no file anywhere.
        require: guards without which nothing is run; see :class:`Run`. ``()`` on a system without
            seccomp, for programs that are trusted.
        packages: folders of packages it may import beside the standard library.
    """

    seconds: float = 5.0
    memory: int = 256_000_000
    output: int = 64_000
    disk: int = 0
    require: tuple[str, ...] = ("calls",)
    packages: tuple[str, ...] = ()

    def python(self, code: str) -> str:
        """Run a Python 3 program and read what it prints. Nothing is kept from one run to the next.

        Args:
            code: the whole program; print what is to be seen.
        """
        run = self.run(code)
        if run.well:
            return run.stdout
        raise ToolRefused("\n".join(filter(None, (run.stdout, run.stderr, self._why(run)))))

    def run(
        self,
        code: str,
        *,
        stdin: str = "",
        files: Mapping[str, bytes | str] | None = None,
        keep: Sequence[str] = (),
    ) -> Run:
        """Run a program to its end.

        Args:
            code: Python source.
            stdin: what it reads from standard input.
            files: put into its folder first, by name.
            keep: names of files in its folder to be returned, of at most ``disk`` bytes; a link is none.

        Raises:
            ToolBroken: the child could not be started or guarded.
        """
        source = code.encode("utf-8", "replace")
        hide_environment()
        try:
            folder = Path(tempfile.mkdtemp(prefix="rollout-"))
        except OSError as error:
            raise ToolBroken(f"No folder for a program ({type(error).__name__}).") from error
        try:
            for name, content in (files or {}).items():
                data = content.encode() if isinstance(content, str) else content
                (folder / _plain(name)).write_bytes(data)
            given = source + stdin.encode("utf-8", "replace")
            run = _Child(self, folder, given, len(source)).play()
            kept = {name: _read(folder, name, self.disk) for name in map(_plain, keep)}
            found = {name: data for name, data in kept.items() if data is not None}
            return Run(
                *(run.stdout, run.stderr, run.code, run.ended, found, run.guards, run.seconds)
            )
        finally:
            remove(folder)

    def _why(self, run: Run) -> str:
        if run.ended == "exit":
            return f"The program ended with status {run.code}."
        limits = {
            "time": f"it had not ended after {self.seconds:g} s",
            "output": f"it wrote more than {self.output} bytes",
            "disk": f"its files took more than {self.disk} bytes, or were more than {_MOST_FILES}",
            "signal": f"signal {-run.code}, for example for what it took of time or memory",
        }
        return f"The program was stopped: {limits[run.ended]}."


def hide_environment() -> None:
    """Keep other processes of this user from reading this one's environment and memory (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class _Child:
    """One child from its start to its end."""

    def __init__(self, box: Sandbox, folder: Path, given: bytes, size: int) -> None:
        self._box = box
        self._folder = folder
        self._given = given
        self._size = size
        self._read: dict[str, bytearray] = {
            "stdout": bytearray(), "stderr": bytearray(), "status": bytearray(),
        }  # fmt: skip

    def play(self) -> Run:
        status, told = os.pipe()
        began = time.monotonic()
        try:
            child = self._start(told)
        except OSError as error:
            os.close(status)
            raise ToolBroken(f"A program could not be started ({type(error).__name__}).") from error
        finally:
            os.close(told)
        try:
            with os.fdopen(status, "rb", buffering=0) as guards:
                ended = self._watch(child, guards, began)
        finally:
            _kill(child)
        self._check(ended)
        code = child.returncode
        if ended == "exit" and code < 0:
            ended = "signal"
        return Run(
            self._text("stdout"),
            self._text("stderr"),
            code,
            ended,
            guards=tuple(json.loads(self._read["status"])),
            seconds=round(time.monotonic() - began, 3),
        )

    def _start(self, told: int) -> subprocess.Popen[bytes]:
        box = self._box
        asked = {
            "seconds": box.seconds, "memory": box.memory, "disk": box.disk, "size": self._size,
            "require": box.require, "packages": box.packages, "status": told,
        }  # fmt: skip
        folder = str(self._folder)
        return subprocess.Popen(  # noqa: S603 - our own script; its argument holds numbers and paths
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", _CHILD, json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={"HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
            pass_fds=(told,),
            start_new_session=True,
            close_fds=True,
            bufsize=0,
        )

    def _watch(self, child: subprocess.Popen[bytes], guards: IO[bytes], began: float) -> Ended:
        """Feed and read the child until it ends or meets a limit."""
        with selectors.DefaultSelector() as ready:
            for name, pipe in (
                ("stdout", child.stdout), ("stderr", child.stderr), ("status", guards),
            ):  # fmt: skip
                _register(ready, pipe, selectors.EVENT_READ, name)
            _register(ready, child.stdin, selectors.EVENT_WRITE, "stdin")
            until, begun = began + _STARTING, False
            while True:
                gone = child.poll() is not None
                for key, _ in ready.select(0 if gone else _LOOK):
                    self._move(ready, key)
                if any(len(self._read[n]) > self._box.output for n in ("stdout", "stderr")):
                    return "output"
                if self._box.disk and _taken(self._folder, self._box.disk):
                    return "disk"
                if gone:
                    return "exit"
                if self._read["status"] and not begun:  # what Python takes to start is not its time
                    until, begun = time.monotonic() + self._box.seconds, True
                if time.monotonic() > until:
                    return "time"
                if not ready.get_map():
                    time.sleep(_LOOK)

    def _move(self, ready: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        """Move what one pipe has room or bytes for; forget the pipe at its end."""
        pipe: Any = key.fileobj
        try:
            if key.data == "stdin":
                self._given = self._given[os.write(pipe.fileno(), self._given[:_CHUNK]) :]
                over = not self._given
            else:
                data = os.read(pipe.fileno(), _CHUNK)
                self._read[key.data] += data
                over = not data
        except BlockingIOError:
            return
        except OSError:
            over = True
        if over:
            ready.unregister(pipe)
            pipe.close()

    def _check(self, ended: Ended) -> None:
        told = bytes(self._read["status"])
        guards: list[str] = json.loads(told) if told else []
        if not told:
            raise ToolBroken(f"A program's process did not begin ({ended}).")
        if missing := sorted(set(self._box.require) - set(guards)):
            raise ToolBroken(f"This system cannot guard a program: it has no {', '.join(missing)}.")

    def _text(self, name: str) -> str:
        return bytes(self._read[name][: self._box.output]).decode("utf-8", "replace")


def _register(ready: selectors.BaseSelector, pipe: Any, event: int, name: str) -> None:
    os.set_blocking(pipe.fileno(), False)
    ready.register(pipe, event, name)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever stands in its process group."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def _plain(name: str) -> str:
    """A file's name in the folder itself.

    Raises:
        ToolRefused: it leads elsewhere.
    """
    if not name or name != Path(name).name or name in (".", ".."):
        raise ToolRefused(f"{name[:64]!r} is not the name of a file in the program's folder")
    return name


def _read(folder: Path, name: str, most: int) -> bytes | None:
    """A file that the program left; None where there is none, or something else of that name."""
    try:
        # Not through a link: it could name what this process may read and the program may not.
        found = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(found, most) if stat.S_ISREG(os.fstat(found).st_mode) else None
    finally:
        os.close(found)


def _taken(folder: Path, most: int) -> bool:
    """Whether a folder holds more than it may; stops counting where it does."""
    size = files = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                    if size > most or files > _MOST_FILES:
                        return True
        except OSError:
            continue  # gone, closed or too deep: what counts is what is there at the next look
    return False


def remove(folder: Path) -> None:
    """Remove a folder that somebody hostile has filled: closed, nested deep, full of links.

    What is nested is moved up, so that neither paths nor recursion grow with the depth.
    """
    number = 0
    for _ in range(1_000_000):  # each step removes something
        try:
            folder.chmod(0o700)
            entries = [Path(entry) for entry in os.scandir(folder)]
        except OSError:
            return
        if not entries:
            break
        for entry in entries:
            if entry.is_symlink() or not entry.is_dir():
                entry.unlink()
                continue
            entry.chmod(0o700)
            for inner in list(entry.iterdir()):
                number += 1
                inner.rename(folder / f".moved-{number}")
            entry.rmdir()
    shutil.rmtree(folder, ignore_errors=True)
