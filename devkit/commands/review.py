"""``rollout report``, ``rescore`` and ``export``: what can be done with a run that was played."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_GROUPS_SHOWN = 20


def register(commands: Any) -> None:
    """Add the commands to the command line."""
    report = commands.add_parser("report", help="judge a rehearsal and write its report")
    report.add_argument("run", type=Path, help="the run's directory")
    report.add_argument(
        "--json", action="store_true", help="print the verdict as one JSON document"
    )
    report.add_argument("--html", type=Path, help="the report (default RUN/report.html)")
    report.add_argument("--strict", action="store_true", help="exit 1 if doubtful, too")
    add_judging(report)
    report.set_defaults(command=_report)

    rescore = commands.add_parser("rescore", help="score a rehearsal's trajectories again")
    rescore.add_argument("run", type=Path, help="the run's directory")
    rescore.add_argument("--agent", help="module:function (default: the run's, as it is now)")
    rescore.add_argument("--out", type=Path, help="the new run (default RUN-rescored)")
    rescore.add_argument(
        "--json", action="store_true", help="print what moved as one JSON document"
    )
    rescore.add_argument("--allow-diverged", action="store_true", help="exit 0 if some diverged")
    rescore.set_defaults(command=_rescore)

    export = commands.add_parser("export", help="write a rehearsal as a dataset for other trainers")
    export.add_argument("run", type=Path, help="the run's directory")
    export.add_argument("out", type=Path, help="OUT.jsonl")
    export.set_defaults(command=_export)


def add_judging(parser: argparse.ArgumentParser) -> None:
    """Add what a verdict can be told: the load to plan for, and when a rollout has passed."""
    parser.add_argument("--batch-size", type=_count, default=128, help="problems a step (128)")
    parser.add_argument("--train-group-size", type=_count, help="rollouts of each (the run's own)")
    parser.add_argument(
        "--concurrency", type=_count, default=96, help="rollout_max_concurrency (96)"
    )
    parser.add_argument("--jobs", type=_count, default=1, help="jobs that train at once (1)")
    parser.add_argument("--pass-at", type=float, default=1.0, help="reward that passes (1.0)")


def judging(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of ``judge`` among the options of :func:`add_judging`."""
    return {
        "batch_size": options.batch_size,
        "group_size": options.train_group_size,
        "concurrency": options.concurrency,
        "jobs": options.jobs,
        "pass_at": options.pass_at,
    }


def _report(options: argparse.Namespace, console: Console) -> int:
    try:
        return conclude(
            options.run,
            console,
            html=options.html,
            as_json=options.json,
            strict=options.strict,
            **judging(options),
        )
    except (OSError, ValueError) as error:
        return _wrong(error)


def conclude(
    run: Path,
    console: Console,
    *,
    html: Path | None = None,
    as_json: bool = False,
    strict: bool = False,
    **told: Any,
) -> int:
    """Judge a run, write its report and print the verdict; the exit code.

    Args:
        run: the run's directory.
        console: for people.
        html: the report; ``RUN/report.html`` if None.
        as_json: print the verdict as one JSON document on stdout instead.
        strict: whether doubtful is 1, too.
        **told: from :func:`judging`.

    Raises:
        OSError, ValueError: the directory holds no run, or it cannot be read or written.
    """
    from devkit.verdict.report import write_report
    from devkit.verdict.show import show

    verdict, path = write_report(run, html, **told)
    if as_json:
        sys.stdout.write(verdict.model_dump_json(by_alias=True, indent=2) + "\n")
    else:
        show(verdict, console)
        console.print(f"\nReport: {path}", highlight=False, soft_wrap=True)
    return int(verdict.level in (("not ready", "doubtful") if strict else ("not ready",)))


def _rescore(options: argparse.Namespace, console: Console) -> int:
    from devkit.rehearsal.moves import Moves
    from devkit.rehearsal.record import read_manifest
    from devkit.rehearsal.rescore import rescore
    from rollout.agent import load_agent
    from rollout.errors import RolloutError

    run: Path = options.run
    out = options.out or run.with_name(f"{run.name}-rescored")
    try:
        manifest = read_manifest(run)
        agent = load_agent(options.agent or manifest.agent)
        moves = Moves(str(run), str(out), agent.name)
        total = manifest.rows * manifest.group_size
        for count, _ in enumerate(rescore(run, agent, out, moves), 1):
            if count % 1_000 == 0:
                sys.stderr.write(f"{count} of {total} rollouts\n")
    except (RolloutError, OSError, ValueError) as error:
        return _wrong(error)
    document = moves.document()
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _show_moves(document, console)
    return int(bool(moves.broken or (moves.diverged and not options.allow_diverged)))


def _export(options: argparse.Namespace, console: Console) -> int:
    from devkit.rehearsal.export import export

    try:
        count = export(options.run, options.out)
    except (OSError, ValueError) as error:
        return _wrong(error)
    console.print(f"{count} rollouts in {options.out}", highlight=False, soft_wrap=True)
    return 0


def _show_moves(moved: dict[str, Any], console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    say(
        f"\n[bold]{moved['moved']} of {moved['rollouts']} rollouts moved[/]; mean reward "
        f"{_reward(moved['mean_before'])} -> {_reward(moved['mean_after'])}; groups without spread "
        f"{moved['groups_without_spread_before']} -> {moved['groups_without_spread_after']}"
    )
    if moved["kept"]:
        say(f"{moved['kept']} failed at another boundary than the agent and stay as they were.")
    if moved["broken"]:
        say(
            f"[red]{moved['broken']} were ready and fail now;[/] their errors stand in the new run."
        )
    if moved["diverged"]:
        say(f"[red]{moved['diverged']} diverged[/] and have no reward; sample them anew:")
        for each in moved["divergences"]:
            say(f"  {escape(each['trajectory_id'])} turn {each['turn']}: {escape(each['why'])}")
    changed = sorted(
        (group for group in moved["groups"] if group["moved"]),
        key=lambda group: -abs((group["after"]["mean"] or 0) - (group["before"]["mean"] or 0)),
    )
    if changed:
        table = Table("group", "moved", "mean", "deviation", "spread", title="groups that moved")
        for group in changed[:_GROUPS_SHOWN]:
            before, after = group["before"], group["after"]
            table.add_row(
                str(group["group"]),
                str(group["moved"]),
                f"{_reward(before['mean'])} -> {_reward(after['mean'])}",
                f"{before['deviation']:.3g} -> {after['deviation']:.3g}",
                f"{_flat(before)} -> {_flat(after)}",
            )
        console.print(table)
        if len(changed) > _GROUPS_SHOWN:
            say(f"and {len(changed) - _GROUPS_SHOWN} more; --json lists them all")
    for move in moved["top_moves"][:5]:
        say(
            f"  {escape(move['trajectory_id'])} {_reward(move['before'])} -> {_reward(move['after'])}"
        )
    say(f"\nNew run: {escape(moved['out'])}")


def _flat(side: dict[str, Any]) -> str:
    return "none" if side["flat"] else "yes"


def _reward(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def _wrong(error: Exception) -> int:
    Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
    return 2


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value
