"""``rollout console``: look at a deployed stack's jobs and trajectories from this machine.

The same application as behind API Gateway, served on loopback, reading table and bucket with the caller's
own credentials. That is how a person opens it: a browser cannot sign requests to an API with AWS_IAM.
"""

from __future__ import annotations

import argparse
import signal
import threading
from typing import Any

from rich.console import Console
from starlette.middleware.trustedhost import TrustedHostMiddleware

from console.application import application
from devkit.commands.drain import outputs_of
from devkit.emulator.server import Server
from rollout.errors import RolloutError
from rollout.settings import Settings, read_settings, settings
from rollout.storage.archive import Archive


def register(commands: Any) -> None:
    """Add ``console`` to the command line."""
    console = commands.add_parser("console", help="look at jobs and trajectories in a browser")
    console.add_argument("--stack", help="name of the deployed stack")
    console.add_argument("--table", help="the table, where there is no stack to ask")
    console.add_argument("--bucket", help="the bucket, where there is no stack to ask")
    console.add_argument("--port", type=int, default=3001, help="on this machine (default 3001)")
    console.set_defaults(command=_console)


def console_server(known: Settings | None = None, port: int = 0) -> Server:
    """A server of the console on loopback.

    Args:
        known: whose table and bucket; what the environment says when it is asked if not given.
        port: 0 picks a free one.
    """

    def current() -> Settings:
        return known or settings()

    app = application(lambda: Archive(current()), current)
    # Names that a foreign page has made to point at this machine are not ours.
    hosts = ["127.0.0.1", "localhost"]
    return Server(TrustedHostMiddleware(app, allowed_hosts=hosts, www_redirect=False), port)


def _console(options: argparse.Namespace, console: Console) -> int:
    import boto3

    table, bucket = options.table, options.bucket
    if options.stack:
        outputs = outputs_of(options.stack)
        table, bucket = outputs.get("Table"), outputs.get("Bucket")
    if not (table and bucket):
        wrong = f"{options.stack} is not deployed" if options.stack else "Nothing to look at"
        console.print(f"[red]{wrong}:[/red] give --stack NAME, or --table and --bucket.")
        return 2
    region = boto3.Session().region_name or ""
    names = {"ROLLOUT_TABLE": table, "ROLLOUT_BUCKET": bucket, "ROLLOUT_ACCOUNT_ID": "-"}
    known = read_settings({**names, "AWS_REGION": region})
    try:
        jobs, _ = Archive(known).jobs()
    except RolloutError as error:
        console.print(f"[red]The table {table} cannot be read:[/red] {error.detail}")
        return 2
    try:
        server = console_server(known, options.port)
    except OSError as error:
        console.print(f"[red]Port {options.port} cannot be used[/red] ({error}); try --port 3002.")
        return 2
    with server:
        console.print(f"{len(jobs)} jobs. Open {server.url}  (Ctrl-C stops)", highlight=False)
        wait_for_signal()
    return 0


def wait_for_signal() -> None:
    """Wait until the process is told to stop."""
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    stop.wait()
