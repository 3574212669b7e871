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
    """Seconds, and seconds of processor, per further turn; and of a whole rollout of one turn."""
    found: dict[str, dict[str, list[float]]] = {"turn": {}, "processor": {}, "whole": {}}
    with ground(agent="ours:turns") as on, ExitStack() as opened:
        players = {v: opened.enter_context(Player(v, on.environ())) for v in (BARE, OURS, SDK)}
        for number in range(rounds + 1):
            for name, (variant, function) in _WAYS.items():
                measurements: dict[int, dict[str, Any]] = {}
                for turns in (1, MANY):
                    metadata = on.metadata(variant)
                    arguments = [[metadata, turns]]
                    measurements[turns] = players[variant].do(
                        "call", function=function, arguments=arguments
                    )
                    on.check(metadata, turns)
                if number:
                    for key, measured in (("turn", "seconds"), ("processor", "processor")):
                        more = measurements[MANY][measured][0] - measurements[1][measured][0]
                        found[key].setdefault(name, []).append(more / (MANY - 1))
                    found["whole"].setdefault(name, []).append(measurements[1]["seconds"][0])
    return {key: {name: spread(v) for name, v in known.items()} for key, known in found.items()}
