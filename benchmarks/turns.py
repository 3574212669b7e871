"""What a turn costs beyond the model: rollouts of 1 and of many turns against an instant policy.

A turn's cost is the slope between the two, so that what a rollout costs once does not count. A bare
boto3 client is the floor; the reference SDK samples with the OpenAI client it is documented with.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks.ground import ground, spread
from benchmarks.packages import BARE, OURS, SDK, Variant
from benchmarks.processes import Player

MANY = 40
# What is played, by the name in the table.
_WAYS: dict[str, tuple[Variant, str]] = {
    BARE.name: (BARE, "play"),
    OURS.name: (OURS, "play_recorded"),
    f"{OURS.name}, records off": (OURS, "play"),
    SDK.name: (SDK, "play"),
}


def measure(rounds: int) -> dict[str, Any]:
    """Seconds per further turn, and of a whole rollout of one turn."""
    turn: dict[str, list[float]] = {}
    whole: dict[str, list[float]] = {}
    with ground(agent="ours:turns") as on, ExitStack() as opened:
        players = {v: opened.enter_context(Player(v, on.environ())) for v in (BARE, OURS, SDK)}
        for number in range(rounds + 1):
            for name, (variant, function) in _WAYS.items():
                took: dict[int, float] = {}
                for turns in (1, MANY):
                    metadata = on.metadata(variant)
                    told = [[metadata, turns]]
                    answer = players[variant].do("call", function=function, arguments=told)
                    on.check(metadata, turns)
                    took[turns] = answer["seconds"][0]
                if number:
                    turn.setdefault(name, []).append((took[MANY] - took[1]) / (MANY - 1))
                    whole.setdefault(name, []).append(took[1])
    return {
        "turn": {name: spread(found) for name, found in turn.items()},
        "whole": {name: spread(found) for name, found in whole.items()},
    }
