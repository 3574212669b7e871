"""The detectors: each measures one fault, shows an example and says what to do.

They play in this process, without AWS and without a model. What needs a model's rollouts (who is paid,
whether a policy that knows nothing beats it) is judged from a run by ``devkit.verdict``.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devkit.detectors.bench import Bench, Message, altered, saying
from devkit.detectors.cheap import CHEAP, Cheap
from rollout.results import Result

# Rewards nearer than this are equal.
EQUAL = 1e-9
# One text is right on the rows whose answer it is; a behaviour is at fault from this share of rows on.
_BY_LUCK = 0.2
# Over this share of rows one answer is a habit worth learning; below so many rows it is small numbers.
_MOSTLY, _FEW = 0.7, 8
# Where a row asks its question, for what two rows have in common.
_QUESTIONS = ("question", "prompt", "problem", "input", "task")
# What is shown of a text.
_SHOWN = 160
_ODD_REPLIES = (
    "",
    " ",
    "\u0000",
    "\ud7ff\u2028",
    "🦀" * 200,
    "9" * 5_000,
    "[" * 2_000,
    '{"a": ' * 200,
    "<think>",
    "</answer>",
    "a\n" * 20_000,
    "-",
    "1e999",
    "NaN",
    "None",
    "0/0",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that was found.

    Args:
        code: stable; programs may match on it.
        measured: the number it rests on.
        rows: where it was seen, by the rows' places.
        says: what is wrong, in a sentence.
        example: what was said there and what it earned.
        do: what to do about it.
    """

    code: str
    measured: float
    rows: tuple[int, ...]
    says: str
    example: str
    do: str


def detect(bench: Bench, *, allow: Sequence[str] = ()) -> list[Fault]:
    """Everything that can be found without a model.

    Args:
        bench: agent, rows and gold.
        allow: names of cheap behaviours that may earn what gold earns, where that is right.
    """
    found = list(gold_fails(bench))
    if found:  # probes prove nothing where gold itself earns nothing
        return found
    return [
        *chance(bench),
        *cheap_reward(bench, allow),
        *wrong_turn(bench),
        *success_costs(bench, allow),
        *crashes(bench),
        *answer_leaked(bench),
        *contradictions(bench),
        *one_answer(bench, allow),
        *duplicates(bench),
    ]


def gold_fails(bench: Bench) -> Iterator[Fault]:
    """Gold has no reward, or no more than a policy that says nothing."""
    lost = [row for row, reward in enumerate(bench.rewards) if reward is None]
    if lost:
        error = bench.golden[lost[0]].failure
        yield Fault(
            "gold-fails",
            len(lost) / len(bench.rows),
            tuple(lost),
            f"Gold's own rollout fails on {len(lost)} of {len(bench.rows)} rows.",
            f"row {lost[0]}: {error}",
            "Mend the row, the agent or the gold script; until then no probe proves anything.",
        )
        return
    silent = [bench.play(saying(""), row).reward for row in range(len(bench.rows))]
    idle = [
        row
        for row, (gold, nothing) in enumerate(zip(bench.rewards, silent, strict=True))
        if gold is not None and nothing is not None and gold <= nothing + EQUAL
    ]
    if len(idle) == len(bench.rows):
        yield Fault(
            "gold-earns-nothing",
            1.0,
            tuple(idle),
            "Gold earns no more than a policy that says nothing, on every row.",
            _example(bench, idle[0], "", silent[idle[0]]),
            "Let validate() prove that gold earns the most, then probe again.",
        )


def chance(bench: Bench) -> Iterator[Fault]:
    """The same replies earn another reward: chance, a clock, or state that rollouts share."""
    rows = range(len(bench.rows))
    again = [(row, bench.play(bench.gold, row, trajectory_id=f"again-{row}")) for row in rows]
    again += [
        (row, bench.play(bench.gold, row, trajectory_id=f"last-{row}")) for row in reversed(rows)
    ]
    moved = [(row, r) for row, r in again if not _same(r.rewards, bench.golden[row].rewards)]
    if moved:
        row, result = moved[0]
        yield Fault(
            "chance",
            len({row for row, _ in moved}) / len(bench.rows),
            tuple(sorted({row for row, _ in moved})),
            "Gold's words earn another reward when they are said again.",
            f"row {row}: {bench.golden[row].rewards} first, {result.rewards} later",
            "Take chance from episode.random, keep no state outside the episode, compare with no clock.",
        )
    asked = [row for row, result in again if _requests(result) != _requests(bench.golden[row])]
    if asked:
        yield Fault(
            "asks-differently",
            len(set(asked)) / len(bench.rows),
            tuple(sorted(set(asked))),
            "The agent asks the policy something else when the same row is played again.",
            f"row {asked[0]}",
            "Build every request from the instance, the replies and episode.random alone; a durable "
            "rollout that asks differently after a crash fails.",
        )


def cheap_reward(bench: Bench, allow: Sequence[str] = ()) -> Iterator[Fault]:
    """A behaviour that does not solve the problem earns gold's reward, or more."""
    for cheap in CHEAP:
        if cheap.name in allow:
            continue
        played = _played(bench, cheap)
        more = [row for row, reward in played if reward > (bench.rewards[row] or 0.0) + EQUAL]
        equal = [row for row, reward in played if reward >= (bench.rewards[row] or 0.0) - EQUAL]
        if more:
            reward = dict(played)[more[0]]
            yield Fault(
                "better-than-gold",
                len(more) / len(played),
                tuple(more),
                f"A policy that {cheap.does} earns more than gold on {len(more)} of "
                f"{len(played)} rows.",
                _example(bench, more[0], cheap.name, reward),
                "Training would find this first and success would fall: cap the reward at what "
                "solving earns.",
            )
        elif len(equal) > max(1, _BY_LUCK * len(played)):
            reward = dict(played)[equal[0]]
            yield Fault(
                "cheap-gold",
                len(equal) / len(played),
                tuple(equal),
                f"A policy that {cheap.does} earns gold's reward on {len(equal)} of "
                f"{len(played)} rows.",
                _example(bench, equal[0], cheap.name, reward),
                f"Pay for the right answer alone, or allow {cheap.name} if it is right here.",
            )


def wrong_turn(bench: Bench) -> Iterator[Fault]:
    """Rewards per turn that do not belong to their turns."""
    moved: list[tuple[int, Result]] = []
    for row, gold in enumerate(bench.golden):
        if gold.rewards is None or len(gold.rewards) < 2:
            continue
        last = len(bench.said(row))
        spoiled = bench.play(_spoiled_last(bench, last), row)
        if spoiled.rewards is None or len(spoiled.rewards) != len(gold.rewards):
            continue
        if not _same(spoiled.rewards[:-1], gold.rewards[:-1]) or _same(
            spoiled.rewards, gold.rewards
        ):
            moved.append((row, spoiled))
    if moved:
        row, spoiled = moved[0]
        yield Fault(
            "wrong-turn",
            len(moved) / len(bench.rows),
            tuple(row for row, _ in moved),
            "Nonsense in gold's last reply changes the reward of an earlier turn, or none at all.",
            f"row {row}: gold {bench.golden[row].rewards}, with its last reply spoiled {spoiled.rewards}",
            "Give each turn the reward of what was said in it: the list's places are the turns.",
        )


def success_costs(
    bench: Bench, allow: Sequence[str] = (), *, metric: str = "success"
) -> Iterator[Fault]:
    """A rollout with less success, by the agent's own metric, earns more than one with more."""
    for row, gold in enumerate(bench.golden):
        best = gold.metrics.get(metric)
        if best is None or gold.reward is None:
            continue
        for cheap in CHEAP:
            script = None if cheap.name in allow else cheap.make(bench, row)
            result = bench.play(script, row) if script else None
            if result is None or result.reward is None or metric not in result.metrics:
                continue
            if result.metrics[metric] < best - EQUAL and result.reward >= gold.reward - EQUAL:
                yield Fault(
                    "success-costs",
                    result.reward - gold.reward,
                    (row,),
                    f"A policy that {cheap.does} has {metric} {result.metrics[metric]:g} and earns "
                    f"{result.reward:g}; gold has {best:g} and earns {gold.reward:g}.",
                    _example(bench, row, cheap.name, result.reward),
                    "Let more success never pay less.",
                )
                return


def crashes(bench: Bench) -> Iterator[Fault]:
    """Odd replies that make the agent or its grader raise."""
    for text in _ODD_REPLIES:
        for name, script in (
            ("alone", saying(text)),
            ("in gold's last reply", altered(bench.gold, lambda _, text=text: text)),
        ):
            result = bench.play(script, 0)
            if _boundary(result) in ("agent", "platform"):
                yield Fault(
                    "grader-crashes",
                    1.0,
                    (0,),
                    f"The agent fails on an odd reply ({name}).",
                    f"row 0: {text[:40]!r} -> {result.failure}",
                    "A bad reply is data: score it, or end the episode; a failed rollout can end a job.",
                )
                return


def answer_leaked(bench: Bench) -> Iterator[Fault]:
    """Gold's answer stands in what the policy is told before it has said anything.

    Only where the same text is told on most rows while the answers differ is it sure to be a leak: a
    question may name its answer by nature ("which is larger, 3 or 7").
    """
    leaking: list[int] = []
    for row, result in enumerate(bench.golden):
        answer = bench.answer(row).strip()
        if len(answer) < 4 or not result.transcript:
            continue
        first = _first_request(result)
        asked = json.dumps(bench.rows[row].get("question", bench.rows[row].get("prompt", "")))
        if answer in first and answer not in asked:
            leaking.append(row)
    if len(leaking) > len(bench.rows) / 2:
        row = leaking[0]
        yield Fault(
            "answer-leaked",
            len(leaking) / len(bench.rows),
            tuple(leaking),
            f"Gold's answer stands in the first request on {len(leaking)} of {len(bench.rows)} rows.",
            f"row {row}: {bench.answer(row)[:_SHOWN]!r}",
            "Keep the answer out of prompts, tool descriptions and tool results.",
        )


def contradictions(bench: Bench) -> Iterator[Fault]:
    """Rows that ask the same and want different answers."""
    seen: dict[str, tuple[int, str]] = {}
    against: list[tuple[int, int]] = []
    for row, instance in enumerate(bench.rows):
        asked = {name: instance[name] for name in _QUESTIONS if name in instance}
        if not asked:
            continue
        rest = {name: value for name, value in instance.items() if name not in asked}
        first = seen.setdefault(json.dumps(asked, sort_keys=True), (row, bench.answer(row)))
        if first[1] != bench.answer(row) and not _differs(bench.rows[first[0]], rest):
            against.append((first[0], row))
    if against:
        yield Fault(
            "contradicting-gold",
            len(against) / len(bench.rows),
            tuple(sorted(set(itertools.chain.from_iterable(against)))),
            f"{len(against)} pairs of rows ask the same and want different answers.",
            f"rows {against[0][0]} and {against[0][1]}",
            "Drop one of each pair, or ask for what tells them apart.",
        )


def one_answer(bench: Bench, allow: Sequence[str] = ()) -> Iterator[Fault]:
    """One answer is right nearly everywhere: saying it always is learned instead of the task."""
    said = [json.dumps(bench.said(row), sort_keys=True) for row in range(len(bench.rows))]
    counted = Counter(said)
    if len(counted) < 2 or len(bench.rows) < _FEW or "commonest" in allow:
        return
    (usual, most), *_ = counted.most_common(1)
    if most / len(bench.rows) > _MOSTLY:
        yield Fault(
            "one-answer",
            most / len(bench.rows),
            tuple(row for row, each in enumerate(said) if each == usual),
            f"One answer is right on {most} of {len(bench.rows)} rows.",
            repr(bench.answer(said.index(usual))[:_SHOWN]),
            "Balance the rows, or pay for the rare answers more, or allow commonest.",
        )


def duplicates(bench: Bench) -> Iterator[Fault]:
    """Rows that stand in the dataset more than once."""
    seen: dict[str, int] = {}
    twice: list[tuple[int, int]] = []
    for row, instance in enumerate(bench.rows):
        first = seen.setdefault(json.dumps(instance, sort_keys=True), row)
        if first != row:
            twice.append((first, row))
    if twice:
        yield Fault(
            "duplicate-rows",
            len(twice) / len(bench.rows),
            tuple(row for _, row in twice),
            f"{len(twice)} rows stand in the dataset a second time.",
            f"rows {twice[0][0]} and {twice[0][1]}",
            "Drop them: they weigh twice, and in a validation set they tell nothing new.",
        )


def _differs(instance: dict[str, Any], rest: dict[str, Any]) -> bool:
    """Whether more than one further field tells two rows apart: one is the answer itself."""
    return sum(instance.get(name) != value for name, value in rest.items()) > 1


def _played(bench: Bench, cheap: Cheap) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for row in range(len(bench.rows)):
        script = cheap.make(bench, row)
        reward = bench.play(script, row).reward if script else None
        if reward is not None:
            found.append((row, reward))
    return found


def _spoiled_last(bench: Bench, last: int) -> Any:
    def script(instance: dict[str, Any], messages: list[Message]) -> Mapping[str, Any]:
        done = sum(message.get("role") == "assistant" for message in messages)
        said = bench.gold(instance, messages)
        return {"content": "qwx zzt"} if done == last - 1 else said

    return script


def _same(left: Sequence[float] | None, right: Sequence[float] | None) -> bool:
    if left is None or right is None:
        return left is right
    return len(left) == len(right) and all(
        abs(a - b) <= EQUAL for a, b in zip(left, right, strict=True)
    )


def _requests(result: Result) -> list[Any]:
    return [(turn["messages"], turn["params"]) for turn in result.transcript]


def _first_request(result: Result) -> str:
    first = result.transcript[0]
    return json.dumps([first["messages"], first["params"]], ensure_ascii=False, sort_keys=True)


def _boundary(result: Result) -> str:
    return result.failure.boundary if result.failure else ""


def _example(bench: Bench, row: int, name: str, reward: float | None) -> str:
    gold = bench.rewards[row]
    said = name or "nothing"
    return f"row {row}: {said} earned {reward}, gold {gold} ({bench.answer(row)[:_SHOWN]!r})"
