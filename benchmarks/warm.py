"""Warm overhead of the endpoint at 1 KB, 100 KB and 1 MB, beside pydantic alone and the peers.

Every variant is a process with its own packages. Each takes the same proxy event, parses and
validates the RolloutRequest and answers with the trajectory id. They take turns in blocks: within a
block a variant finds the processor's caches as it left them, as it does when it alone is running.
"""

from __future__ import annotations

import json
import statistics
from contextlib import ExitStack
from typing import Any

from benchmarks.ground import ground, spread
from benchmarks.packages import VARIANTS
from benchmarks.processes import Player
from devkit.emulator.gateway import proxy_event

SIZES = {"1 KB": (1_000, 100), "100 KB": (100_000, 20), "1 MB": (1_000_000, 4)}
_JSON = [("Content-Type", "application/json")]


def body_of(size: int) -> bytes:
    """A request of about ``size`` bytes: rows of text and numbers, as datasets have them."""
    rows = [
        {"id": n, "text": "the quick brown fox jumps over", "score": n / 7}
        for n in range(size // 75)
    ]
    metadata = {"job_arn": "arn", "trajectory_id": "t", "endpoint": "https://e", "region": "r"}
    document = {"instance": {"parse_only": True, "rows": rows}, "metadata": metadata}
    return json.dumps(document).encode()


def measure(rounds: int) -> dict[str, Any]:
    """Seconds of one warm invocation, by size and variant."""
    found: dict[str, Any] = {}
    with ground() as on, ExitStack() as opened:
        players = {v.name: opened.enter_context(Player(v, on.environ())) for v in VARIANTS}
        for label, (size, times) in SIZES.items():
            event = proxy_event("POST", "/parse", body=body_of(size), headers=_JSON)
            seconds: dict[str, list[float]] = {}
            for number in range(rounds + 1):
                for name, player in players.items():
                    block = player.do("handle", event=event, times=times)["seconds"]
                    if number:
                        seconds.setdefault(name, []).append(statistics.median(block))
            found[label] = {name: spread(blocks) for name, blocks in seconds.items()}
    return found
