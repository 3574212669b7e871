"""``rollout lock``: pin what your environments need, with hashes and against what the stack ships."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.places import ROOT, SHIPPED, repository


def register(commands: Any) -> None:
    """Add ``lock`` to the command line."""
    lock = commands.add_parser(
        "lock", help="environments/requirements.in to requirements.txt, pinned and hashed"
    )
    lock.add_argument("--upgrade", action="store_true", help="to the newest versions")
    lock.set_defaults(command=_lock)


def _lock(options: argparse.Namespace, console: Console) -> int:
    folder = repository() / "environments"
    if not (folder / "requirements.in").is_file():
        console.print(f"[red]{folder / 'requirements.in'} is missing;[/red] write names into it.")
        return 2
    places = [ROOT / ".tools/uv/bin/uv", Path(sys.executable).with_name("uv")]
    uv = next((str(place) for place in places if place.exists()), shutil.which("uv"))
    if uv is None:
        console.print("[red]uv is not on PATH;[/red] install it, for example with pip install uv.")
        return 2
    command = [
        uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header",
        "--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.13",
        "--constraint", str(SHIPPED), "requirements.in", "--output-file", "requirements.txt",
        *(["--upgrade"] if options.upgrade else []),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, check=False)  # noqa: S603 - uv
    if done.returncode == 0:
        console.print("wrote environments/requirements.txt", highlight=False)
        console.print("Next: pip install -r environments/requirements.txt", highlight=False)
    return done.returncode
