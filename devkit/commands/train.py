"""``rollout train``: train a small policy on this machine and see what the reward makes of it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from devkit.commands.arguments import add_dataset, at_least
from devkit.commands.messages import refuse, show_raised
from devkit.emulator.stack import EmulatedStack
from devkit.raised import Raised
from devkit.rehearsal.client import RolloutClient
from devkit.rehearsal.dataset import survey
from devkit.rehearsal.target import LocalJob
from devkit.training.behaviours import behaviours_of
from devkit.training.grpo import Learner, SoftmaxPolicy
from devkit.training.learner import PluggedLearner
from devkit.training.outcome import outcome_of
from devkit.training.trainer import Step, train
from rollout.agent import load_agent
from rollout.errors import AgentUnavailable

_EPILOG = """\
The policy is a softmax over behaviours: the scripts of the environment (gold, poor, ...) and the probes
of `rollout probe`. Each step plays a batch of problems in groups through POST /rollout and moves the
policy towards what earned more than its group. A sound reward makes gold grow; a reward that can be had
in another way makes that way grow, and success, if the agent has a metric for it, fall.

Exit codes: 0 learned, 1 hacked, flat or failed, 2 a wrong call.
"""


def register(commands: Any) -> None:
    """Add ``train`` to the command line."""
    parser = commands.add_parser(
        "train",
        help="train a small policy here and see what the reward makes of it",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_dataset(parser)
    parser.add_argument("--steps", type=at_least(2), default=30, help="of training (30)")
    parser.add_argument("--batch-size", type=at_least(1), default=8, help="problems a step (8)")
    parser.add_argument("--group-size", type=at_least(2), default=8, help="rollouts of each (8)")
    parser.add_argument(
        "--policy",
        default="",
        help="MODULE:NAME of a policy of your own with sample, learn and describe (docs/training.md)",
    )
    parser.add_argument(
        "--behaviours", default="", help="NAME or probe:NAME, with commas (all of them)"
    )
    parser.add_argument("--skill", type=float, default=0.05, help="gold's share at first (0.05)")
    parser.add_argument("--rate", type=float, default=2.0, help="of learning (2.0)")
    parser.add_argument(
        "--success", default="success", help="the agent's metric of what is wanted (success)"
    )
    parser.add_argument("--out", type=Path, help="directory (default runs/train-TIME)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.set_defaults(command=_train)


def _train(options: argparse.Namespace, console: Console) -> int:
    try:
        load_agent(options.agent)
        policy = _learner(options)
        chosen = survey(options.dataset, instances=options.instances).choose(
            limit=options.limit, sample=options.sample, seed=options.seed
        )
        rows = [instance for _, instance in chosen]
        out: Path = options.out or Path("runs") / f"train-{int(time.time())}"
        out.mkdir(parents=True, exist_ok=True)
        raised = Raised()
        course = _steps(policy, rows, options, raised)
        steps = _shown(course, options, console, out / "training.jsonl")
    except (AgentUnavailable, OSError, ValueError) as error:
        return refuse(console, error)
    people = Console(stderr=True) if options.json else console
    if isinstance(policy, PluggedLearner):
        show_raised(policy.raised, people, "The policy")
    show_raised(raised, people)
    outcome = outcome_of(steps)
    (out / "outcome.json").write_text(json.dumps(outcome.document(), indent=2) + "\n")
    if options.json:
        console.print_json(json.dumps(outcome.document()))
    else:
        console.print(outcome.says, markup=False, highlight=False, soft_wrap=True)
        console.print(f"Every step: {out / 'training.jsonl'}", highlight=False, soft_wrap=True)
    return 0 if outcome.shown == "learned" else 1


def _learner(options: argparse.Namespace) -> Learner:
    """The policy to train: the user's own, or a softmax over behaviours.

    Raises:
        ValueError: there is none, or it does not learn.
    """
    if options.policy:
        return PluggedLearner(options.policy)
    names = [name.strip() for name in options.behaviours.split(",") if name.strip()]
    behaviours = behaviours_of(options.agent, names)
    shares = {"gold": options.skill} if "gold" in behaviours else {}
    return SoftmaxPolicy(behaviours, shares=shares, rate=options.rate, seed=options.seed)


def _steps(
    policy: Learner,
    rows: Sequence[dict[str, Any]],
    options: argparse.Namespace,
    raised: Raised,
) -> Iterator[Step]:
    with EmulatedStack(policy.sample, agent=options.agent, on_agent_error=raised.note) as stack:
        caller = RolloutClient(
            stack.url, durable=False, wait_seconds=60, connections=options.concurrency
        )
        with closing(caller):
            yield from train(
                LocalJob(stack, caller, {"temperature": 1.0, "top_p": 1.0, "max_tokens": 4_096}),
                policy,
                rows,
                steps=options.steps,
                batch_size=options.batch_size,
                group_size=options.group_size,
                success=options.success,
                concurrency=options.concurrency,
                seed=options.seed,
            )


def _shown(
    steps: Iterator[Step], options: argparse.Namespace, console: Console, path: Path
) -> list[Step]:
    """Train, writing each step to a file and saying how it goes."""
    columns = (
        TextColumn("step"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    done: list[Step] = []
    quiet = options.json
    with path.open("w") as file, Progress(*columns, console=console, disable=quiet) as progress:
        bar = progress.add_task("", total=options.steps)
        for step in steps:
            done.append(step)
            file.write(json.dumps(step.document()) + "\n")
            file.flush()
            reward = "none" if step.reward is None else f"{step.reward:.2f}"
            says = f"reward {reward}"
            if step.policy:
                best = max(step.policy, key=lambda name: step.policy[name])
                says += f", highest {best} ({step.policy[best]:.2g})"
            progress.update(bar, advance=1, description=says)
    return done
