"""``rollout rescore``: score the trajectories of a run again, without sampling."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devkit.commands.messages import wrong
from devkit.rehearsal.run_files import Manifest

_GROUPS_SHOWN = 20
_NOISE = (
    "The agent is the one that played: what moved is chance, a clock, or state that rollouts share. "
    "Training would learn from it. Take chance from episode.random, and keep nothing outside the episode."
)


def register(commands: Any) -> None:
    """Add ``rescore`` to the command line."""
    rescore = commands.add_parser(
        "rescore",
        help="score a rehearsal's trajectories again",
        epilog="With --reweigh or --weight nothing is played: the rubric's criteria, which the run has "
        "recorded, get other weights. Exit codes: 0 scored, 1 some failed or diverged, or the same agent "
        "gave another reward, 2 a wrong call.",
    )
    rescore.add_argument("run", type=Path, help="the run's directory")
    rescore.add_argument("--agent", help="module:function (default: the run's, as it is now)")
    rescore.add_argument(
        "--reweigh",
        nargs="?",
        const="",
        metavar="RUBRIC",
        help="weigh the recorded criteria as the agent's rubric does now (its name if several)",
    )
    rescore.add_argument(
        "--weight",
        action="append",
        default=[],
        type=_weight,
        metavar="NAME=NUMBER",
        help="and give this criterion another weight; 0 leaves it out",
    )
    rescore.add_argument("--out", type=Path, help="the new run (default RUN-rescored)")
    rescore.add_argument(
        "--json", action="store_true", help="print what moved as one JSON document"
    )
    rescore.add_argument("--allow-diverged", action="store_true", help="exit 0 if some diverged")
    rescore.set_defaults(command=_rescore)


def _weight(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER") from None


def _rescore(options: argparse.Namespace, console: Console) -> int:
    from devkit.rehearsal.rescoring import rescore
    from devkit.rehearsal.reweighing import reweigh, rubric_of
    from devkit.rehearsal.run_files import read_manifest
    from devkit.rehearsal.score_changes import ScoreChanges
    from rollout.agent import load_agent
    from rollout.errors import RolloutError

    run: Path = options.run
    out = options.out or run.with_name(f"{run.name}-rescored")
    try:
        manifest = read_manifest(run)
        agent = load_agent(options.agent or manifest.agent)
        changes = ScoreChanges(str(run), str(out), agent.name)
        total = manifest.rows * manifest.group_size
        if options.reweigh is None and not options.weight:
            scored = rescore(run, agent, out, changes)
        else:
            rubric = rubric_of(agent.name, options.reweigh or "").reweighed(dict(options.weight))
            scored = reweigh(run, rubric, out, changes)
        for count, _ in enumerate(scored, 1):
            if count % 1_000 == 0:
                sys.stderr.write(f"{count} of {total} rollouts\n")
    except (RolloutError, OSError, ValueError) as error:
        return wrong(error)
    weighed = options.reweigh is not None or bool(options.weight)
    same = not weighed and _unchanged(manifest, agent.name)
    noise = same and changes.moved > 0
    document = {**changes.document(), "same_agent": same}
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _show_moves(document, console)
        if noise:
            console.print(_NOISE, markup=False, highlight=False, soft_wrap=True)
    diverged = changes.diverged and not options.allow_diverged
    return int(bool(changes.broken or diverged or noise))


def _unchanged(manifest: Manifest, agent: str) -> bool:
    """Whether an agent is the one that played a run, with what it depends on."""
    from devkit.rehearsal.versions import version_of

    if not manifest.agent_sha256 or agent != manifest.agent:
        return False
    now = version_of(agent)
    known = (manifest.agent_sha256, manifest.dependencies_sha256)
    return known == (now.agent_sha256, now.dependencies_sha256)


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
