"""Bounds that tell a hang or a flood of memory from a slow machine: a process of its own, limited."""

from __future__ import annotations

import subprocess
import sys

# What runs away takes minutes or gigabytes; these are far from both, and from what is normal.
SECONDS, MEMORY = 60, 2 << 30
_LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_AS, ({0}, {0}))\n"


def limited(code: str, *, seconds: float = SECONDS, memory: int = MEMORY) -> str:
    """Run Python code in a process of bounded time and address space; return what it printed.

    Raises:
        AssertionError: it took too long, or died; with its last words.
    """
    command = [sys.executable, "-W", "error", "-"]
    given = _LIMIT.format(memory) + code
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"not done after {seconds} s") from None
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return done.stdout
