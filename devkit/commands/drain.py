"""Deploying under a running job breaks it: a guard that says so, and a switch that drains a stack."""

from __future__ import annotations

import argparse
import time
from typing import Any

from rich.console import Console

from devkit.commands.stack_outputs import outputs_of, settings_of
from rollout.storage.drain import FRESH, switch
from rollout.storage.records import Records


def register(commands: Any) -> None:
    """Add ``guard`` and ``drain`` to the command line."""
    guarding = commands.add_parser("guard", help="refuse a deployment while rollouts are in flight")
    guarding.add_argument("--warn", action="store_true", help="say it, but do not refuse")
    guarding.set_defaults(command=_guard)
    draining = commands.add_parser("drain", help="refuse new rollouts and wait for those in flight")
    draining.add_argument("--off", action="store_true", help="take new rollouts again")
    draining.add_argument("--timeout", type=float, default=3_600, help="seconds (default 3600)")
    draining.set_defaults(command=_drain)
    for command in (guarding, draining):
        command.add_argument("--stack", required=True, help="name of the deployed stack")


def _guard(options: argparse.Namespace, console: Console) -> int:
    return guard(options.stack, console, refuse=not options.warn)


def _drain(options: argparse.Namespace, console: Console) -> int:
    return drain(options.stack, console, on=not options.off, timeout=options.timeout)


def guard(stack: str, console: Console, *, refuse: bool = True) -> int:
    """Say how many rollouts of a deployed stack are in flight; exit code 1 if any and ``refuse``."""
    outputs = outputs_of(stack)
    if "Table" not in outputs:
        console.print(f"{stack} is not deployed yet: nothing is in flight.")
        return 0
    count = in_flight(outputs)
    if count == 0:
        console.print(f"{stack}: no rollout is in flight; it is safe to deploy.")
        return 0
    console.print(
        f"[red]{stack}: {count} rollouts are in flight.[/red] A deployment under a running job can fail "
        f"it. Wait, or drain: rollout drain --stack {stack}",
        soft_wrap=True,
    )
    return 1 if refuse else 0


def drain(stack: str, console: Console, *, on: bool = True, timeout: float = 3_600) -> int:
    """Switch a stack to refuse new rollouts, and wait until none is in flight.

    The switch is a row of its table: no function changes, and it takes effect within seconds.
    """
    outputs = outputs_of(stack)
    if "Table" not in outputs:
        console.print(f"[red]{stack} is not deployed.[/red]")
        return 1
    switch(settings_of(outputs), on=on)
    console.print(f"{stack} {'refuses' if on else 'takes'} new rollouts.")
    if not on:
        return 0
    until = time.monotonic() + timeout
    time.sleep(FRESH + 1)  # until then a function may believe that the stack is open
    while count := in_flight(outputs):
        if time.monotonic() > until:
            console.print(f"[red]{count} rollouts are still in flight after {timeout:g} s.[/red]")
            return 1
        console.print(f"{count} rollouts are in flight")
        time.sleep(min(10.0, max(0.0, until - time.monotonic())))
    return 0


def in_flight(outputs: dict[str, str]) -> int:
    """How many rollouts of a deployed stack have not ended."""
    return Records(settings_of(outputs)).count_open()
