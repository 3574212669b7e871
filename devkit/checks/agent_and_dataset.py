"""Whether the agent can be loaded and its dataset teaches what it seems to."""

from __future__ import annotations

import contextlib
import io
import json
import math
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from devkit.checks.check_result import CheckResult, error, ok, warning
from devkit.policies.scripts import scripts_of
from devkit.rehearsal.dataset import without_prompt
from rollout.agent import load_agent
from rollout.contract import RolloutMetadata, RolloutRequest
from rollout.errors import AgentUnavailable, RolloutError
from rollout.results import Rollout
from rollout.service.job_event import instance_of
from rollout.trust import Destination

# Lambda's synchronous payload, by which a job's event comes in.
_MAX_EVENT, _ENVELOPE = 6_000_000, 10_000
_SHOWN = 3
# Rows that the agent's own proof is made on, spread over the dataset: each plays a few rollouts.
_PROVED = 200


@dataclass(frozen=True)
class AgentAndDataset:
    """An agent and the rows it is to be trained on.

    Args:
        agent: ``module:function``.
        dataset: JSONL with a ``prompt`` column; None where there is none to look at.
        batch_size: rows of one step.
    """

    agent: str
    dataset: Path | None
    batch_size: int

    def instances(self) -> list[tuple[int, dict[str, Any]]]:
        """Line numbers and instances of the rows that a job would pass on."""
        return [
            (number, instance_of(row["prompt"]))
            for number, row in self.rows()
            if _fault(row) is None
        ]

    def rows(self) -> Iterator[tuple[int, Any]]:
        """Line numbers and parsed lines; None for a line that is not JSON."""
        if self.dataset is None:
            return
        with self.dataset.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except (ValueError, RecursionError):
                        yield number, None


def agent_loads(checked: AgentAndDataset) -> Iterator[CheckResult]:
    """The agent is there and is one."""
    try:
        loaded = load_agent(checked.agent)
    except AgentUnavailable as problem:
        mend = "Correct the parameter Agent or the agent's module."
        if problem.__cause__ is not None:
            mend += "\n" + _traced(problem.__cause__)
        yield error("agent", problem.detail, mend)
        return
    if not loaded.replay:
        yield warning(
            "agent",
            f"{checked.agent} is marked replay=False: a rollout that is interrupted fails.",
            "Make it deterministic between its episode's calls, if it can be (docs/durable.md).",
        )
        return
    yield ok("agent", "The agent loads, and a crash replays it.", checked.agent)


def dataset_rows(checked: AgentAndDataset) -> Iterator[CheckResult]:
    """Every row has a prompt, and fits into an event."""
    if checked.dataset is None:
        yield warning("dataset", "No dataset was looked at.", "Name it with --dataset FILE.")
        return
    wrong: list[str] = []
    almost: list[str] = []
    count = packed = 0
    for number, row in checked.rows():
        count += 1
        if (fault := _fault(row)) is not None:
            wrong.append(f"line {number} {fault}")
            continue
        prompt = row["prompt"]
        if instance_of(prompt) != {"prompt": prompt}:
            packed += 1
        elif prompt.lstrip().startswith("{"):
            almost.append(f"line {number}")
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        yield error(
            "dataset",
            f"{checked.dataset.name}: {'; '.join(wrong[:_SHOWN])}{more}.",
            "A job passes on nothing but the column prompt; pack the instance into it as JSON text.",
            f"{len(wrong)} of {count} rows",
        )
    elif count == 0:
        yield error("dataset", f"{checked.dataset.name} is empty.", "Write one row a problem.")
    else:
        yield ok("dataset", f"Every row has a prompt; {packed} pack an object.", f"{count} rows")
    if almost:
        yield warning(
            "dataset-json",
            f"The prompt of {', '.join(almost[:_SHOWN])} begins like a JSON object and is none that the "
            "stack reads; the agent gets it as plain text under prompt.",
            "Correct it: no repeated keys, no NaN, no lone surrogates, not too deep.",
            f"{len(almost)} of {count} rows",
        )
    if 0 < count < checked.batch_size:
        yield warning(
            "dataset-size",
            f"One step of global_batch_size={checked.batch_size} takes more rows than there are, so "
            "that rows repeat within a step.",
            f"Have {checked.batch_size} rows or more, or lower global_batch_size.",
            f"{count} rows",
        )


def duplicates(checked: AgentAndDataset) -> Iterator[CheckResult]:
    """No row comes twice: a group is the rollouts whose instance is the same."""
    where = Destination("", "check", "", "us-west-2", "check")
    lines: dict[str, list[int]] = {}
    for number, instance in checked.instances():
        metadata = RolloutMetadata(job_arn="", trajectory_id="check", endpoint="")
        try:
            rollout = Rollout.of(RolloutRequest(instance=instance, metadata=metadata), where)
        except RolloutError as problem:
            yield error("dataset", f"Line {number}: {problem.detail}", "Correct the row.")
            continue
        lines.setdefault(rollout.group, []).append(number)
    repeated = [numbers for numbers in lines.values() if len(numbers) > 1]
    if repeated:
        shown = ", ".join("lines " + " and ".join(map(str, n)) for n in repeated[:_SHOWN])
        yield warning(
            "duplicates",
            f"{len(repeated)} instances come more than once ({shown}); their rollouts look like "
            "one group in records and reports.",
            "Remove the repeats, or tell the rows apart by a field of their own.",
            f"{sum(map(len, repeated))} rows",
        )
    elif lines:
        yield ok("duplicates", "Every row is a group of its own.", f"{len(lines)} groups")


def rewards_ordered(checked: AgentAndDataset) -> Iterator[CheckResult]:
    """The environment's own ``validate`` holds for every row: gold earns more than poor."""
    try:
        load_agent(checked.agent)
    except AgentUnavailable:  # said by agent_loads, with the reason
        return
    try:
        validate = getattr(scripts_of(checked.agent), "validate", None)
    except Exception as problem:  # noqa: BLE001 - scripts are the user's code, and may raise anything
        yield warning("validate", str(problem), "Write or mend them (docs/write-your-agent.md, 6).")
        return
    if validate is None:
        yield warning(
            "validate",
            f"{checked.agent} has no validate(instance): nothing proves that its reward teaches.",
            "Write one with check_order (docs/write-your-agent.md).",
        )
        return
    failed: list[str] = []
    kinds: Counter[str] = Counter()
    first = ""
    every = checked.instances()
    instances = every[:: math.ceil(len(every) / _PROVED)] if every else []
    for number, instance in instances:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                validate(instance)
        except Exception as problem:  # noqa: BLE001 - whatever a row does to it is the finding
            failed.append(f"line {number}")
            kinds[type(problem).__name__] += 1
            first = first or _traced(problem)
    if failed:
        yield error(
            "validate",
            f"The agent's validate does not hold for {', '.join(failed[:_SHOWN])} "
            f"({', '.join(f'{n} {kind}' for kind, n in kinds.items())}).",
            f"Correct the rows, or the reward; {failed[0]} raised:\n{first}",
            f"{len(failed)} of {len(instances)} rows",
        )
    elif instances:
        measured = f"{len(instances)} of {len(every)} rows"
        yield ok("validate", "The gold script earns most on every row that was played.", measured)


def _traced(raised: BaseException) -> str:
    """What the user's code raised, as Python writes it."""
    return "".join(traceback.format_exception(raised)).rstrip()


def _fault(row: Any) -> str | None:
    """Why a job could not pass a row on, as the end of a sentence; None if it could."""
    if not isinstance(row, dict):
        return "is no JSON object"
    known = cast("dict[str, Any]", row)
    if "prompt" not in known:
        return without_prompt(known)
    prompt = known["prompt"]
    if not isinstance(prompt, str):
        return "has no text in the column prompt"
    try:
        size = len(prompt.encode())
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate)"
    return "is larger than Lambda's 6 MB event" if size > _MAX_EVENT - _ENVELOPE else None


CHECKS: tuple[Callable[[AgentAndDataset], Iterator[CheckResult]], ...] = (
    agent_loads, dataset_rows, duplicates, rewards_ordered,
)  # fmt: skip
