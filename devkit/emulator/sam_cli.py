"""Runs SAM CLI on the stack, with the user's environments wherever they are."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from devkit.emulator.sam_templates import ARCHITECTURE, prepare
from devkit.places import ROOT, SHIPPED, TEMPLATE, repository, samconfig

_PATHS = re.compile(r"^( +(?:CodeUri|ContentUri|ContextPath): )([\w./-]+)$", re.MULTILINE)
_PYTHON = "python3.13"  # Lambda's; the layers' Makefiles call its pip


def template() -> Path:
    """The template to build from: the project's, or a copy in the user's repository.

    The copy names every folder in full: the project's where it is installed, the user's environments
    where they are. So ``sam build`` itself sees a change of either, its cache too. It is written anew
    each time, and belongs to one machine.
    """
    root = repository()
    if root == ROOT:
        return TEMPLATE

    def absolute(match: re.Match[str]) -> str:
        base = root if match[2] == "environments" else ROOT
        return match[1] + json.dumps(str(base / match[2]))

    copy = build_folder() / "rollout.yaml"
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(_PATHS.sub(absolute, TEMPLATE.read_text()))
    return copy


def build_folder() -> Path:
    """Where what is built goes: a folder for each architecture."""
    return repository() / ".aws-sam"


def build(architecture: str) -> int:
    """Build functions and layers for an architecture; returns SAM's exit code.

    Raises:
        ValueError: SAM CLI or Python 3.13 is missing.
    """
    place = build_folder()
    _forget_what_was_built_against_others(place)
    failed = run(
        "build",
        *("--template-file", str(template())),
        *("--build-dir", str(place / architecture)),
        *("--cached", "--cache-dir", str(place / "cache")),
        *("--config-file", str(samconfig())),
        *("--parameter-overrides", f"Architecture={architecture}"),
    )
    if not failed and architecture == ARCHITECTURE:
        prepare(place / architecture)  # what sam local takes on this machine
    return failed


def _forget_what_was_built_against_others(place: Path) -> None:
    """Empty SAM's cache where a new release brings other pins: it looks at a layer's own folder alone."""
    against = hashlib.sha256(SHIPPED.read_bytes())
    for name in ("Makefile", "leave_out.py"):
        against.update((ROOT / "layers" / "environments" / name).read_bytes())
    file = place / "built-against"
    if not file.exists() or file.read_text() != against.hexdigest():
        shutil.rmtree(place / "cache", ignore_errors=True)
        place.mkdir(exist_ok=True)
        file.write_text(against.hexdigest())


def run(*arguments: str) -> int:
    """Run SAM CLI in the user's repository; returns its exit code.

    Raises:
        ValueError: SAM CLI or Python 3.13 is missing.
    """
    # What this process imports is not for SAM's own Python.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["PATH"] = os.pathsep.join([str(_python()), environ.get("PATH", "")])
    command = [_program(), *arguments]
    return subprocess.run(command, cwd=repository(), env=environ, check=False).returncode  # noqa: S603 - SAM CLI


def _program() -> str:
    ours = ROOT / ".tools/sam/bin/sam"
    found = str(ours) if ours.exists() else shutil.which("sam")
    if found is None:
        raise ValueError(
            "SAM CLI is not on PATH; install it in an environment of its own, for example with "
            "pipx install aws-sam-cli"
        )
    return found


def _python() -> Path:
    """The folder of a Python 3.13 that has pip; a bare virtual environment's may have none.

    Raises:
        ValueError: there is none.
    """
    base = Path(str(getattr(sys, "_base_executable", sys.executable)))
    places = [Path(sys.executable).parent, base.parent, base.resolve().parent]
    on_path = shutil.which(_PYTHON)
    for place in [*places, *([Path(on_path).parent] if on_path else [])]:
        asked = [str(place / _PYTHON), "-m", "pip", "--version"]
        with suppress(OSError):
            if subprocess.run(asked, capture_output=True, check=False).returncode == 0:  # noqa: S603 - a Python
                return place
    raise ValueError(
        f"sam build needs {_PYTHON} with pip on PATH, Lambda's version; none was found"
    )
