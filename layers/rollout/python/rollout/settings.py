"""Settings: environment variables, read once into a frozen object.

A wrong value raises :class:`~rollout.errors.ConfigurationError` that names the variable. Nothing is
read at import time, so a test or a laptop sets the environment and calls :func:`settings`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from rollout.errors import ConfigurationError

RewardShape = Literal["single", "last-turn", "every-turn"]
RecordContent = Literal["full", "numbers"]
PolicyBoundary = Literal["agent", "policy", "tool", "deadline", "platform"]
Place = Literal["lambda", "sam-local", "process"]

# Of the parameter Agent, too.
DEFAULT_AGENT = "environments.calculator:calculator"
POLICY_BOUNDARIES: tuple[PolicyBoundary, ...] = ("agent", "policy", "tool", "deadline", "platform")
# The hard caps; a setting above its cap is refused at start rather than silently lowered.
MAX_INLINE_SECONDS = 870.0  # the Lambda limit of 900 s, less room for the report
# Of one turn: the longest WorkerTimeout of the template less what surrounds the turn.
MAX_SAMPLE_SECONDS = 1_740.0
# What does not fit into a row or a checkpoint is kept for so long (template.yaml, lifecycle rules).
MAX_EXECUTION_SECONDS = 7 * 86_400.0
MAX_TURNS = 1_000
MAX_TOKENS = 100_000_000
MAX_TOOL_CALLS = 10_000
MAX_JOB_METRICS = 20
_DAY = 86_400
# How variables begin that Lambda or the stack reads.
_OWN_VARIABLES = ("AWS_", "LAMBDA_", "POWERTOOLS_", "ROLLOUT_", "STACK_", "_")


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


def _words(value: Any) -> Any:
    """Words between commas, sorted; what is not text as it is."""
    if not isinstance(value, str):
        return value
    return sorted({word.strip() for word in value.split(",")} - {""})


def _variables(value: Any) -> Any:
    """``NAME=value`` between commas; what is not text as it is."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, equals, text = part.partition("=")
        if not (equals and name.isascii() and name.isidentifier()):
            # The text itself is not repeated: it may be half of a value.
            raise ConfigurationError(
                "ROLLOUT_AGENT_VARIABLES: write NAME=value,NAME=value; a value holds no comma."
            )
        if name.upper().startswith(_OWN_VARIABLES):
            raise ConfigurationError(
                f"ROLLOUT_AGENT_VARIABLES: {name[:100]} is the stack's or Lambda's own; use another name."
            )
        found[name] = text
    return tuple(found.items())


def _failure_policy(value: Any) -> Any:
    return parse_failure_policy(value) if isinstance(value, str) else value


Words = Annotated[frozenset[str], BeforeValidator(_words)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limits(_Part):
    """What one rollout may use, and how it is scored."""

    max_turns: int = Field(default=50, ge=1, le=MAX_TURNS, description="turns of one rollout")
    max_tokens: int = Field(
        default=250_000, ge=1, le=MAX_TOKENS, description="tokens it may generate"
    )
    max_tool_calls: int = Field(
        default=200, ge=0, le=MAX_TOOL_CALLS, description="tool calls it may make"
    )
    failure_policy: Annotated[FailurePolicy, BeforeValidator(_failure_policy)] = Field(
        default=FailurePolicy(),
        description="`report-failed`, or `boundary=floor:<reward>` for agent, policy, tool, deadline, "
        "platform",
    )
    reward_shape: RewardShape = Field(
        default="single",
        description="how one number is sent for several turns: `single`, `last-turn`, `every-turn` "
        "(an equal share each)",
    )


class Storage(_Part):
    """Where rollouts are remembered, for how long, and what of them."""

    table: str = Field(min_length=1, description="the DynamoDB table; set by the stack")
    bucket: str = Field(min_length=1, description="the S3 bucket; set by the stack")
    retention_days: int = Field(
        default=30, ge=1, le=3_650, description="days that records are kept"
    )
    record_content: RecordContent = Field(
        default="full",
        description="`numbers` keeps no prompts and replies once a rollout has ended; see "
        "docs/durable.md",
    )
    pass_reward: float = Field(
        default=1.0,
        ge=-1e9,
        le=1e9,
        description="reward from which on the console counts a rollout as passed",
    )


class Trust(_Part):
    """Who is served, and where credentials may go."""

    account_id: str = Field(
        min_length=1, description="the only account whose jobs are served; set by the stack"
    )
    allowed_regions: Words = Field(
        default=frozenset(),
        description="regions of the jobs served; the stack's own if none is named",
    )
    allowed_endpoints: Words = Field(
        default=frozenset(), description="further Job Runtime hosts, exact"
    )
    allowed_model_endpoints: Words = Field(
        default=frozenset(), description="SageMaker endpoints `model_endpoint` may name"
    )
    judge_hosts: Words = Field(
        default=frozenset(),
        description="hosts of judges' servers, exact; see docs/environments/judge.md",
    )
    allowed_training_sessions: Words = Field(
        default=frozenset(),
        description="SageMaker training sessions `training_session` may name; `*` is any of this account",
    )
    allowed_base_urls: Words = Field(
        default=frozenset(),
        description="hosts that `base_url` may name, exact; with a port if it has one",
    )
    base_url_secret: str = Field(
        default="",
        description="secret in Secrets Manager with the key of `base_url`; else the request's `api_key`",
    )
    stage: str = Field(default="", description="label of a non-production Job Runtime stage")
    job_endpoint: str = Field(
        default="",
        description="Job Runtime of jobs whose event names none; else the one of the job's region",
    )


class Times(_Part):
    """How long things may take, in seconds."""

    inline_budget: float = Field(
        default=25.0,
        ge=1,
        le=MAX_INLINE_SECONDS,
        description="seconds for a rollout inside the request",
    )
    report_margin: float = Field(
        default=4.0, ge=0.1, le=120, description="seconds of it kept for the terminal report"
    )
    sample_timeout: float = Field(
        default=300.0, ge=1, le=MAX_SAMPLE_SECONDS, description="seconds one turn may take"
    )
    job_timeout: float = Field(
        default=600.0, ge=10, le=86_400, description="the job's `rollout_timeout`, seconds"
    )
    job_margin: float = Field(
        default=30.0, ge=0.1, le=3_600, description="seconds of it kept for the report"
    )
    time_limit: float = Field(
        default=86_400.0, ge=1, le=86_400, description="seconds a durable rollout may take, if less"
    )
    execution_timeout: float = Field(
        default=14_400.0,
        ge=60,
        le=MAX_EXECUTION_SECONDS,
        description="seconds a durable execution may last, its report included",
    )

    @property
    def durable_budget(self) -> float:
        """Seconds from acceptance until a durable rollout's agent must have answered.

        The smaller of our own limit and the job's ``rollout_timeout`` with a margin for grading and
        the report.
        """
        return min(self.time_limit, self.job_timeout - self.job_margin)

    @model_validator(mode="after")
    def _leave_time_to_play(self) -> Self:
        for margin, whole in (("report_margin", "inline_budget"), ("job_margin", "job_timeout")):
            if getattr(self, margin) >= getattr(self, whole):
                raise ConfigurationError(
                    f"{variable(margin)} must be smaller than {variable(whole)}: no time would be left "
                    "to play the rollout."
                )
        if self.execution_timeout < self.job_timeout:
            raise ConfigurationError(
                f"{variable('execution_timeout')} must not be smaller than {variable('job_timeout')}: "
                "Lambda would end executions that the trainer still waits for."
            )
        return self


class Settings(_Part):
    """All settings of the stack; the README's table is made of their texts.

    Times are seconds, sizes bytes.
    """

    limits: Limits
    storage: Storage
    trust: Trust
    times: Times
    region: str
    place: Place
    agent: str = Field(default=DEFAULT_AGENT, description="the agent, `module:function`")
    agent_variables: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_variables)] = Field(
        default=(),
        description="environment variables for the agent, `NAME=value,NAME=value`; see "
        "docs/environments/around.md",
    )
    max_body_bytes: int = Field(
        default=5_000_000, ge=1_000, le=6_000_000, description="bytes a request's body may have"
    )
    worker: str = Field(default="", description="the durable worker; set by the stack")
    max_running: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="most durable rollouts open at once; 0 is no limit",
    )
    job_metrics: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        default=(), description="jobs, or patterns, that get metrics of their own"
    )
    otel: bool = Field(
        default=False, description="`true` writes OpenTelemetry spans; see docs/operations.md"
    )

    @model_validator(mode="after")
    def _remember_while_it_lasts(self) -> Self:
        if self.storage.retention_days * _DAY < self.times.execution_timeout:
            raise ConfigurationError(
                f"{variable('retention_days')} must cover {variable('execution_timeout')}: rollouts "
                "would be forgotten while they are played."
            )
        return self

    @model_validator(mode="after")
    def _few_job_metrics(self) -> Self:
        if len(self.job_metrics) > MAX_JOB_METRICS:
            raise ConfigurationError(
                f"ROLLOUT_JOB_METRICS names {len(self.job_metrics)} jobs; {MAX_JOB_METRICS} at most, "
                "because CloudWatch bills each as metrics of its own. A pattern such as nightly-* "
                "covers many."
            )
        return self


_PARTS: dict[str, type[_Part]] = {
    "limits": Limits,
    "storage": Storage,
    "trust": Trust,
    "times": Times,
}


def variable(name: str) -> str:
    """The environment variable that holds a setting."""
    return f"ROLLOUT_{name.upper()}"


def described() -> Iterator[tuple[str, str, str]]:
    """Every variable, its default as text, and what it means.

    A setting without a default is set by the stack.
    """
    for kind in (Settings, *_PARTS.values()):
        for name, field in kind.model_fields.items():
            if name not in (*_PARTS, "region", "place"):
                yield variable(name), _text(field.get_default()), field.description or ""


def _text(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}" if default < 1e5 else f"{default:.0f}"
    if isinstance(default, FailurePolicy):
        return "report-failed"
    return str(default) if isinstance(default, (int, str)) else ""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read and check all settings.

    Raises:
        ConfigurationError: the first variable that is missing or wrong, by name.
    """
    region = _given(environ, "AWS_REGION") or _given(environ, "AWS_DEFAULT_REGION") or "us-west-2"
    parts: dict[str, Any] = {name: _read(kind, environ) for name, kind in _PARTS.items()}
    if not parts["trust"].allowed_regions:
        parts["trust"] = parts["trust"].model_copy(update={"allowed_regions": frozenset({region})})
    return cast("Settings", _read(Settings, environ, **parts, region=region, place=_place(environ)))


def read_judge_hosts(environ: Mapping[str, str]) -> frozenset[str]:
    """Hosts that judges may be asked at, alone; for a rollout that is played without a stack."""
    return frozenset(_words(_given(environ, variable("judge_hosts"))))


def read_limits(environ: Mapping[str, str]) -> Limits:
    """What a rollout may use, alone; for one that is played without a stack.

    Raises:
        ConfigurationError: as :func:`read_settings`.
    """
    return cast("Limits", _read(Limits, environ))


def _read(kind: type[_Part], environ: Mapping[str, str], **known: Any) -> _Part:
    names = [name for name in kind.model_fields if name not in known]
    found = {name: value for name in names if (value := _given(environ, variable(name)))}
    try:
        return kind.model_validate({**found, **known})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = variable(str(first["loc"][0]))
        if first["type"] == "missing":
            raise ConfigurationError(f"The environment variable {name} is not set.") from None
        raise ConfigurationError(f"{name}: {first['msg']}, not {first['input']!r}.") from None


def _given(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()


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


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read from the environment at the first call.

    What they hold for the agent is put into the environment, before anybody imports the agent.
    """
    read = read_settings(os.environ)
    os.environ.update(read.agent_variables)
    return read
