"""``rollout run``: start the stack on this machine, play sample problems, keep serving."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from devkit.commands import run_for_sam
from devkit.commands.interrupts import wait_for_signal
from devkit.commands.messages import complain, refuse, show_raised, show_traceback, wrong
from devkit.emulator.server import PortTaken
from devkit.emulator.stack import JOB_ARN, EmulatedStack
from devkit.places import dataset_of, default_agent
from devkit.policies.named import choose
from devkit.raised import Raised
from devkit.rehearsal.play import play_groups, read_rows, statistics_of
from devkit.rehearsal.run_files import RolloutRecord
from devkit.rehearsal.versions import version_of
from rollout.agent import load_agent
from rollout.errors import AgentUnavailable


def register(commands: Any) -> None:
    """Add ``run`` to the command line."""
    run = commands.add_parser("run", help="play sample problems through POST /rollout, then serve")
    run.add_argument("--port", type=int, default=3000, help="port of the local API (default 3000)")
    run.add_argument("--once", action="store_true", help="exit after the sample problems")
    run.add_argument("--agent", default=default_agent(), help="module:function")
    run.add_argument("--data", type=Path, help="JSONL (default: the environment's)")
    run.add_argument("--limit", type=int, default=12, help="rows to play (default 12)")
    run.add_argument("--group-size", type=int, default=4, help="rollouts per row (default 4)")
    run.add_argument("--durable", action="store_true", help="play as durable executions (async)")
    run.add_argument("--state", type=Path, help="keep everything here; a run stopped goes on")
    run.add_argument(
        "--sam", action="store_true", help="serve what sam local needs, at fixed ports"
    )
    run.add_argument(
        "--policy", default="scripted", help="as of rollout rehearse: a script, server, MODULE:NAME"
    )
    run.add_argument("--turn-seconds", type=float, default=0.0, help="time the policy takes")
    run.add_argument("--skill", type=float, default=0.75, help="share of rollouts played right")
    run.set_defaults(command=_run)


def _run(options: argparse.Namespace, console: Console) -> int:
    try:
        agent = load_agent(options.agent)
        chosen = choose(
            options.policy, agent=agent.name, skill=options.skill, turn=options.turn_seconds
        )
        if chosen.model_endpoint:
            raise ValueError(
                "endpoint: is for rollout rehearse; the stack here samples as a job does"
            )
    except (AgentUnavailable, ValueError) as error:
        return refuse(console, error)
    policy = chosen.sample
    data = options.data or dataset_of(options.agent)
    try:
        rows = read_rows(data, None if options.sam else options.limit)
    except (OSError, ValueError) as error:
        console.print(f"[red]Cannot read the dataset:[/red] {error}")
        return 2
    if options.sam:
        # The sample events are about the environment's own first row.
        problems = rows + (read_rows(dataset_of(options.agent), None) if options.data else [])
        return run_for_sam.serve(policy, problems, options, console)
    raised = _Told(console)
    with ExitStack() as running:
        try:
            stack = EmulatedStack(
                policy,
                agent=options.agent,
                port=options.port,
                durable=options.durable,
                state=options.state,
                on_agent_error=raised.note,
                any_trajectory=True,
            )
            running.enter_context(stack)
        except PortTaken as error:
            return wrong(RuntimeError(f"{error}; choose another with --port (make run PORT=3001)"))
        played = _play(stack, rows, options, console)
        _show(played, console)
        show_raised(chosen.raised, console, "The policy")
        complain("The policy's server", chosen.complaints(), console)
        show_raised(raised, console)
        if not options.once:
            raised.at_once = True
            _serve(stack, data, console)
    return 1 if any(row.http_status != 200 or row.reward is None for row in played) else 0


class _Told(Raised):
    """Counts what the agent raises for the sample problems; shows each new kind at once while serving."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self.at_once = False

    def note(self, error: BaseException) -> None:
        known = set(self)
        super().note(error)
        for said in set(self) - known if self.at_once else ():
            complain("The agent raised", {said: 1}, self._console)
            show_traceback(self.tracebacks[said], self._console)


def _play(
    stack: EmulatedStack, rows: list[dict[str, Any]], options: argparse.Namespace, console: Console
) -> list[RolloutRecord]:
    columns = (
        TextColumn("rollouts"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    played: list[RolloutRecord] = []
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(rows) * options.group_size)
        durable = options.durable or options.state is not None
        run = _run_name(options.state, _played(rows, options), console)
        for row in play_groups(stack, rows, options.group_size, run=run, durable=durable):
            played.append(row)
            progress.advance(bar)
    return sorted(played, key=lambda row: row.trajectory_id)


def _played(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """What is played as one hash: the agent's version, the rows, the policy and its skill."""
    version = asdict(version_of(options.agent))
    said = [options.agent, version, rows, options.policy, options.skill]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _run_name(state: Path | None, played: str, console: Console) -> str:
    """The run's name: the one begun in a state directory with the same agent and rows, or a new one."""
    name = f"{time.time_ns() // 1_000_000:x}"
    if state is None:
        return name
    file = state / "run"
    if file.exists():
        known, _, before = file.read_text().partition(" ")
        if before == played:
            return known
        console.print(
            f"Agent, rows or policy are not those that {state} was begun with: played anew, and "
            "nothing of before is answered.",
            highlight=False,
            soft_wrap=True,
        )
    file.write_text(f"{name} {played}")
    return name


def _show(played: list[RolloutRecord], console: Console) -> None:
    table = Table("trajectory", "status", "turns", "reward", "seconds")
    for row in played:
        reward = "" if row.reward is None else f"{row.reward:.2f}"
        status = row.status if row.http_status == 200 else str(row.http_status)
        turns = str(row.turns_answered)
        table.add_row(row.trajectory_id, status, turns, reward, f"{row.seconds:.3f}")
    console.print(table)
    for name, value in statistics_of(played).items():
        text = f"{value:.3f}" if isinstance(value, float) else str(value)
        console.print(f"{name.replace('_', ' '):>22}  {text}", highlight=False)


def _serve(stack: EmulatedStack, data: Path, console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    say(f"\nAPI         {stack.url}  (GET /health, POST /rollout)")
    say(f"Console     {stack.console_url}  (jobs, rewards, trajectories)")
    say(f"Job Runtime {stack.simulator.url}  (simulated; job {JOB_ARN})")
    say(f"Try a row:  rollout play {data} --row 0 --url {stack.url}")
    head, local = f"head -1 {data}", f"curl -s {stack.url}/local/requests -d @-"
    say(f"or:         {head} | {local} | curl -s {stack.url}/rollout -d @-")
    if stack.service is not None:
        url = stack.service.url
        say(f"Lambda      {url}  (the functions job and sweep)")
        say(f"As a job:   curl -s {url}/2015-03-31/functions/job/invocations -d @EVENT.json")
    wait_for_signal(lambda: console.print("Ctrl-C stops."))
