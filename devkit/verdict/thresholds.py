"""From which number on something is found; docs/readiness.md repeats each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares are 0 to 1; a finding is made when its number is *over* the threshold."""

    # The trainer compares the rollouts of a group. Where under two in five of them differ, most of what a
    # step samples teaches nothing: training may learn, and the price is said.
    informative: float = 0.4
    # Groups below which nothing is said of learning: their interval is nearly all that is possible.
    enough_groups: int = 5
    # Permanently failed rollouts over 1 % mean a broken environment; a single one has ended a job.
    failed: float = 0.01
    # A model under training load is slower than in a rehearsal: a fifth of the time is kept for that.
    of_timeout: float = 0.8
    # A reply that was cut off is scored as an answer that it is not.
    truncated: float = 0.05
    # Over 1 % the policy is slipping out of the format; over 10 % its template or parser is wrong.
    text_calls_doubtful: float = 0.01
    text_calls_not_ready: float = 0.1
    # A model errs now and then; over a quarter the tool's description misleads it.
    tool_errors: float = 0.25
    # With fewer groups the intervals are wider than the differences one trains for.
    few_groups: int = 20


THRESHOLDS = Thresholds()
