"""1,000 rollouts at once on one pool of threads in one process, each of two turns of one second.

The simulator's model takes a second a turn whatever the load, so that all rollouts are in flight
together; what a rollout takes beyond its two seconds is overhead. Throughput is bounded by the
simulator, which shares the machine: read it as a ratio. Records are off here, for the local DynamoDB
and S3 would be what is measured.
"""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

from benchmarks.ground import ground
from benchmarks.packages import BARE, OURS, SDK
from benchmarks.processes import Player
from devkit.emulator.job_runtime import SampleRequest

TURNS = 2
_THINKS = 1.0


async def _think(asked: SampleRequest) -> dict[str, Any]:
    del asked
    await asyncio.sleep(_THINKS)
    return {"content": "5"}


def measure(rollouts: int) -> dict[str, Any]:
    """Throughput, overhead and memory of each variant."""
    found: dict[str, Any] = {}
    with ground(_think) as on:
        for variant in (BARE, OURS, SDK):
            with Player(variant, on.environ()) as player:
                warm = on.metadata(variant)
                player.do("call", function="play", arguments=[[warm, TURNS]])
                before = player.do("collect")["resident"]
                given = [on.metadata(variant) for _ in range(rollouts)]
                arguments = [[metadata, TURNS] for metadata in given]
                answer = player.do(
                    "at_once", function="play", arguments=arguments, workers=rollouts
                )
                for metadata in given:
                    on.check(metadata, TURNS)
                over = [seconds - TURNS * _THINKS for seconds in answer["seconds"]]
                cuts = statistics.quantiles(over, n=100)
                found[variant.name] = {
                    "rollouts": rollouts,
                    "per_second": rollouts / answer["took"],
                    "processor": answer["processor"] / rollouts,
                    "p50": cuts[49],
                    "p99": cuts[98],
                    "resident": answer["resident"],
                    "per_rollout": (answer["resident"] - before) / rollouts,
                }
    return found
