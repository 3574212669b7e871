"""``rollout probe``: policies that know nothing try to break an agent's reward."""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from devkit.commands.arguments import add_dataset, at_least
from devkit.commands.interrupts import INTERRUPTED, stopping
from devkit.commands.messages import refuse, show_raised
from devkit.detectors.bench import Bench
from devkit.detectors.cheap import CHEAP
from devkit.detectors.data import search_rows
from devkit.detectors.detect import detect
from devkit.detectors.fault import Fault
from devkit.emulator.job_runtime import PolicyFunction, SampleRequest
from devkit.emulator.stack import EmulatedStack
from devkit.policies.probes import PROBES, probe
from devkit.policies.scripts import script_of
from devkit.raised import Raised
from devkit.rehearsal.client import RolloutClient
from devkit.rehearsal.dataset import ChosenRows, survey
from devkit.rehearsal.play import play
from devkit.rehearsal.progress import ProgressDisplay
from devkit.rehearsal.run_files import RolloutRecord
from devkit.rehearsal.target import LocalJob, Task
from rollout.agent import load_agent
from rollout.errors import AgentUnavailable

_GOLD = "gold"
_ROWS = 8
_PARAMS = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 4_096}
# Boundaries at which a rollout may fail under a probe without the environment being at fault.
_WITHSTOOD = ("deadline", "policy")


@dataclass
class ProbeResult:
    """What one probe came to.

    Args:
        rewards: of its rollouts that were scored.
        gold: gold's mean reward on the same rows.
        reached: rows on which it earned what gold earned, or more.
        compared: rows on which gold earns something.
        failures: rollouts without a reward, by boundary and title.
        seconds: the longest rollout.
    """

    probe: str
    does: str
    rollouts: int = 0
    mean_reward: float | None = None
    max_reward: float | None = None
    gold: float | None = None
    reached: list[int] = field(default_factory=list[int])
    compared: int = 0
    failures: dict[str, int] = field(default_factory=dict[str, int])
    crashed: bool = False
    seconds: float = 0.0
    allowed: bool = False

    @property
    def verdict(self) -> str:
        """In a few words, the worst first."""
        if self.reached and not self.allowed:
            return f"REACHES GOLD on {len(self.reached)} of {self.rollouts} rows"
        if self.crashed:
            return "crashes"
        if not self.compared:
            return "not judged: gold earns nothing"
        if self.failures:
            return "fails the rollout"
        return "allowed" if self.reached else "withstood"

    @property
    def bad(self) -> bool:
        """Whether the environment did not withstand it."""
        return self.crashed or bool(self.reached and not self.allowed)


def register(commands: Any) -> None:
    """Add ``probe`` to the command line."""
    parser = commands.add_parser(
        "probe",
        help="let policies that know nothing try to break the reward",
        epilog="Exit codes: 0 withstood, 1 a probe reached gold's reward or the agent crashed, "
        "2 a wrong call. Probes: "
        + "; ".join(f"{n} {p.does}" for n, p in PROBES.items())
        + ". Cheap "
        "behaviours: " + "; ".join(f"{c.name} {c.does}" for c in CHEAP) + ".",
    )
    add_dataset(parser)
    parser.add_argument(
        "--allow", action="append", default=[], metavar="NAME",
        choices=[*PROBES, *(cheap.name for cheap in CHEAP)],
        help="a probe or cheap behaviour that may earn as much as gold, e.g. refusal where refusing is "
        "right; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--validation", type=Path, help="another dataset, which must hold none of the rows"
    )
    parser.add_argument(
        "--max-turns", type=at_least(1, 1_000), default=50, help="ROLLOUT_MAX_TURNS (50)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=_probe)


def _probe(options: argparse.Namespace, console: Console) -> int:
    people = Console(stderr=True) if options.json else console
    try:
        rows = _rows(options)
        policy = policy_of(load_agent(options.agent).name)
    except (AgentUnavailable, OSError, ValueError) as error:
        return refuse(people, error)
    total = rows.count * (len(PROBES) + 1)
    records: dict[str, list[RolloutRecord]] = {name: [] for name in (_GOLD, *PROBES)}
    raised = Raised()
    with (
        stopping(people) as stop,
        ProgressDisplay(people, total) as live,
    ):
        for record in _play(options, rows, policy, stop, raised):
            records[_named(record.trajectory_id)].append(record)
            live.add(record)
    if live.ended < total:
        people.print("Stopped; nothing is judged.")
        return INTERRUPTED
    show_raised(raised, people)
    gold = {record.group: record.reward for record in records.pop(_GOLD)}
    lost = sorted(row for row, reward in gold.items() if reward is None)
    idle = _idle(gold, records.values())
    judged = {row: None if row in idle else reward for row, reward in gold.items()}
    results = [result_of(name, found, judged, options.allow) for name, found in records.items()]
    every, validation = (
        survey(path, instances=options.instances).choose() if path else ()
        for path in (options.dataset, options.validation)
    )
    faults = [
        *detect(_bench(options, rows), allow=options.allow),
        *search_rows(every, validation),
    ]
    worst = any(fault.weight == "fault" for fault in faults)
    bad = bool(lost) or worst or any(result.bad for result in results)
    if options.json:
        document = {
            "agent": options.agent,
            "dataset": str(options.dataset),
            "rows": rows.count,
            "withstood": not bad,
            "gold_failed_on": lost,
            "probes": [{**asdict(r), "verdict": r.verdict, "bad": r.bad} for r in results],
            "faults": [asdict(fault) for fault in faults],
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        show(results, lost, console)
        for fault in faults:
            _show_fault(fault, console)
    return int(bad)


def _idle(gold: Mapping[int, float | None], probes: Iterable[Sequence[RolloutRecord]]) -> set[int]:
    """Rows on which gold earns nothing, and no probe less: there is nothing to reach."""
    lowest: dict[int, float] = {}
    for record in itertools.chain.from_iterable(probes):
        if record.reward is not None:
            lowest[record.group] = min(lowest.get(record.group, record.reward), record.reward)
    return {
        row
        for row, reward in gold.items()
        if reward is not None and reward <= 0 and reward <= lowest.get(row, reward)
    }


def _bench(options: argparse.Namespace, rows: ChosenRows) -> Bench:
    """The agent with its gold script, for what is looked for in this process."""
    agent = load_agent(options.agent)
    known = list(rows)
    gold = script_of(agent.name, _GOLD)
    return Bench(agent.function, [row for _, row in known], gold, [number for number, _ in known])


def _show_fault(fault: Fault, console: Console) -> None:
    colour = {"fault": "bold red", "doubt": "yellow", "note": "cyan"}[fault.weight]
    console.print(f"[{colour}]{fault.code.upper()}[/{colour}]", end=" ")
    for line in (fault.says, fault.example, fault.do):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _rows(options: argparse.Namespace) -> ChosenRows:
    if options.limit and options.sample:
        raise ValueError("--limit takes the first rows and --sample draws some: give one of them")
    limit = options.limit or (0 if options.sample else _ROWS)
    dataset = survey(options.dataset, instances=options.instances)
    return dataset.choose(limit=limit, sample=options.sample, seed=options.seed)


def policy_of(agent: str) -> PolicyFunction:
    """One policy for all: the trajectory id begins with the probe's name, or gold's.

    Raises:
        ValueError: the agent has no gold script to compare with.
    """
    gold = script_of(agent, _GOLD)
    probes = {name: probe(name) for name in PROBES}

    def policy(asked: SampleRequest) -> Any:
        name = _named(asked.trajectory_id)
        return gold(asked.instance, asked.messages) if name == _GOLD else probes[name](asked)

    return policy


def _play(
    options: argparse.Namespace,
    rows: ChosenRows,
    policy: PolicyFunction,
    stop: Any,
    raised: Raised,
) -> Iterator[RolloutRecord]:
    """Play every row under gold and each probe; the member's number tells which."""
    names = (_GOLD, *PROBES)
    tasks = (
        Task(f"{name}/{row}", row, member, instance)
        for row, instance in rows
        for member, name in enumerate(names)
    )
    environ = {"ROLLOUT_MAX_TURNS": str(options.max_turns)}
    with EmulatedStack(
        policy, agent=options.agent, environ=environ, on_agent_error=raised.note
    ) as stack:
        client = RolloutClient(
            stack.url, durable=False, wait_seconds=60, connections=options.concurrency
        )
        try:
            yield from play(
                LocalJob(stack, client, _PARAMS), tasks, concurrency=options.concurrency, stop=stop
            )
        finally:
            client.close()


def _named(trajectory_id: str) -> str:
    """The probe, or gold, whose rollout this is."""
    return trajectory_id.partition("/")[0]


def result_of(
    name: str,
    records: Sequence[RolloutRecord],
    gold: Mapping[int, float | None],
    allowed: Sequence[str] = (),
) -> ProbeResult:
    """Judge one probe's rollouts.

    Args:
        gold: gold's reward by row.
        allowed: probes that may earn as much.
    """
    result = ProbeResult(name, PROBES[name].does, len(records), allowed=name in allowed)
    rewards = [record.reward for record in records if record.reward is not None]
    if rewards:
        result.mean_reward, result.max_reward = statistics.fmean(rewards), max(rewards)
    golden = [reward for record in records if (reward := gold[record.group]) is not None]
    result.gold = statistics.fmean(golden) if golden else None
    result.compared = len(golden)
    for record in records:
        best = gold[record.group]
        if record.reward is not None and best is not None and record.reward >= best:
            result.reached.append(record.group)
    errors = [record.error for record in records if record.error and record.reward is None]
    result.failures = dict(Counter(f"{e['boundary']}: {e['title']}" for e in errors))
    result.crashed = any(error["boundary"] not in _WITHSTOOD for error in errors)
    result.seconds = max(record.seconds for record in records)
    result.reached.sort()
    return result


def show(results: Sequence[ProbeResult], lost: Sequence[int], console: Console) -> None:
    """Print what broke, shouted, then the table."""
    for row in lost:
        console.print(
            f"[bold red]GOLD FAILS on row {row}:[/bold red] mend the row or the script, or raise "
            "--max-turns."
        )
    for result in results:
        if result.bad:
            console.print(
                f"[bold red]{result.probe.upper()} {result.verdict}[/bold red]: a policy that "
                f"{result.does} {_harm(result)}",
                highlight=False,
                soft_wrap=True,
            )
    table = Table("probe", "mean", "max", "gold", "failed", "longest", "verdict")
    for result in results:
        failed = ", ".join(f"{count} {what}" for what, count in result.failures.items())
        table.add_row(
            result.probe,
            _number(result.mean_reward),
            _number(result.max_reward),
            _number(result.gold),
            failed,
            f"{result.seconds:.2f} s",
            f"[red]{result.verdict}[/red]" if result.bad else result.verdict,
        )
    console.print(table)


def _harm(result: ProbeResult) -> str:
    if result.reached and not result.allowed:
        rows = ", ".join(map(str, result.reached[:8]))
        return (
            f"earns gold's reward on rows {rows}; training would find this. Mend the reward, or say "
            f"--allow {result.probe} if that is right."
        )
    return (
        f"makes the rollout fail ({', '.join(result.failures)}); a job ends over failed rollouts."
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
