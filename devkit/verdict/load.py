"""What a training step asks of the stack: rollouts at once, seconds, tokens, and the settings for it."""

from __future__ import annotations

import math

from devkit.rehearsal.run_files import Manifest
from devkit.verdict.model import Load, Numbers

# What the API Gateway leaves for a rollout inside the request (ROLLOUT_INLINE_BUDGET, less its margin).
_INLINE_SECONDS = 21.0


def load_of(
    numbers: Numbers,
    manifest: Manifest,
    *,
    batch_size: int,
    group_size: int | None,
    concurrency: int,
    jobs: int,
) -> Load:
    """Scale what was measured to a training step.

    A step's rollouts run ``concurrency`` at a time. It lasts at least their total time shared out, and at
    most one longest rollout more (Graham's bound for any order of work). The rehearsal's seconds are
    taken as they are; a policy under training load is slower.

    Args:
        batch_size: problems of a step, ``global_batch_size``.
        group_size: rollouts of each; the run's own if None.
        concurrency: the job's ``rollout_max_concurrency``.
        jobs: that train at once on the stack.
    """
    group_size = group_size or manifest.group_size
    rollouts = batch_size * group_size
    at_once = min(concurrency, rollouts)
    seconds, tokens, prompts = numbers.seconds, numbers.completion_tokens, numbers.prompt_tokens
    least = most = rate = None
    if seconds:
        least = max(rollouts * seconds.mean / at_once, seconds.mean)
        most = rollouts * seconds.mean / at_once + seconds.max * (1 - 1 / at_once)
        if tokens and least > 0:
            rate = rollouts * tokens.mean / least * jobs
    return Load(
        batch_size=batch_size,
        group_size=group_size,
        rollouts_per_step=rollouts,
        concurrency=concurrency,
        jobs=jobs,
        in_flight=at_once * jobs,
        step_seconds_at_least=least,
        step_seconds_at_most=most,
        completion_tokens_per_step=rollouts * tokens.mean if tokens else None,
        prompt_tokens_per_step=rollouts * prompts.mean if prompts else None,
        completion_tokens_per_second=rate,
        mode="inline" if seconds and seconds.max < _INLINE_SECONDS / 2 else "durable",
        parameters=_parameters(numbers, manifest, at_once * jobs),
    )


def _parameters(numbers: Numbers, manifest: Manifest, in_flight: int) -> dict[str, int]:
    """The stack's parameters for this load; docs/concurrency.md explains the shares.

    Budgets are twice the most that was seen: a net, no limit that training should meet.
    """
    found = {
        "JobTimeout": int(manifest.rollout_timeout),
        "WorkerConcurrency": math.ceil(in_flight * 1.1),
        "JobConcurrency": math.ceil(in_flight / 10),
        "MaxRunning": in_flight * 2,
    }
    if numbers.turn_seconds:  # a policy that trains answers several times slower
        found["SampleTimeout"] = min(840, max(60, _up(numbers.turn_seconds.max * 4, 10)))
    if numbers.turns:
        found["MaxTurns"] = min(1_000, max(10, int(numbers.turns.max) * 2))
    if numbers.completion_tokens:
        found["MaxTokens"] = max(1_000, _up(numbers.completion_tokens.max * 2, 1_000))
    if numbers.tool_calls:
        found["MaxToolCalls"] = min(10_000, max(20, numbers.most_tool_calls * 2))
    return found


def _up(value: float, step: int) -> int:
    return math.ceil(value / step) * step
