"""``rollout console``: look at a deployed stack's jobs and trajectories from this machine.

The same application as behind API Gateway, served on loopback, reading table and bucket with the caller's
own credentials. That is how a person opens it: a browser cannot sign requests to an API with AWS_IAM.
"""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console

from devkit.commands.interrupts import wait_for_signal
from devkit.commands.stack_outputs import outputs_of, settings_of
from devkit.emulator.console_server import console_server
from rollout.errors import RolloutError
from rollout.storage.archive import Archive


def register(commands: Any) -> None:
    """Add ``console`` to the command line."""
    console = commands.add_parser("console", help="look at jobs and trajectories in a browser")
    console.add_argument("--stack", help="name of the deployed stack")
    console.add_argument("--table", help="the table, where there is no stack to ask")
    console.add_argument("--bucket", help="the bucket, where there is no stack to ask")
    console.add_argument("--port", type=int, default=3001, help="on this machine (default 3001)")
    console.set_defaults(command=_console)


def _console(options: argparse.Namespace, console: Console) -> int:
    table, bucket = options.table, options.bucket
    if options.stack:
        outputs = outputs_of(options.stack)
        table, bucket = outputs.get("Table"), outputs.get("Bucket")
    if not (table and bucket):
        wrong = f"{options.stack} is not deployed" if options.stack else "Nothing to look at"
        console.print(f"[red]{wrong}:[/red] give --stack NAME, or --table and --bucket.")
        return 2
    stack_settings = settings_of({"Table": table, "Bucket": bucket})
    try:
        jobs, _ = Archive(stack_settings).jobs()
    except RolloutError as error:
        console.print(f"[red]The table {table} cannot be read:[/red] {error.detail}")
        return 2
    try:
        server = console_server(stack_settings, options.port)
    except OSError as error:
        console.print(f"[red]Port {options.port} cannot be used[/red] ({error}); try --port 3002.")
        return 2
    with server:
        console.print(f"{len(jobs)} jobs. Open {server.url}  (Ctrl-C stops)", highlight=False)
        wait_for_signal()
    return 0
