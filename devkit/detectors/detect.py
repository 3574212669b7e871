"""The detectors: each measures one fault, shows an example and says what to do.

They play in this process, without AWS and without a model. What needs a model's rollouts (who is paid,
whether a policy that knows nothing beats it) is found in a run by ``devkit.detectors.played``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from devkit.detectors.again import differences
from devkit.detectors.bench import Bench, Message
from devkit.detectors.cheap import CHEAP, Cheap
from devkit.detectors.fault import EQUAL, SHOWN, Fault, same
from devkit.detectors.sampling import crashes, other_parameters, scored_outages
from rollout.results import Result

# One text is right on the rows whose answer it is; a behaviour is at fault from this share of rows on.
_BY_LUCK = 0.2
# Over this share of rows one answer is a habit worth learning; below so many rows it is small numbers.
_MOSTLY, _FEW = 0.7, 8


def detect(bench: Bench, *, allow: Sequence[str] = ()) -> list[Fault]:
    """Everything that can be found without a model.

    Args:
        bench: agent, rows and gold.
        allow: names of cheap behaviours that may earn what gold earns, where that is right.
    """
    found = list(gold_fails(bench))
    if len(bench.proven) <= len(bench.rows) / 2:
        return found  # nothing is proved where gold itself earns nothing
    found += [
        *differences(bench),
        *other_parameters(bench),
        *scored_outages(bench),
        *cheap_reward(bench, allow),
        *wrong_turn(bench),
        *success_costs(bench, allow),
        *crashes(bench),
        *answer_leaked(bench),
        *one_answer(bench, allow),
    ]
    return [
        replace(fault, rows=tuple(sorted({bench.number(row) for row in fault.rows})))
        for fault in found
    ]


def gold_fails(bench: Bench) -> Iterator[Fault]:
    """Gold has no reward on a row, or earns nothing there."""
    lost = [row for row, reward in enumerate(bench.rewards) if reward is None]
    if lost:
        error = bench.golden[lost[0]].failure
        yield Fault(
            "gold-fails",
            len(lost) / len(bench.rows),
            tuple(lost),
            f"Gold's own rollout fails on {len(lost)} of {len(bench.rows)} rows.",
            f"row {bench.number(lost[0])}: {error}",
            "Mend the row, the agent or the gold script; until then no probe proves anything there.",
        )
    idle = [row for row in range(len(bench.rows)) if row not in bench.proven and row not in lost]
    if idle:
        yield Fault(
            "gold-earns-nothing",
            len(idle) / len(bench.rows),
            tuple(idle),
            f"Gold earns nothing, as a policy that is silent, on {len(idle)} of {len(bench.rows)} rows.",
            _example(bench, idle[0], "", bench.silent[idle[0]]),
            "Let validate() prove that gold earns the most, then probe again.",
        )


def cheap_reward(bench: Bench, allow: Sequence[str] = ()) -> Iterator[Fault]:
    """A behaviour that does not solve the problem earns gold's reward, or more."""
    for cheap in CHEAP:
        if cheap.name in allow:
            continue
        played = _played(bench, cheap)
        if not played:
            continue
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
        if not same(spoiled.rewards[:-1], gold.rewards[:-1]) or same(spoiled.rewards, gold.rewards):
            moved.append((row, spoiled))
    if moved:
        row, spoiled = moved[0]
        yield Fault(
            "wrong-turn",
            len(moved) / len(bench.rows),
            tuple(row for row, _ in moved),
            "Nonsense in gold's last reply changes the reward of an earlier turn, or none at all.",
            f"row {bench.number(row)}: gold {bench.golden[row].rewards}, with its last reply spoiled "
            f"{spoiled.rewards}",
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
            f"row {bench.number(row)}: {bench.answer(row)[:SHOWN]!r}",
            "Keep the answer out of prompts, tool descriptions and tool results.",
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
            repr(bench.answer(said.index(usual))[:SHOWN]),
            "Balance the rows, or pay for the rare answers more, or allow commonest.",
        )


def _played(bench: Bench, cheap: Cheap) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for row in bench.proven:
        script = cheap.make(bench, row)
        result = bench.play(script, row) if script else None
        if result is None or result.reward is None or (cheap.acts and _acted(bench, row, result)):
            continue
        found.append((row, result.reward))
    return found


def _acted(bench: Bench, row: int, result: Result, metric: str = "success") -> bool:
    """Whether the author's own metric says that gold's tool calls alone have solved the row."""
    calls = any(message.get("tool_calls") for message in bench.said(row))
    best = bench.golden[row].metrics.get(metric)
    return calls and best is not None and result.metrics.get(metric, 0.0) >= best - EQUAL


def _spoiled_last(bench: Bench, last: int) -> Any:
    def script(instance: dict[str, Any], messages: list[Message]) -> Mapping[str, Any]:
        done = sum(message.get("role") == "assistant" for message in messages)
        said = bench.gold(instance, messages)
        return {"content": "qwx zzt"} if done == last - 1 else said

    return script


def _first_request(result: Result) -> str:
    first = result.transcript[0]
    return json.dumps([first["messages"], first["params"]], ensure_ascii=False, sort_keys=True)


def _example(bench: Bench, row: int, name: str, reward: float | None) -> str:
    gold = bench.rewards[row]
    said = name or "nothing"
    return f"row {bench.number(row)}: {said} earned {reward}, gold {gold} ({bench.answer(row)[:SHOWN]!r})"
