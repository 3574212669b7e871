"""``rollout play``: play one row against a running ``rollout run``, and show what was said."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import httpx
from rich.console import Console

from devkit.commands.arguments import at_least
from devkit.commands.messages import refuse
from devkit.places import dataset_of, default_agent
from devkit.rehearsal.client import RolloutClient, Unreachable
from devkit.rehearsal.dataset import read

_URL = "http://127.0.0.1:3000"
_TIMEOUT = 900.0


def register(commands: Any) -> None:
    """Add ``play`` to the command line."""
    parser = commands.add_parser(
        "play",
        help="play one row against a running rollout run, and show what was said",
        epilog="Exit codes: 0 ready, 1 failed or not reached, 2 a wrong call.",
    )
    parser.add_argument("dataset", type=Path, nargs="?", help="JSONL (the environment's)")
    parser.add_argument(
        "--instances",
        action="store_true",
        help="rows without a column prompt are instances themselves",
    )
    parser.add_argument("--row", type=at_least(0), default=0, help="number of the row, from 0 (0)")
    parser.add_argument("--agent", default=default_agent(), help="whose dataset, if none is named")
    parser.add_argument("--url", default=_URL, help=f"where rollout run serves ({_URL})")
    parser.add_argument("--durable", action="store_true", help="ask with Prefer: respond-async")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=_play)


def _play(options: argparse.Namespace, console: Console) -> int:
    dataset: Path = options.dataset or dataset_of(options.agent)
    try:
        row = next(
            itertools.islice(read(dataset, instances=options.instances), options.row, None), None
        )
        if row is None:
            raise ValueError(f"{dataset} has no row {options.row}; rows are counted from 0")
    except (OSError, ValueError) as error:
        return refuse(console, error)
    url: str = options.url.rstrip("/")
    try:
        body = _handed_out(url, row)
        with closing(RolloutClient(url, durable=options.durable, wait_seconds=_TIMEOUT)) as client:
            status, answer = client.play(body)
        captured = _ask("GET", f"{url}/local/trajectories/{body['metadata']['trajectory_id']}")
    except (Unreachable, httpx.HTTPError) as error:
        says = f"{url} does not answer as rollout run does ({error}); start it, or name --url"
        Console(stderr=True).print(says, markup=False, soft_wrap=True)
        return 1
    if options.json:
        document = {"status": status, "result": answer, **captured}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _show(captured["turns"], answer, console)
    return int(status != 200 or answer.get("status") != "ready")


def _handed_out(url: str, row: dict[str, Any]) -> dict[str, Any]:
    return _ask("POST", f"{url}/local/requests", row)


def _ask(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = httpx.request(method, url, json=body, timeout=_TIMEOUT)
    return cast("dict[str, Any]", answer.raise_for_status().json())


def _show(turns: list[dict[str, Any]], answer: dict[str, Any], console: Console) -> None:
    """The last request's conversation with its reply, then the result."""
    said: list[dict[str, Any]] = []
    if turns:
        said = [*turns[-1]["request"]["messages"], turns[-1]["reply"]["choices"][0]["message"]]
    for message in said:
        console.print(f"[bold]{message.get('role')}[/bold]", end="  ")
        content, called = message.get("content"), message.get("tool_calls")
        text = "" if content is None else content if isinstance(content, str) else _written(content)
        text += f" {_written(called)}" if called else ""
        console.print(text.strip(), markup=False, highlight=False, soft_wrap=True)
    console.print_json(_written(answer))


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
