"""Spans of a rollout, its turns and its reports, where the user has switched OpenTelemetry on.

Nothing of OpenTelemetry is imported, or shipped in the layer, unless ``ROLLOUT_OTEL`` is ``true``: the
ADOT layer, or the function's own requirements, bring the API and the exporter. Names follow the GenAI
semantic conventions 1.41 (https://opentelemetry.io/docs/specs/semconv/gen-ai/), without content: no
message, tool call, reward's reason or exception's text becomes an attribute. What replays after a
crash is not sampled, so it has no second span.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rollout.agent import Agent
from rollout.errors import ConfigurationError, RolloutError
from rollout.feedback import Feedback, Status
from rollout.policy import Policy
from rollout.results import Report, Result, Rollout
from rollout.settings import Settings

_PROVIDER = "aws.sagemaker"
_PARAMS = ("model", "temperature", "top_p", "max_tokens", "seed")


def check(settings: Settings) -> None:
    """See that what the setting asks for is there.

    Raises:
        ConfigurationError: tracing is on and there is no OpenTelemetry to trace with.
    """
    if settings.otel and not _installed():
        raise ConfigurationError(
            "ROLLOUT_OTEL is true, but there is no opentelemetry-api: name an ADOT layer in the "
            "parameter OtelLayer, or add the package to environments/requirements.txt."
        )


class Trace:
    """The spans of one rollout; without OpenTelemetry it hands everything through as it is.

    Args:
        span: the rollout's own; None where nothing is traced.
    """

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def policy(self, policy: Policy) -> Policy:
        """A policy each of whose turns is a span."""
        return policy if self._span is None else _TracedPolicy(policy)

    def feedback(self, feedback: Feedback | None) -> Feedback | None:
        """A trainer each of whose reports is a span."""
        if self._span is None or feedback is None:
            return feedback
        return _TracedFeedback(feedback)

    def ended(self, result: Result, report: Report) -> None:
        """Say on the rollout's span what it came to."""
        if self._span is None:
            return
        self._span.set_attributes(_of_result(result, report))
        if result.failure:
            _fail(self._span, result.failure.slug)


@contextmanager
def trace(rollout: Rollout, agent: Agent, settings: Settings) -> Generator[Trace]:
    """The span of a rollout that is played within the block, if tracing is on.

    Without OpenTelemetry the rollout is played untraced; ``GET /health`` says so.
    """
    if not settings.otel or not _installed():
        yield Trace()
        return
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": agent.name,
        "gen_ai.provider.name": _PROVIDER,
        "gen_ai.conversation.id": rollout.destination.trajectory_id,
        "rollout.job_arn": rollout.destination.job_arn,
        "rollout.group": rollout.group,
    }
    with _span(f"invoke_agent {agent.name}", "INTERNAL", attributes) as span:
        yield Trace(span)


@dataclass(frozen=True, slots=True)
class _TracedPolicy:
    policy: Policy

    def sample(self, body: bytes, deadline: float) -> bytes:
        request = json.loads(body)
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDER,
            **{f"gen_ai.request.{name}": request[name] for name in _PARAMS if name in request},
        }
        with _span(f"chat {request.get('model', '')}".strip(), "CLIENT", attributes) as span:
            reply = self.policy.sample(body, deadline)
            span.set_attributes(_of_reply(reply))
            return reply


@dataclass(frozen=True, slots=True)
class _TracedFeedback:
    feedback: Feedback

    def complete(self, status: Status) -> None:
        with _span("CompleteRollout", "CLIENT", {"rollout.status": status}):
            self.feedback.complete(status)

    def reward(self, rewards: Sequence[float]) -> None:
        with _span("UpdateReward", "CLIENT", {"rollout.rewards": len(rewards)}):
            self.feedback.reward(rewards)


def _installed() -> bool:
    return importlib.util.find_spec("opentelemetry") is not None


@contextmanager
def _span(name: str, kind: str, attributes: dict[str, Any]) -> Generator[Any]:
    """A span that an error marks by its type; its text may quote content and stays out."""
    from opentelemetry import trace

    tracer = trace.get_tracer("rollout")
    with tracer.start_as_current_span(
        name,
        kind=trace.SpanKind[kind],
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except Exception as error:
            _fail(span, error.slug if isinstance(error, RolloutError) else type(error).__name__)
            raise


def _fail(span: Any, kind: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _of_result(result: Result, report: Report) -> dict[str, Any]:
    reward = {} if result.reward is None else {"rollout.reward": result.reward}
    return {
        "rollout.status": result.status,
        "rollout.turns": result.turns,
        "rollout.report": report.delivery,
        "gen_ai.usage.input_tokens": result.usage.get("prompt_tokens", 0),
        "gen_ai.usage.output_tokens": result.usage.get("completion_tokens", 0),
        **reward,
    }


def _of_reply(reply: bytes) -> dict[str, Any]:
    """Tokens and finish reasons; nothing where the reply is not what it should be."""
    try:
        known = json.loads(reply)
        usage: dict[str, Any] = known.get("usage") or {}
        reasons = [str(choice.get("finish_reason")) for choice in known["choices"]]
        return {
            "gen_ai.usage.input_tokens": int(usage.get("prompt_tokens", 0)),
            "gen_ai.usage.output_tokens": int(usage.get("completion_tokens", 0)),
            "gen_ai.response.finish_reasons": reasons,
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
