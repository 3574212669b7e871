"""``rollout rows``: write a dataset of the instances that an agent generates."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.commands.arguments import at_least
from devkit.commands.messages import wrong
from devkit.places import dataset_of, default_agent
from rollout.agent import load_agent
from rollout.errors import AgentError
from rollout.values import json_text


def register(commands: Any) -> None:
    """Add ``rows`` to the command line."""
    rows = commands.add_parser("rows", help="write a dataset of the instances an agent generates")
    rows.add_argument("agent", nargs="?", default=default_agent(), help="module:function")
    rows.add_argument("--size", type=at_least(1), default=500, help="rows (default 500)")
    rows.add_argument(
        "--seed", type=int, default=0, help="the same seed writes the same (default 0)"
    )
    rows.add_argument(
        "--out", type=Path, help="OUT.jsonl (default: the environment's dataset.jsonl)"
    )
    rows.add_argument("--force", action="store_true", help="write over what is there")
    rows.set_defaults(command=_rows)


def _rows(options: argparse.Namespace, console: Console) -> int:
    try:
        agent = load_agent(options.agent)
        if agent.rows is None:
            raise ValueError(
                f"{agent.name} generates no instances; give @agent(rows=…) a function that does"
            )
        out: Path = options.out or dataset_of(options.agent)
        if out.exists() and not options.force:
            raise ValueError(f"{out} is there already; name another --out, or --force")
        part = out.with_name(f".{out.name}.part")
        count = 0
        with part.open("w") as file:
            for instance in agent.rows(options.size, options.seed):
                file.write(json.dumps({"prompt": json_text(instance)}) + "\n")
                count += 1
        part.replace(out)
    except AgentError as error:
        return wrong(ValueError(error.detail))
    except (OSError, ValueError) as error:
        return wrong(error)
    console.print(f"{count} rows in {out}", highlight=False, soft_wrap=True)
    return 0
