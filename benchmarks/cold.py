"""First invocation under the real Runtime Interface Emulator, and memory after a first rollout.

Every round starts each variant anew, in turn; the first round warms the disk and does not count.
Each variant's /rollout samples one turn, completes and rewards. Ours also accepts the rollout in
DynamoDB, records its result there and stores the trajectory in S3; "records off" is ours without,
for a like comparison. agentcore-rl-toolkit also stores its result in S3.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.ground import Ground, ground, spread
from benchmarks.packages import UNRECORDED, VARIANTS, Variant
from benchmarks.processes import emulated
from devkit.emulator.gateway import proxy_event

_JSON = [("Content-Type", "application/json")]
_ROW = {
    "question": "A bakery makes 24 rolls in each of 5 trays and sells 87. Left?",
    "answer": "#### 33",
}


def measure(rounds: int) -> dict[str, Any]:
    """Seconds of the first ``/health`` and ``/rollout``, of processor too, and bytes resident then."""
    kinds = ("health", "rollout", "health processor", "rollout processor", "resident")
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    with ground() as on:
        for number in range(rounds + 1):
            for variant in (*VARIANTS, UNRECORDED):
                health = first(variant, proxy_event("GET", "/health"), on)
                body = on.request(variant, **_ROW)
                event = proxy_event(
                    "POST", "/rollout", body=json.dumps(body).encode(), headers=_JSON
                )
                rollout = first(variant, event, on)
                on.check(body["metadata"], 1)
                if number:
                    seconds = (health[0], rollout[0], health[1], rollout[1], rollout[2])
                    for kind, value in zip(kinds, seconds, strict=True):
                        found[kind].setdefault(variant.name, []).append(value)
    return {kind: {k: spread(v) for k, v in known.items()} for kind, known in found.items()}


def first(variant: Variant, event: dict[str, Any], on: Ground) -> tuple[float, float, int]:
    """Seconds the first invocation of a fresh emulator takes, of processor, and bytes resident."""
    with emulated(variant, on.environ()) as running:
        return running.invoke(event), running.processor(), running.resident()
