"""``rollout judge-check``: hold a judge to what people said of the same transcripts."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devkit.commands.arguments import at_least
from devkit.commands.messages import wrong

_EPILOG = """\
The labelled file has one JSON object a line:
  {"label": 1, "messages": [{"role": "user", "content": "…"}, …], "instance": {…}}
or, with --run, {"label": 1, "trajectory_id": "…"} for rollouts of a rehearsal. A label is a whole
number of the judge's scale.

The judge is a Judge of a module, as module:NAME. Exit codes: 0 asked, 1 agreement below --at-least or
no verdict for some, 2 a wrong call.
"""


def register(commands: Any) -> None:
    """Add ``judge-check`` to the command line."""
    check = commands.add_parser(
        "judge-check",
        help="hold a judge to a labelled file: accuracy, Cohen's kappa, disagreements",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("judge", help="module:NAME of a Judge")
    check.add_argument("labelled", type=Path, help="JSON lines")
    check.add_argument("--run", type=Path, help="the rehearsal whose trajectories are named")
    check.add_argument("--limit", type=at_least(1), default=0, help="only the first lines")
    check.add_argument("--concurrency", type=at_least(1, 64), default=8, help="asked at once (8)")
    check.add_argument("--cache", type=Path, help="folder of verdicts, by content")
    check.add_argument("--at-least", type=float, default=-1.0, help="exit 1 if kappa is less (-1)")
    check.add_argument("--json", action="store_true", help="print one JSON document")
    check.set_defaults(command=_check)


def _check(options: argparse.Namespace, console: Console) -> int:
    from devkit.judging.agreement import ask_all, judge_of, labelled_rows

    try:
        judge = judge_of(options.judge)
        if options.cache:
            judge = replace(judge, cache=options.cache)
        rows = labelled_rows(options.labelled, judge.scale, run=options.run, limit=options.limit)
        agreement = ask_all(
            judge, rows, concurrency=options.concurrency, progress=lambda n: _say(n, len(rows))
        )
    except (OSError, ValueError) as error:
        return wrong(error)
    document = agreement.document()
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        _show(document, console)
    kappa = document["kappa"]
    low = kappa is not None and kappa < options.at_least
    return int(bool(document["without_verdict"]) or low or kappa is None)


def _say(done: int, total: int) -> None:
    if done % 50 == 0:
        sys.stderr.write(f"{done} of {total} asked\n")


def _show(found: dict[str, Any], console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    say(
        f"\n[bold]{escape(found['judge'])}[/] with {escape(found['model'])}: {found['rows']} transcripts"
    )
    say(f"accuracy {_share(found['accuracy'])}, kappa {_number(found['kappa'])}" + (
        f", weighted {_number(found['weighted_kappa'])}" if len(found["confusion"]) > 2 else ""
    ))  # fmt: skip
    table = Table("label", *(f"said {n}" for n in range(len(found["confusion"]))), box=None)
    for label, counts in enumerate(found["confusion"]):
        table.add_row(str(label), *map(str, counts))
    console.print(table)
    if found["without_verdict"]:
        say(f"[red]{found['without_verdict']} without a verdict:[/] {escape(found['why'][0])}")
    if found["addressed"]:
        say(f"{found['addressed']} transcripts speak to the judge and count as 0")
    used = found["used"]
    say(", ".join(f"{name} {value:,.6g}" for name, value in used.items()) or "all from the cache")
    for each in found["disagreements"]:
        say(f"\n{escape(each['place'])}: labelled {each['label']}, judged {each['score']}")
        say(f"  {escape(each['reason'])}")


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
