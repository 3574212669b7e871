"""Many histories, and the shortest telling of one that fails."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass

from tests.simulation import entry
from tests.simulation.history import Universe, plan_of, play


@dataclass(frozen=True)
class Found:
    """What one history came to: its seed, and which promises it broke."""

    seed: int
    violations: list[tuple[str, str, str]]


def histories(first: int, count: int) -> Iterator[Found]:
    """Play histories one after the other."""
    with entry.simulated():
        gc.collect()
        gc.freeze()
        gc.disable()  # every history leaves circles behind; collecting them all at once is cheaper
        try:
            for played, seed in enumerate(range(first, first + count), 1):
                world = play(seed)
                found = Found(seed, world.violations)
                vars(world).clear()  # its parts name each other
                yield found
                if played % 2_000 == 0:
                    gc.collect()
        finally:
            gc.enable()
            gc.unfreeze()


def shrink(seed: int) -> tuple[Found, Universe]:
    """Leave out of a failing history what it does not need to fail, and play it once more with a trace."""
    with entry.simulated():
        world = play(seed)
        wanted = {invariant for invariant, _, _ in world.violations}
        suppressed: frozenset[str] = frozenset()
        if wanted:
            plan = plan_of(seed)
            names = [r.name for r in plan.rollouts]
            for name in ["outages", "skew", "spill", "lag", "repeat"]:
                suppressed = _try(seed, suppressed, name, wanted)
            for name in names:
                if len(names) > 1 and any(v[1] != name for v in world.violations):
                    suppressed = _try(seed, suppressed, f"rollout {name}", wanted)
                suppressed = _try(seed, suppressed, f"repeats {name}", wanted)
                suppressed = _try(seed, suppressed, f"retries {name}", wanted)
            again = True
            while again:
                again = False
                for struck in play(seed, suppressed=suppressed).struck:
                    less = _try(seed, suppressed, struck.call, wanted)
                    if less != suppressed:
                        suppressed, again = less, True
        world = play(seed, suppressed=suppressed, trace=True)
        return Found(seed, world.violations), world


def _try(seed: int, suppressed: frozenset[str], name: str, wanted: set[str]) -> frozenset[str]:
    more = suppressed | {name}
    try:
        world = play(seed, suppressed=more)
    except ValueError:  # nothing is left of it
        return suppressed
    return more if wanted & {invariant for invariant, _, _ in world.violations} else suppressed


def described(found: Found, world: Universe) -> list[str]:
    """A history as text."""
    plan = world.plan
    lines = [f"seed {found.seed}: heal {plan.heal}, skew {plan.skew}, trainer {plan.trainer}"]
    lines += [f"  {rollout}" for rollout in plan.rollouts]
    lines += [f"  {outage}" for outage in plan.outages]
    lines += world.trace or []
    lines += [f"row {world.row(rollout.name, rollout.job)}" for rollout in plan.rollouts]
    lines += [f"{invariant}: {name}: {detail}" for invariant, name, detail in found.violations]
    return lines
