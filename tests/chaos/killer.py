"""The campaign's plan to die, and the worker that keeps to it under the Runtime Interface Emulator."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from devkit.emulator.process_killer import Death, invoke

# How many calls a clean rollout of two turns makes; a test counts them.
CALLS = 25


def plan_of(trajectory_id: str) -> list[Death]:
    """The deaths of one rollout's invocations, in order; after them it is left in peace.

    ``b-…-N`` dies once at boundary N (two per call); ``r-…-N`` one to three times at random.
    """
    kind, seed, number = trajectory_id.split("-")
    if kind == "b":
        call, after = divmod(int(number), 2)
        return [Death("after" if after else "before", call + 1)]
    dice = random.Random(f"{seed}-{number}")
    deaths: list[Death] = []
    for _ in range(dice.choice([1, 1, 2, 3])):
        if dice.random() < 0.3:
            deaths.append(Death("moment", dice.uniform(0.0, 0.3)))
        else:
            deaths.append(Death(dice.choice(["before", "after"]), dice.randint(1, CALLS)))
    return deaths


def handler(event: dict[str, Any], context: Any) -> Any:
    """Run the worker's handler under the plan."""
    return invoke(event, context, plan=plan_of, graves=Path(os.environ["CHAOS_DIR"]))
