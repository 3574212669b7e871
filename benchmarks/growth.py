"""How cost grows: turns of a rollout 1 to 300, instance 1 KB to 1 MB, rollouts of a process 1 to 10,000.

What counts is the cost of one more unit, in processor time of the process that plays, which the
simulator's own work and the machine's other work do not enter. A rollout whose conversation grows
repeats it in every request, as chat completions do: there a bare boto3 client that sends the same is
the floor, and our share is what lies between the two. Records are off, and the policy answers at once.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

from benchmarks.ground import Ground, ground, spread
from benchmarks.packages import BARE, OURS
from benchmarks.processes import Player
from benchmarks.warm import body_of

TURNS = (1, 3, 10, 30, 100, 300)
SIZES = (1_000, 10_000, 100_000, 1_000_000)
ROLLOUTS = (1, 10, 100, 1_000, 10_000)
_BLOCK = 50


def measure(rounds: int, rollouts: int = ROLLOUTS[-1]) -> dict[str, Any]:
    """The three curves; each point is the cost of one unit at that number of units."""
    with (
        ground(agent="ours:turns", environ={"ROLLOUT_MAX_TURNS": "400"}) as on,
        Player(OURS, on.environ()) as ours,
        Player(BARE, on.environ()) as bare,
    ):
        return {
            "turns": _turns(on, ours, bare, rounds),
            "instance": _instance(on, ours, rounds),
            "rollouts": _rollouts(on, ours, rollouts),
        }


def _turns(on: Ground, ours: Player, bare: Player, rounds: int) -> dict[str, Any]:
    """Processor time and memory of a turn beyond the first, of which there are ``n - 1``."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, grow in (("apart", False), ("growing", True)):
        for name, player in ((OURS.name, ours), (BARE.name, bare)):
            _play(on, player, 3, grow)  # makes the client
            points: dict[str, Any] = {}
            first = [_play(on, player, 1, grow) for _ in range(rounds)]
            for turns in TURNS[1:]:
                many = [_play(on, player, turns, grow) for _ in range(rounds)]
                once = statistics.median(first)
                points[str(turns)] = spread([(took - once) / (turns - 1) for took in many])
            found[f"{name}, {kind}"] = points
        first_bytes = _peak(on, ours, 1, grow)
        found[f"memory, {kind}"] = {
            str(turns): {"bytes": (_peak(on, ours, turns, grow) - first_bytes) / (turns - 1)}
            for turns in TURNS[1:]
        }
    return found


def _play(on: Ground, player: Player, turns: int, grow: bool) -> float:  # noqa: FBT001 - passed on
    metadata = on.metadata(OURS)
    answer = player.do("call", function="play", arguments=[[metadata, turns, grow]])
    on.check(metadata, turns)
    return answer["processor"][0]


def _peak(on: Ground, player: Player, turns: int, grow: bool) -> int:  # noqa: FBT001 - passed on
    metadata = on.metadata(OURS)
    return player.do("peak", function="play", arguments=[[metadata, turns, grow]])["bytes"]


def _instance(on: Ground, ours: Player, rounds: int) -> dict[str, Any]:
    """Parsing, checking and identifying a request by its size."""
    found: dict[str, dict[str, Any]] = {"processor": {}, "memory": {}}
    for size in SIZES:
        document = json.loads(body_of(size))
        text = json.dumps({**document, "metadata": on.metadata(OURS)})
        units = len(text) / 1000
        answer = ours.do("call", function="accept", arguments=[[text]] * (rounds * 4))
        found["processor"][str(size)] = spread([took / units for took in answer["processor"][1:]])
        most = ours.do("peak", function="accept", arguments=[[text]])["bytes"]
        found["memory"][str(size)] = {"bytes": most / units}
    return found


def _rollouts(on: Ground, ours: Player, most: int) -> dict[str, Any]:
    """One-turn rollouts one after another; what is resident may not grow with them."""
    found: dict[str, dict[str, Any]] = {"processor": {}, "resident": {}}
    done = 0
    for upto in (n for n in ROLLOUTS if n <= most):
        processor: list[float] = []
        while done < upto:
            block = min(_BLOCK, upto - done)
            given = [on.metadata(OURS) for _ in range(block)]
            arguments = [[metadata, 1] for metadata in given]
            processor += ours.do("call", function="play", arguments=arguments)["processor"]
            for metadata in given:
                on.check(metadata, 1)
            done += block
        found["processor"][str(upto)] = spread(processor)
        found["resident"][str(upto)] = {"bytes": ours.do("collect")["resident"]}
    return found
