"""A verdict on a run, as ``rollout report --json`` prints it. docs/readiness.md explains each field."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["not ready", "too few to tell", "doubtful", "costly", "note"]
# The worst severity found; a run of a script or a probe can at most say that the plumbing holds.
Level = Literal["ready", "plumbing holds", "costly", "doubtful", "too few to tell", "not ready"]

Mode = Literal["inline", "durable"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Finding(_Strict):
    """One thing that was measured and is not as it should be, or should be known."""

    code: str = Field(description="Stable; programs may match on it")
    severity: Severity
    measured: float | None = Field(description="The number it rests on")
    threshold: float | None = Field(description="The number it passed")
    says: str
    do: str = Field(description="What to do about it")


class Estimate(_Strict):
    """A mean and its 95 % confidence interval over groups; null where nothing counts."""

    value: float | None
    low: float | None
    high: float | None


class Spread(_Strict):
    """How a quantity is spread over rollouts (or turns)."""

    mean: float
    median: float
    p95: float
    max: float


class Passes(_Strict):
    """Whether one, or all, of k rollouts of a problem pass."""

    k: int
    groups: int = Field(description="Groups with at least k rollouts, which alone count")
    pass_at_k: Estimate
    pass_hat_k: Estimate


class Criterion(_Strict):
    """The values of one criterion of the agent's rubric."""

    rollouts: int = Field(description="That have a value")
    mean: float
    lowest: float
    highest: float
    flat: bool = Field(description="Whether all are equal, so that it decides nothing")


class Failure(_Strict):
    """Failed rollouts of one kind."""

    boundary: str
    title: str
    rollouts: int


class Numbers(_Strict):
    """What was measured."""

    rollouts: int
    expected: int
    failed: int
    failures: list[Failure]
    groups: int
    groups_compared: int = Field(description="Groups with at least two rewards")
    groups_without_spread: Estimate = Field(description="Share of those whose rewards are equal")
    reward: Estimate
    reward_deviation: float | None
    reward_deviation_within_groups: float | None
    reward_lowest: float | None
    reward_highest: float | None
    criteria: dict[str, Criterion] = Field(description="Of the rubric, by name; {} without one")
    pass_mark: float
    passes: list[Passes]
    turns: Spread | None
    completion_tokens: Spread | None
    prompt_tokens: Spread | None
    seconds: Spread | None
    rollout_timeout: float = Field(description="Seconds the job allows a rollout")
    turn_seconds: Spread | None
    policy_seconds: Spread | None = Field(description="Of a rollout, spent by the policy")
    reply_bytes: float | None = Field(description="Of a turn, as JSON; mean")
    request_bytes: float | None = Field(description="Of an instance, as JSON; mean")
    tool_calls: int
    most_tool_calls: int
    tool_errors: int
    truncated: int
    text_tool_calls: int
    unsampled: int
    miscounted: int
    unrewarded: int | None = Field(description="null where the run kept no reports")
    without_usage: int


class GroupSize(_Strict):
    """What training would take with groups of another size."""

    group_size: int
    informative: float = Field(description="Share of the groups whose rewards would differ")
    steps: float | None
    rollouts: float | None


class Learning(_Strict):
    """What a step of training can learn from; rewards placed from the lowest, 0, to the highest, 1."""

    success: float = Field(description="Mean score of the run")
    success_aimed_at: float = Field(
        description="Twice that, or half of the way to what the rows allow, whichever is less"
    )
    success_after: float = Field(description="Expected when the job's steps are over")
    informative: Estimate = Field(description="Share of the groups whose rewards differ")
    informative_groups_per_step: float
    signal: Estimate = Field(description="Mean of advantage times score, 0 to 0.5")
    rate: float = Field(description="Log-odds of the reference policy a step and unit of signal")
    max_steps: int
    steps: Estimate = Field(description="Until success is where it is aimed at; null for never")
    rollouts: Estimate = Field(description="Sampled until then")
    group_sizes: list[GroupSize]
    outliers: int = Field(description="Rewards so far off that they are left out of the scale")


class Load(_Strict):
    """What one training step asks for, and the settings it needs."""

    batch_size: int
    group_size: int
    rollouts_per_step: int
    concurrency: int = Field(description="rollout_max_concurrency of a job")
    jobs: int
    in_flight: int = Field(description="Rollouts of all jobs at once, at most")
    latency: float | None = Field(
        description="Seconds a turn of the policy: stated, or as it was measured; null for a script"
    )
    rollout_seconds: Spread | None = Field(description="Of one rollout on AWS with that policy")
    dollars_per_rollout: float | None = Field(description="On AWS, without model and training")
    dollars_per_step: float | None
    step_seconds_at_least: float | None
    step_seconds_at_most: float | None
    completion_tokens_per_step: float | None
    prompt_tokens_per_step: float | None
    completion_tokens_per_second: float | None
    mode: Mode
    parameters: dict[str, int] = Field(description="Parameters of template.yaml")


class Verdict(_Strict):
    """Whether a run's agent, reward and environment are ready to train with."""

    schema_: int = Field(default=2, serialization_alias="schema")
    run: str
    agent: str
    policy: str
    level: Level
    findings: list[Finding]
    numbers: Numbers
    learning: Learning | None = Field(
        description="null of a script, and where no group has two rewards"
    )
    load: Load
