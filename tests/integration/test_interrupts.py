"""Ctrl-C on a real terminal, where every process of the foreground gets it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from devkit.places import dataset_of
from tests.building import ROOT

CALCULATOR = "environments.calculator:calculator"
CTRL_C = b"\x03"
_LONGEST = 120.0
# A turn that would hold up any process that waited for it.
_SLEEPER = """
import pathlib, time

def policy(asked):
    pathlib.Path({!r}).touch()
    time.sleep(600)
"""
# Takes the terminal as the one its process group is in the foreground of, then becomes the command.
_FOREGROUND = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "devkit", *sys.argv[1:]])
"""


class Terminal:
    """A command in a session of its own, with a terminal."""

    def __init__(self, *command, **environ):
        self.said = b""
        self._until = time.monotonic() + _LONGEST
        self._terminal, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _FOREGROUND, *command],
            cwd=ROOT, env={**os.environ, **environ}, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def read(self, until=lambda _: False):
        """Read until a condition holds or the command has closed its terminal."""
        while not until(self.said):
            assert time.monotonic() < self._until, self.said.decode(errors="replace")
            if not select.select([self._terminal], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._terminal, 65_536)
            except OSError:  # Linux's way to say that nobody holds the other end
                return
            if not data:
                return
            self.said += data

    def press(self, keys):
        os.write(self._terminal, keys)

    def ended(self):
        """The exit code, once the command and all it started have let go of the terminal."""
        self.read()
        os.close(self._terminal)
        return self.process.wait(timeout=_LONGEST)


@pytest.fixture
def terminal():
    opened = []

    def start(*command, **environ):
        opened.append(Terminal(*command, **environ))
        return opened[-1]

    yield start
    for each in opened:
        with suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)


def test_a_durable_rehearsal_ends_though_its_policy_still_thinks(tmp_path, terminal):
    run, asked = tmp_path / "run", tmp_path / "asked"
    (tmp_path / "sleeper.py").write_text(_SLEEPER.format(str(asked)))
    shown = terminal(
        "rehearse", str(dataset_of(CALCULATOR)), "--agent", CALCULATOR, "--limit", "1",
        "--group-size", "2", "--policy", "sleeper:policy", "--mode", "durable", "--run", str(run),
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    )  # fmt: skip
    shown.read(lambda _: asked.exists())
    shown.press(CTRL_C)
    shown.read(lambda said: b"Stopping" in said)
    shown.press(CTRL_C)
    assert shown.ended() == 130
    assert b"Traceback" not in shown.said
    assert f"--run {run}".encode() in shown.said.replace(b"\r\n", b"")


def test_a_stack_with_the_durable_worker_stops_serving(terminal):
    shown = terminal("run", "--durable", "--port", "0", "--limit", "1", "--group-size", "1")
    shown.read(lambda said: b"Ctrl-C stops" in said)
    shown.press(CTRL_C)
    assert shown.ended() == 0
    assert b"Traceback" not in shown.said
