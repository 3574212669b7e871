"""Programs in an environment of .tools: its own packages first, then what the devkit needs from the project's."""

from __future__ import annotations

import os
import subprocess
import sysconfig

from tests.building import ROOT

_FOLDERS = ("", "layers/rollout/python", "functions/rollout", "functions/console")
_ROLLOUT = f"""
import sys
sys.path.append({sysconfig.get_path("purelib")!r})
from devkit.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def python_in(name, code, *arguments, **environ):
    """Run a program with the packages of .tools/NAME."""
    known = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in _FOLDERS),
        **environ,
    }
    return subprocess.run(
        [ROOT / ".tools" / name / "bin/python", "-c", code, *map(str, arguments)],
        env=known, capture_output=True, text=True, check=False,
    )  # fmt: skip


def rollout_in(name, *arguments, **environ):
    """Run the project's command line there."""
    return python_in(name, _ROLLOUT, *arguments, **environ)
