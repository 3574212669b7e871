"""The ``rollout`` command: play, rehearse and look after a rollout stack from a laptop."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from devkit.commands import (
    check,
    console,
    drain,
    export,
    new,
    probe,
    rehearse,
    report,
    rescore,
    run,
    train,
)

# Each registers its commands; a command takes the parsed options and a console, returns the exit code.
_COMMANDS = (run, rehearse, train, probe, report, rescore, export, check, console, new, drain)

_ROOT = Path(__file__).resolve().parent.parent
_FOLDERS = ("", "layers/rollout/python", "functions/rollout", "functions/console")


def find_agents() -> None:
    """Let this process and its children import the project's code, whatever else is installed.

    The project's folders come before installed packages and after what PYTHONPATH names.
    """
    asked = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    ours = [str(_ROOT / folder) for folder in _FOLDERS]
    installed = (i for i, place in enumerate(sys.path) if place.endswith("site-packages"))
    place = next(installed, len(sys.path))
    sys.path[place:place] = [folder for folder in ours if folder not in sys.path[:place]]
    missing = [folder for folder in ours if folder not in asked]
    os.environ["PYTHONPATH"] = os.pathsep.join([*asked, *missing])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 well, 1 not well, 2 a wrong call)."""
    find_agents()
    parser = argparse.ArgumentParser(prog="rollout", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.register(commands)
    options = parser.parse_args(arguments)
    return options.command(options, Console())


if __name__ == "__main__":
    sys.exit(main())
