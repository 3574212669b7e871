"""What every measurement stands on: the simulators, problems handed out, and how figures are put."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.packages import SDK, Variant
from devkit.emulator.stack import JOB_ARN, EmulatedStack

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Ground:
    """A running stack."""

    stack: EmulatedStack

    def environ(self) -> dict[str, str]:
        """The environment of a variant's process."""
        return self.stack.environ()

    def request(self, variant: Variant, **instance: Any) -> dict[str, Any]:
        """Hand out a new problem; the body of POST /rollout for it."""
        body = self.stack.request(f"bench-{next(_numbers)}", instance)
        body.pop("inference_params")
        if variant is SDK:
            body["metadata"]["endpoint"] = self.stack.simulator.url
        return body

    def metadata(self, variant: Variant, **instance: Any) -> dict[str, Any]:
        """Hand out a new problem; its metadata."""
        return self.request(variant, **instance)["metadata"]

    def check(self, metadata: dict[str, Any], turns: int | None = None) -> None:
        """Make sure that a rollout did what was measured; then forget it."""
        known = self.stack.simulator.trajectory(JOB_ARN, metadata["trajectory_id"])
        if known.state != "rewarded" or (turns is not None and len(known.turns) != turns):
            raise SystemExit(f"A rollout was left {known.state} after {len(known.turns)} turns.")
        known.turns.clear()


@contextmanager
def ground(policy: Any = lambda asked: {"content": "#### 33"}, **options: Any) -> Iterator[Ground]:
    """A stack whose policy answers at once, or as ``policy`` does.

    Args:
        options: of EmulatedStack.
    """
    with EmulatedStack(policy, **options) as stack:
        yield Ground(stack)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles; one run is noisy, and the spread says how much."""
    if len(seconds) < 2:
        return {"median": seconds[0], "low": seconds[0], "high": seconds[0]}
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}
