"""The ``rollout`` command: play, rehearse and look after a rollout stack from a laptop."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from rich.console import Console

from devkit.commands import (
    build,
    check,
    compare,
    console,
    data,
    deploy,
    drain,
    export,
    init,
    interrupts,
    judge_check,
    lock,
    new,
    play,
    probe,
    rehearse,
    report,
    rescore,
    rows,
    run,
    train,
)
from devkit.commands.interrupts import INTERRUPTED
from devkit.places import find_code

# Each registers its commands; a command takes the parsed options and a console, returns the exit code.
_COMMANDS = (
    init, new, rows, data, run, play, rehearse, train, probe, report, rescore, compare, judge_check,
    export, check, lock, build, deploy, console, drain,
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 well, 1 not well, 2 a wrong call)."""
    try:
        find_code()
    except ValueError as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 2
    parser = argparse.ArgumentParser(prog="rollout", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.register(commands)
    options = parser.parse_args(arguments)
    try:
        return options.command(options, Console())
    except Exception as error:
        from devkit.aws_session import what_to_do  # boto3 only where it has failed

        told = what_to_do(error)
        if told is None:
            raise
        sys.stderr.write(f"error: {told}\n")
        return 2


def entry() -> NoReturn:
    """The command line as a process: once it was told to stop, no thread holds it up.

    A turn that is being sampled, or an agent that waits for one, cannot be interrupted; Python would wait
    for their threads.
    """
    try:
        code = main()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        code = INTERRUPTED
    sys.stdout.flush()
    sys.stderr.flush()
    if code == INTERRUPTED or interrupts.was_asked_to_stop():
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    entry()
