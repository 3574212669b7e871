"""Episodes that carry a number each, so that one that leaks into another is found."""

from __future__ import annotations

import time

from rollout.episode import Budget, Episode
from rollout.steps import InlineSteps


def make_episode(number, policy, **budget):
    known = {"turns": 10, "tokens": 10_000, "tool_calls": 10, "deadline": time.time() + 120}
    return Episode(
        instance={"prompt": f"canary-{number}"},
        trajectory_id=f"t-{number}",
        policy=policy,
        steps=InlineSteps(lambda: None, time.time() + 60),
        budget=Budget(**{**known, **budget}),
    )
