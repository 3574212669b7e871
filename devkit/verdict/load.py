"""What a training step asks of the stack: rollouts at once, seconds, tokens, dollars, settings."""

from __future__ import annotations

import math

from devkit.checks.cost import CALL_SECONDS, CHECKPOINTS, CHECKPOINTS_A_TURN, Work, cost_of_rollout
from devkit.rehearsal.run_files import Manifest
from devkit.verdict.model import Load, Mode, Numbers, Spread

# What the API Gateway leaves for a rollout inside the request (ROLLOUT_INLINE_BUDGET, less its margin).
INLINE_SECONDS = 21.0
# What agent and tools take themselves in a turn, seconds; as devkit.checks.cost assumes it.
OWN_SECONDS = 0.05


def is_script(manifest: Manifest) -> bool:
    """Whether a script or a probe was played, and no model."""
    return manifest.policy.startswith(("scripted", "probe:"))


def load_of(
    numbers: Numbers,
    manifest: Manifest,
    *,
    batch_size: int,
    group_size: int,
    concurrency: int,
    jobs: int,
    latency: float | None = None,
) -> Load:
    """Scale what was measured to a training step.

    A step's rollouts run ``concurrency`` at a time. It lasts at least their total time shared out, and at
    most one longest rollout more (Graham's bound for any order of work). How long a rollout takes is made
    from its turns and the policy's latency, never from the clock of the machine that rehearsed: there
    sixteen rollouts queue for a few cores, on AWS each has its own.

    Args:
        batch_size: problems of a step, ``global_batch_size``.
        group_size: rollouts of each.
        concurrency: the job's ``rollout_max_concurrency``.
        jobs: that train at once on the stack.
        latency: of the policy, seconds a turn; the run's own if None.
    """
    rollouts = batch_size * group_size
    at_once = min(concurrency, rollouts)
    latency = manifest.latency if latency is None else latency
    waiting = _waiting(numbers, manifest, latency)
    seconds, mode = _seconds(numbers, waiting)
    dollars = _dollars(numbers, waiting)
    tokens, prompts = numbers.completion_tokens, numbers.prompt_tokens
    least = most = rate = None
    if seconds:
        least = max(rollouts * seconds.mean / at_once, seconds.mean)
        most = rollouts * seconds.mean / at_once + seconds.max * (1 - 1 / at_once)
        if tokens and least > 0:
            rate = rollouts * tokens.mean / least * jobs
    measured = numbers.turn_seconds.mean if numbers.turn_seconds and waiting else None
    return Load(
        batch_size=batch_size,
        group_size=group_size,
        rollouts_per_step=rollouts,
        concurrency=concurrency,
        jobs=jobs,
        in_flight=at_once * jobs,
        latency=measured if latency is None else latency,
        rollout_seconds=seconds,
        dollars_per_rollout=dollars,
        dollars_per_step=dollars * rollouts if dollars is not None else None,
        step_seconds_at_least=least,
        step_seconds_at_most=most,
        completion_tokens_per_step=rollouts * tokens.mean if tokens else None,
        prompt_tokens_per_step=rollouts * prompts.mean if prompts else None,
        completion_tokens_per_second=rate,
        mode=mode,
        parameters=_parameters(numbers, manifest, at_once * jobs, latency),
    )


def _waiting(numbers: Numbers, manifest: Manifest, latency: float | None) -> Spread | None:
    """Seconds that a rollout waits for its policy; None of a script whose latency nobody stated."""
    if latency is not None:
        return _scaled(numbers.turns, latency) if numbers.turns else None
    if is_script(manifest):
        return None
    # A deployed stack keeps the turns to itself; its seconds are those of AWS.
    return numbers.seconds if manifest.mode == "url" else numbers.policy_seconds


def _seconds(numbers: Numbers, waiting: Spread | None) -> tuple[Spread | None, Mode]:
    """How long a rollout takes on AWS, and in which mode it is best played."""
    if waiting is None or numbers.turns is None:
        return None, "durable"
    inline = _sum(waiting, _scaled(numbers.turns, OWN_SECONDS))
    if inline.max < INLINE_SECONDS / 2:
        return inline, "inline"
    kept = _scaled(numbers.turns, CHECKPOINTS_A_TURN * CALL_SECONDS)
    return _sum(_sum(inline, kept), _even(CHECKPOINTS * CALL_SECONDS)), "durable"


def _dollars(numbers: Numbers, waiting: Spread | None) -> float | None:
    """What one rollout of this kind costs on AWS."""
    if waiting is None or numbers.turns is None or numbers.reply_bytes is None:
        return None
    work = Work(
        turns=numbers.turns.mean,
        waiting=waiting.mean,
        computing=numbers.turns.mean * OWN_SECONDS,
        reply_bytes=numbers.reply_bytes,
        request_bytes=numbers.request_bytes or 0.0,
    )
    return sum(cost_of_rollout(work).values())


def _scaled(spread: Spread, by: float) -> Spread:
    return Spread(
        mean=spread.mean * by, median=spread.median * by, p95=spread.p95 * by, max=spread.max * by
    )


def _even(value: float) -> Spread:
    return Spread(mean=value, median=value, p95=value, max=value)


def _sum(one: Spread, other: Spread) -> Spread:
    return Spread(
        mean=one.mean + other.mean,
        median=one.median + other.median,
        p95=one.p95 + other.p95,
        max=one.max + other.max,
    )


def _parameters(
    numbers: Numbers, manifest: Manifest, in_flight: int, latency: float | None
) -> dict[str, int]:
    """The stack's parameters for this load; docs/concurrency.md explains the shares.

    Budgets are twice the most that was seen: a net, no limit that training should meet.
    """
    found = {
        "JobTimeout": int(manifest.rollout_timeout),
        "WorkerConcurrency": math.ceil(in_flight * 1.1),
        "JobConcurrency": math.ceil(in_flight / 10),
        "MaxRunning": in_flight * 2,
    }
    slowest = latency
    if latency is None and numbers.turn_seconds and not is_script(manifest):
        slowest = numbers.turn_seconds.max
    if slowest is not None:  # a policy that trains answers several times slower
        found["SampleTimeout"] = min(840, max(60, _up(slowest * 4, 10)))
    if numbers.turns:
        found["MaxTurns"] = min(1_000, max(10, int(numbers.turns.max) * 2))
    if numbers.completion_tokens:
        found["MaxTokens"] = max(1_000, _up(numbers.completion_tokens.max * 2, 1_000))
    if numbers.tool_calls:
        found["MaxToolCalls"] = min(10_000, max(20, numbers.most_tool_calls * 2))
    return found


def _up(value: float, step: int) -> int:
    return math.ceil(value / step) * step
