"""Settings: environment variables, read once into a frozen object.

A wrong value raises :class:`~rollout.errors.ConfigurationError` that names the variable. Nothing is
read at import time, so a test or a laptop sets the environment and calls :func:`settings`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar, cast

from rollout.errors import ConfigurationError

T = TypeVar("T")

RewardShape = Literal["single", "last-turn", "every-turn"]
RecordContent = Literal["full", "numbers"]
PolicyBoundary = Literal["agent", "policy", "tool", "deadline", "platform"]
Place = Literal["lambda", "sam-local", "process"]

# Of the parameter Agent, too.
DEFAULT_AGENT = "environments.calculator:calculator"
POLICY_BOUNDARIES: tuple[PolicyBoundary, ...] = ("agent", "policy", "tool", "deadline", "platform")
# The hard caps; a setting above its cap is refused at start rather than silently lowered.
MAX_INLINE_SECONDS = 870.0  # the Lambda limit of 900 s, less room for the report
MAX_TURNS = 1_000
MAX_TOKENS = 100_000_000
MAX_TOOL_CALLS = 10_000
MAX_JOB_METRICS = 20


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """What a failed rollout is reported as, by the boundary at fault.

    A boundary maps to ``None`` (CompleteRollout ``failed``) or to a reward: then the rollout is
    completed as ``ready`` with that reward, provided at least one turn was captured.
    """

    agent: float | None = None
    policy: float | None = None
    tool: float | None = None
    deadline: float | None = None
    platform: float | None = None

    def floor(self, boundary: str) -> float | None:
        """The reward a failure at ``boundary`` is completed with; None to report it as failed."""
        return getattr(self, boundary) if boundary in POLICY_BOUNDARIES else None


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the stack; the README's table documents each.

    Times are seconds, sizes bytes.
    """

    agent: str
    table: str
    bucket: str
    account_id: str
    allowed_regions: frozenset[str]
    allowed_endpoints: frozenset[str]
    allowed_model_endpoints: frozenset[str]
    stage: str
    region: str
    place: Place
    inline_budget: float
    report_margin: float
    sample_timeout: float
    max_turns: int
    max_tokens: int
    max_tool_calls: int
    max_body_bytes: int
    failure_policy: FailurePolicy
    reward_shape: RewardShape
    record_content: RecordContent
    retention_days: int
    pass_reward: float
    time_limit: float
    job_timeout: float
    job_margin: float
    execution_timeout: float
    worker: str
    job_endpoint: str
    max_running: int
    job_metrics: tuple[str, ...]
    otel: bool

    @property
    def durable_budget(self) -> float:
        """Seconds from acceptance until a durable rollout's agent must have answered.

        The smaller of our own limit and the job's ``rollout_timeout`` with a margin for grading and
        the report.
        """
        return min(self.time_limit, self.job_timeout - self.job_margin)


class _Reader:
    """Reads typed variables and names the one at fault."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str | None = None) -> str:
        value = self._environ.get(name, "").strip() or default
        if value is None:
            raise ConfigurationError(f"The environment variable {name} is not set.")
        return value

    def words(self, name: str, default: str = "") -> frozenset[str]:
        return frozenset(w.strip() for w in self.text(name, default).split(",") if w.strip())

    def number(
        self, name: str, default: T, convert: Callable[[str], T], low: float, high: float
    ) -> T:
        raw = self.text(name, str(default))
        try:
            value = convert(raw)
        except ValueError:
            raise ConfigurationError(f"{name} must be a number, not {raw!r}.") from None
        if not low <= cast("float", value) <= high:
            raise ConfigurationError(f"{name} must be between {low:g} and {high:g}, not {raw}.")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, choices[0])
        if value not in choices:
            raise ConfigurationError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
        return value


def parse_failure_policy(text: str, name: str = "ROLLOUT_FAILURE_POLICY") -> FailurePolicy:
    """Read ``report-failed``, ``floor:0`` or ``agent=floor:0,deadline=report-failed``.

    Raises:
        ConfigurationError: an unknown boundary or action, or a reward that is not finite.
    """
    floors: dict[PolicyBoundary, float | None] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, equals, action = part.partition("=")
        if not equals:
            key, action = "", part
        boundaries = POLICY_BOUNDARIES if not key else (cast("PolicyBoundary", key.strip()),)
        if boundaries[0] not in POLICY_BOUNDARIES:
            raise ConfigurationError(
                f"{name}: unknown boundary {key!r}; use one of {', '.join(POLICY_BOUNDARIES)}."
            )
        for boundary in boundaries:
            floors[boundary] = _parse_action(action.strip(), name)
    return FailurePolicy(**floors)


def _parse_action(action: str, name: str) -> float | None:
    if action == "report-failed":
        return None
    kind, _, reward = action.partition(":")
    try:
        value = float(reward)
    except ValueError:
        value = math.nan
    if kind != "floor" or not math.isfinite(value):
        raise ConfigurationError(
            f"{name}: {action!r} is neither 'report-failed' nor 'floor:<finite number>'."
        )
    return value


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read and check all settings.

    Raises:
        ConfigurationError: the first variable that is missing or wrong, by name.
    """
    read = _Reader(environ)
    region = read.text("AWS_REGION", environ.get("AWS_DEFAULT_REGION") or "us-west-2")
    inline_budget = read.number("ROLLOUT_INLINE_BUDGET", 25.0, float, 1, MAX_INLINE_SECONDS)
    report_margin = read.number("ROLLOUT_REPORT_MARGIN", 4.0, float, 0.1, 120)
    if report_margin >= inline_budget:
        raise ConfigurationError(
            "ROLLOUT_REPORT_MARGIN must be smaller than ROLLOUT_INLINE_BUDGET: "
            "no time would be left to play the rollout."
        )
    job_timeout = read.number("ROLLOUT_JOB_TIMEOUT", 600.0, float, 10, 86_400)
    job_margin = read.number("ROLLOUT_JOB_MARGIN", 30.0, float, 0.1, 3_600)
    if job_margin >= job_timeout:
        raise ConfigurationError(
            "ROLLOUT_JOB_MARGIN must be smaller than ROLLOUT_JOB_TIMEOUT: "
            "no time would be left to play the rollout."
        )
    return Settings(
        agent=read.text("ROLLOUT_AGENT", DEFAULT_AGENT),
        table=read.text("ROLLOUT_TABLE"),
        bucket=read.text("ROLLOUT_BUCKET"),
        account_id=read.text("ROLLOUT_ACCOUNT_ID"),
        allowed_regions=read.words("ROLLOUT_ALLOWED_REGIONS", region),
        allowed_endpoints=read.words("ROLLOUT_ALLOWED_ENDPOINTS"),
        allowed_model_endpoints=read.words("ROLLOUT_ALLOWED_MODEL_ENDPOINTS"),
        stage=read.text("ROLLOUT_STAGE", ""),
        region=region,
        place=_place(environ),
        inline_budget=inline_budget,
        report_margin=report_margin,
        sample_timeout=read.number("ROLLOUT_SAMPLE_TIMEOUT", 300.0, float, 1, 900),
        max_turns=read.number("ROLLOUT_MAX_TURNS", 50, int, 1, MAX_TURNS),
        max_tokens=read.number("ROLLOUT_MAX_TOKENS", 250_000, int, 1, MAX_TOKENS),
        max_tool_calls=read.number("ROLLOUT_MAX_TOOL_CALLS", 200, int, 0, MAX_TOOL_CALLS),
        max_body_bytes=read.number("ROLLOUT_MAX_BODY_BYTES", 5_000_000, int, 1_000, 6_000_000),
        failure_policy=parse_failure_policy(read.text("ROLLOUT_FAILURE_POLICY", "report-failed")),
        reward_shape=cast(
            "RewardShape",
            read.choice("ROLLOUT_REWARD_SHAPE", ("single", "last-turn", "every-turn")),
        ),
        record_content=cast(
            "RecordContent", read.choice("ROLLOUT_RECORD_CONTENT", ("full", "numbers"))
        ),
        retention_days=read.number("ROLLOUT_RETENTION_DAYS", 30, int, 1, 3_650),
        pass_reward=read.number("ROLLOUT_PASS_REWARD", 1.0, float, -1e9, 1e9),
        time_limit=read.number("ROLLOUT_TIME_LIMIT", 86_400.0, float, 1, 86_400),
        job_timeout=job_timeout,
        job_margin=job_margin,
        execution_timeout=read.number("ROLLOUT_EXECUTION_TIMEOUT", 14_400.0, float, 60, 31_622_400),
        worker=read.text("ROLLOUT_WORKER", ""),
        job_endpoint=read.text("ROLLOUT_JOB_ENDPOINT", ""),
        max_running=read.number("ROLLOUT_MAX_RUNNING", 0, int, 0, 1_000_000),
        job_metrics=_job_metrics(read),
        otel=read.choice("ROLLOUT_OTEL", ("false", "true")) == "true",
    )


def _place(environ: Mapping[str, str]) -> Place:
    """Where this runs: AWS Lambda, a container of ``sam local``, or a process of one's own machine.

    ``AWS_SAM_LOCAL`` alone would not do: in Lambda it can be set like any other variable. The name of
    the log stream cannot, Lambda reserves it (Lambda developer guide, "Reserved environment variables"),
    and it is a date, a version and an id there; SAM CLI says ``$LATEST``.
    """
    stream = environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
    if environ.get("AWS_SAM_LOCAL") == "true" and stream == "$LATEST":
        return "sam-local"
    return "lambda" if stream or "LAMBDA_TASK_ROOT" in environ else "process"


def _job_metrics(read: _Reader) -> tuple[str, ...]:
    patterns = tuple(sorted(read.words("ROLLOUT_JOB_METRICS")))
    if len(patterns) > MAX_JOB_METRICS:
        raise ConfigurationError(
            f"ROLLOUT_JOB_METRICS names {len(patterns)} jobs; {MAX_JOB_METRICS} at most, because "
            "CloudWatch bills each as metrics of its own. A pattern such as nightly-* covers many."
        )
    return patterns


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read from the environment at the first call."""
    return read_settings(os.environ)
