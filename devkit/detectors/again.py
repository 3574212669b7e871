"""Gold played again: whatever differs is chance, a clock, or state that rollouts share.

A worker that was killed is a fresh process and hides most of this; a second rollout in the same process
shows it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devkit.detectors.bench import Bench
from devkit.detectors.clock import clock_of
from devkit.detectors.fault import SHOWN, Fault, same
from devkit.emulator.job_runtime import PolicyFunction, SampleRequest
from rollout.conversation import read
from rollout.results import Result

# Rollouts at once; a day of the week, an hour and a minute that are not now's.
_AT_ONCE, _ANOTHER_TIME = 4, 86_400 * 10 + 3_600 * 7 + 61 * 17
# Seconds a turn takes where rollouts are played at once.
_TURN = 0.005
_PLAYED = tuple[str, int, Result]


def differences(bench: Bench) -> Iterator[Fault]:
    """The same words earn another reward, or the agent asks something else."""
    played = list(_again(bench))
    moved = [each for each in played if not same(each[2].rewards, bench.golden[each[1]].rewards)]
    if moved:
        how, row, result = moved[0]
        yield Fault(
            "chance",
            len({row for _, row, _ in moved}) / len(bench.rows),
            tuple({row for _, row, _ in moved}),
            f"Gold's words earn another reward when they are said {how}.",
            f"row {bench.number(row)}: {bench.golden[row].rewards} first, {result.rewards} later",
            "Take chance from episode.random, keep no state outside the episode, compare with no clock.",
            evidence=(transcript(bench.golden[row]), transcript(result)),
        )
    # With another seed an agent may shuffle what it asks; with the same one it may not.
    asked = [
        each
        for each in played
        if each[0] != _SEED and _requests(each[2]) != _requests(bench.golden[each[1]])
    ]
    if asked:
        how, row, result = asked[0]
        yield Fault(
            "asks-differently",
            len({row for _, row, _ in asked}) / len(bench.rows),
            tuple({row for _, row, _ in asked}),
            f"The agent asks the policy something else when the same row is played {how}.",
            f"row {bench.number(row)}: {_first_difference(bench.golden[row], result)}",
            "Build every request from the instance, the replies and episode.random alone; a durable "
            "rollout that asks differently after a crash fails.",
            evidence=(transcript(bench.golden[row]), transcript(result)),
        )


_SEED = "with another seed"


def _again(bench: Bench) -> Iterator[_PLAYED]:
    for row in bench.proven:
        yield "again", row, bench.play(bench.gold, row)
    for row in reversed(bench.proven):
        yield "in another order", row, bench.play(bench.gold, row)
    for row in bench.proven:
        yield _SEED, row, bench.play(bench.gold, row, trajectory_id=f"again-{row}")
    for shift, flow in ((_ANOTHER_TIME, 0.0), (0, 3_600.0)):
        with clock_of(bench.agent, shift, flow):
            for row in bench.proven:
                yield "at another time", row, bench.play(bench.gold, row)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = pool.map(bench.ask, [_slowly(bench)] * len(bench.proven), bench.proven)
        for row, result in zip(bench.proven, results, strict=True):
            yield "beside others at once", row, result


def _slowly(bench: Bench) -> PolicyFunction:
    """Gold, with time for another rollout to get between two turns."""

    def policy(asked: SampleRequest) -> Any:
        time.sleep(_TURN)
        return bench.gold(asked.instance, asked.messages)

    return policy


def transcript(result: Result) -> dict[str, Any]:
    """A rollout as evidence: what was said last of all, and what it earned."""
    turns = result.transcript
    asked: list[Any] = []
    for request in read((turn["repeated"], turn["messages"]) for turn in turns):
        asked = request.messages
    said = [turns[-1]["reply"]["choices"][0]["message"]] if turns else []
    return {"messages": [*asked, *said], "rewards": result.rewards, "metrics": result.metrics}


def _requests(result: Result) -> list[Any]:
    return [(turn["messages"], turn["params"]) for turn in result.transcript]


def _first_difference(first: Result, later: Result) -> str:
    """Where two texts part, with what stands there in each."""
    one, other = (json.dumps(_requests(result), ensure_ascii=False) for result in (first, later))
    place = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    begin = max(0, place - SHOWN // 8)
    return f"{one[begin : place + SHOWN // 4]!r} first, {other[begin : place + SHOWN // 4]!r} later"
