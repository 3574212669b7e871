"""What a verdict is made of, counted rollout by rollout.

Memory stays small however long the run: some hundred bytes a rollout, eight a turn, and no text.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Any, cast

from devkit.rehearsal.run_files import RolloutRecord
from rollout.reply import Reply
from rollout.rewards import all_same
from rollout.rubric import criteria_of
from rollout.text_tool_calls import text_calls


def _doubles() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Group:
    """The rollouts of one problem.

    Args:
        played: rollouts, failed ones included.
        passed: rollouts whose reward reaches the pass mark; a failed one never does.
        rewards: of the rollouts that have one.
        seen: members that were counted, one bit each.
    """

    played: int = 0
    passed: int = 0
    rewards: array[float] = field(default_factory=_doubles)
    seen: int = 0

    @property
    def mean(self) -> float | None:
        """Mean reward; None where every rollout failed."""
        return fmean(self.rewards) if self.rewards else None

    @property
    def deviation(self) -> float:
        """Standard deviation of the rewards (population)."""
        return pstdev(self.rewards) if self.rewards else 0.0

    @property
    def comparable(self) -> bool:
        """Whether there are two rewards to compare."""
        return len(self.rewards) > 1

    @property
    def flat(self) -> bool:
        """Whether all rewards are equal but for rounding, so that the group teaches nothing."""
        return self.comparable and all_same(self.rewards)


@dataclass(slots=True)
class RunCounts:
    """A run's counts.

    Args:
        pass_at: reward from which on a rollout has passed.
    """

    pass_at: float = 1.0
    groups: dict[int, Group] = field(default_factory=dict[int, Group])
    rollouts: int = 0
    rewards: array[float] = field(default_factory=_doubles)
    seconds: array[float] = field(default_factory=_doubles)
    policy_seconds: array[float] = field(default_factory=_doubles)
    turn_seconds: array[float] = field(default_factory=_doubles)
    turns: array[float] = field(default_factory=_doubles)
    completion_tokens: array[float] = field(default_factory=_doubles)
    prompt_tokens: array[float] = field(default_factory=_doubles)
    reply_bytes: int = 0
    request_bytes: int = 0
    most_tool_calls: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    truncated: int = 0
    text_tool_calls: int = 0
    unsampled: int = 0
    miscounted: int = 0
    reported: int = 0
    unrewarded: int = 0
    without_usage: int = 0
    criteria: dict[str, array[float]] = field(default_factory=dict[str, "array[float]"])
    failures: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def add(self, record: RolloutRecord) -> None:
        """Count one rollout.

        Raises:
            ValueError: it was counted before.
        """
        group = self.groups.setdefault(record.group, Group())
        if group.seen >> record.member & 1:
            raise ValueError(
                f"rollout {record.trajectory_id} (group {record.group}, member {record.member}) "
                "stands in the run twice; delete one of the lines"
            )
        group.seen |= 1 << record.member
        group.played += 1
        self.rollouts += 1
        if record.reward is not None:
            group.rewards.append(record.reward)
            group.passed += record.reward >= self.pass_at
            self.rewards.append(record.reward)
        if record.status == "failed":
            error = record.error or {}
            self.failures[error.get("boundary", "unknown"), error.get("title", "unknown")] += 1
        for name, value in criteria_of(record.metrics).items():
            self.criteria.setdefault(name, _doubles()).append(value)
        self.seconds.append(record.seconds)
        self.request_bytes += len(json.dumps(record.instance))
        self._add_turns(record)
        self._add_reports(record)

    def _add_turns(self, record: RolloutRecord) -> None:
        self.turns.append(len(record.turns))
        known = [turn.seconds for turn in record.turns if turn.seconds is not None]
        self.turn_seconds.extend(known)
        if known and len(known) == len(record.turns):
            self.policy_seconds.append(sum(known))
        self.reply_bytes += sum(len(json.dumps(turn.message)) for turn in record.turns)
        usages = [turn.usage for turn in record.turns]
        if any("completion_tokens" not in usage for usage in usages):
            self.without_usage += 1
        else:
            self.completion_tokens.append(sum(usage["completion_tokens"] for usage in usages))
            self.prompt_tokens.append(sum(usage.get("prompt_tokens", 0) for usage in usages))
        made, failed = tool_calls(record)
        self.most_tool_calls = max(self.most_tool_calls, made)
        self.tool_calls += made
        self.tool_errors += failed
        self.truncated += record.truncated
        self.text_tool_calls += calls_in_text(record) > 0
        self.unsampled += record.sampled == 0
        self.miscounted += len(record.turns) != record.turns_answered

    def _add_reports(self, record: RolloutRecord) -> None:
        if record.reports:
            self.reported += 1
        delivered = any(
            report.startswith("UpdateReward") and report.endswith(" 200")
            for report in record.reports
        )
        self.unrewarded += record.status == "ready" and not delivered


def count_rollouts(records: Iterable[RolloutRecord], pass_at: float = 1.0) -> RunCounts:
    """Count a run's rollouts."""
    counted = RunCounts(pass_at=pass_at)
    for record in records:
        counted.add(record)
    return counted


def tool_calls(record: RolloutRecord) -> tuple[int, int]:
    """Tool calls of a rollout, and how many came to an error.

    As ``converse`` counted them in the metrics; for an agent with a loop of its own the calls in the
    replies, and the tool messages that begin with "Error".
    """
    if "tool_calls" in record.metrics:
        return int(record.metrics["tool_calls"]), int(record.metrics.get("tool_errors", 0))
    made = sum(len(turn.message.get("tool_calls") or ()) for turn in record.turns)
    failed = sum(
        message.get("role") == "tool" and str(message.get("content")).startswith("Error")
        for turn in record.turns
        for message in turn.messages
    )
    return made, min(made, failed)


def calls_in_text(record: RolloutRecord) -> int:
    """Tool calls that the policy wrote as plain text, as ``rollout.text_tool_calls`` reads them."""
    found = 0
    for turn in record.turns:
        if turn.message.get("tool_calls"):
            continue
        names, text = _offered(turn.params), Reply(turn.message, "", {}, {}).text
        if any(name in text for name in names):  # reading every text as Python would cost the most
            found += len(text_calls(text, names))
    return found


def _offered(params: dict[str, Any]) -> set[str]:
    tools = params.get("tools")
    names: set[str] = set()
    for tool in cast("list[Any]", tools) if isinstance(tools, list) else []:
        function = cast("dict[str, Any]", tool).get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            names.add(str(cast("dict[str, Any]", function).get("name")))
    return names
