"""Plays one agent again and again in this process: gold as it is, gold altered, and replies made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from devkit.emulator.job_runtime import PolicyFunction
from devkit.rehearsal.in_process import play_here
from rollout.results import Result
from rollout.testing import Script

Message = dict[str, Any]
# Seconds and turns one rollout may take here.
_SECONDS, _TURNS = 20.0, 30
# As a trainer may send them; no agent would choose these by chance.
PARAMS: Mapping[str, Any] = {"temperature": 0.93, "top_p": 0.97, "max_tokens": 3_971}


@dataclass
class Bench:
    """An agent, some rows, and gold's rollouts on them.

    Args:
        agent: the agent's function.
        rows: instances, in the dataset's order.
        gold: what a perfect policy says.
        numbers: of the rows in the dataset; their places if empty.
    """

    agent: Callable[[Any], Any]
    rows: Sequence[dict[str, Any]]
    gold: Script
    numbers: Sequence[int] = ()
    _answers: dict[int, list[Message]] = field(default_factory=dict[int, list[Message]])

    def number(self, row: int) -> int:
        """A row's number in the dataset."""
        return self.numbers[row] if self.numbers else row

    def play(self, script: Script, row: int, *, trajectory_id: str = "") -> Result:
        """Play one row with a script; the instance is a copy, so that no rollout changes another's."""
        return self.ask(
            lambda asked: script(asked.instance, asked.messages), row, trajectory_id=trajectory_id
        )

    def ask(self, policy: PolicyFunction, row: int, *, trajectory_id: str = "") -> Result:
        """Play one row with a policy, which sees tools and parameters as well."""
        instance = json.loads(json.dumps(self.rows[row]))
        return play_here(
            self.agent,
            instance,
            policy,
            trajectory_id=trajectory_id or f"bench-{row}",
            params=PARAMS,
            max_turns=_TURNS,
            seconds=_SECONDS,
        )

    @cached_property
    def golden(self) -> list[Result]:
        """Gold's result on every row."""
        found: list[Result] = []
        for row in range(len(self.rows)):
            said: list[Message] = []
            found.append(self.play(_noting(self.gold, said), row))
            self._answers[row] = said
        return found

    @cached_property
    def rewards(self) -> list[float | None]:
        """Gold's reward on every row; None where its rollout failed."""
        return [result.reward for result in self.golden]

    @cached_property
    def silent(self) -> list[float | None]:
        """What a policy that says nothing earns on every row."""
        return [self.play(saying(""), row).reward for row in range(len(self.rows))]

    @cached_property
    def proven(self) -> list[int]:
        """The rows on which gold earns something; on others nothing can be compared with it."""
        return [row for row in range(len(self.rows)) if not self.gold_is_idle(row)]

    def gold_is_idle(self, row: int) -> bool:
        """Whether gold fails on a row, or earns nothing there that silence does not."""
        gold, silent = self.rewards[row], self.silent[row]
        return gold is None or (gold <= 0 and silent is not None and gold <= silent)

    def said(self, row: int) -> list[Message]:
        """What gold says on a row, turn by turn."""
        _ = self.golden
        return self._answers[row]

    def answer(self, row: int) -> str:
        """The text of gold's last reply on a row; empty where it ends on a tool call."""
        said = self.said(row)
        return text_of(said[-1]) if said else ""

    @cached_property
    def answers(self) -> list[str]:
        """Gold's last replies, one a row."""
        return [self.answer(row) for row in range(len(self.rows))]


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message."""
    content = message.get("content")
    return content if isinstance(content, str) else ""


def saying(text: str) -> Script:
    """A script that says one thing whatever it is asked."""

    def script(instance: dict[str, Any], messages: list[Message]) -> Message:
        del instance, messages
        return {"content": text}

    return script


def altered(gold: Script, change: Callable[[str], str]) -> Script:
    """Gold, with the text of each reply that calls no tool changed."""

    def script(instance: dict[str, Any], messages: list[Message]) -> Message:
        said = dict(gold(instance, messages))
        if not said.get("tool_calls"):
            said["content"] = change(text_of(said))
        return said

    return script


def _noting(script: Script, said: list[Message]) -> Script:
    def noted(instance: dict[str, Any], messages: list[Message]) -> Message:
        message = dict(script(instance, messages))
        said.append(message)
        return message

    return noted
