"""The ``rollout`` command: play, rehearse and look after a rollout stack from a laptop."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from local import console, deploy, new_agent, run
from local.check import command as check
from local.rehearse import command as rehearse
from local.rehearse import probing, review

# Each registers its commands; a command takes the parsed options and a console, returns the exit code.
_COMMANDS = (run, rehearse, probing, review, check, console, new_agent, deploy)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 well, 1 not well, 2 a wrong call)."""
    parser = argparse.ArgumentParser(prog="rollout", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.register(commands)
    options = parser.parse_args(arguments)
    return options.command(options, Console())


if __name__ == "__main__":
    sys.exit(main())
