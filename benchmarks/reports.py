"""Completion and reward report: two calls to the same simulator, by each client as it comes.

Ours and the reference SDK's RolloutFeedbackClient are made anew for each rollout, as its
documentation shows; ours keeps its connections meanwhile. Clients take turns in blocks.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks.ground import ground, spread
from benchmarks.packages import BARE, OURS, SDK
from benchmarks.processes import Player

_BLOCK = 10


def measure(rounds: int) -> dict[str, Any]:
    """Seconds from a computed reward to the trainer's second answer."""
    seconds: dict[str, list[float]] = {}
    variants = (BARE, OURS, SDK)
    with ground() as on, ExitStack() as opened:
        players = {v: opened.enter_context(Player(v, on.environ())) for v in variants}
        for number in range(rounds + 1):
            for variant, player in players.items():
                given = [on.metadata(variant) for _ in range(_BLOCK)]
                arguments = [[metadata] for metadata in given]
                took = player.do("call", function="report", arguments=arguments)["seconds"]
                for metadata in given:
                    on.check(metadata, 0)
                if number:
                    seconds.setdefault(variant.name, []).extend(took)
    return {name: spread(found) for name, found in seconds.items()}
