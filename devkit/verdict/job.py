"""The training job that a run is judged for."""

from __future__ import annotations

from dataclasses import dataclass

# Log-odds that the reference policy gains from one step with a signal of one; docs/calibration.md.
RATE = 0.5


@dataclass(frozen=True, slots=True)
class Job:
    """The training job that a run is judged for; the defaults are the platform's.

    Args:
        batch_size: problems of a training step, ``global_batch_size``.
        group_size: rollouts of each.
        max_steps: steps of the job.
        concurrency: the job's ``rollout_max_concurrency``.
        jobs: that train at once on the stack.
        latency: of the policy, seconds a turn; the run's own if None.
        rate: log-odds that the reference policy gains from a step with a signal of one.
    """

    batch_size: int = 128
    group_size: int = 8
    max_steps: int = 50
    concurrency: int = 96
    jobs: int = 1
    latency: float | None = None
    rate: float = RATE


PLATFORM = Job()
