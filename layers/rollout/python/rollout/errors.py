"""Every error this library raises on purpose, in one tree.

::

    RolloutError
    ├── RequestError                    the caller is at fault
    │   ├── MalformedRequest            400  the body is not the JSON we accept
    │   ├── BadQuery                    400  a filter or a page's cursor of the console cannot be read
    │   ├── ContractViolation           422  JSON, but not a RolloutRequest
    │   ├── TooLarge                    413
    │   ├── Untrusted                   403  endpoint, region, account or model endpoint not allowed
    │   ├── NotFound                    404  unknown route or trajectory
    │   ├── MethodNotAllowed            405
    │   ├── AlreadyRunning              409  the same rollout is being played right now
    │   └── BodyMismatch                409  the trajectory is known with another body
    ├── AgentError                      the user's agent or its reward is at fault
    │   ├── AgentUnavailable            503  the agent cannot be loaded
    │   ├── AgentRaised                      the agent's function raised
    │   ├── NeverSampled                     the agent ended without a single turn
    │   ├── RewardError                      the reward is not a finite number in the agreed shape
    │   ├── StepRaised                       the effect of an ``episode.step`` raised
    │   ├── ToolRefused                      a tool says no; in a tool it is text for the model
    │   └── ReplayMismatch                   the agent did not replay the way it ran before
    ├── PolicyError                     the model, or the runtime that serves it
    │   ├── SampleFailed                     a Sample failed; ``captured`` says what became of it
    │   │   └── SampleInterrupted            the process died during it (boundary: platform)
    │   └── BadReply                         the reply is not a chat completion
    ├── ToolError                       infrastructure behind a tool
    │   └── ToolBroken
    ├── DeadlineError                   a budget is spent
    │   ├── OutOfTime                   504
    │   └── BudgetSpent                      turns, tokens or tool calls
    │       └── ContextFull                  the conversation is longer than the model can read
    ├── TrainerError                    the trainer did not take the report
    │   ├── ReportRefused                    a final no (409, 404, 400)
    │   └── ReportUndelivered           503  not delivered yet; it will be tried again
    └── PlatformError                   our own stack, or AWS under it
        ├── ConfigurationError          503  a setting is missing or wrong
        ├── Unavailable                 503  storage or dispatch did not answer
        │   └── StorageThrottled        503  storage refused: there are too many calls
        ├── Throttled                   429  too many rollouts at once
        ├── Draining                    503  the stack takes no new rollouts before a deploy
        └── Abandoned                        the process that played the rollout died

Each error names the boundary at fault and says in ``detail`` what to do about it. ``slug`` is stable:
programs may match on it. Details never hold prompts, replies or instances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Boundary = Literal["caller", "agent", "policy", "tool", "deadline", "trainer", "platform"]
Captured = Literal["no", "unknown", "yes"]

# A row holds the detail of an error; what an error quotes may be as long as its sender likes.
_LONGEST_DETAIL = 2_000


@dataclass(frozen=True, slots=True)
class Failure:
    """What a rollout failed of: an error as its result keeps it.

    Args:
        slug: stable, one per class of the tree.
        title: for people.
        boundary: who was at fault.
        detail: what went wrong and what to do, free of content.
    """

    slug: str
    title: str
    boundary: Boundary
    detail: str

    def document(self) -> dict[str, str]:
        """The failure as answers hold it."""
        return {
            "type": problem_type(self.slug),
            "slug": self.slug,
            "title": self.title,
            "boundary": self.boundary,
            "detail": self.detail,
        }


def problem_type(slug: str) -> str:
    """The ``type`` of a problem document (RFC 9457)."""
    return f"urn:rollout:problem:{slug}"


class RolloutError(Exception):
    """Base of the tree.

    Args:
        detail: what went wrong and what to do, in a sentence or two, free of content.
        retry_after: seconds after which the same call may succeed, if waiting helps.
        **facts: further fields for the problem document (JSON values only).
    """

    boundary: ClassVar[Boundary] = "platform"
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str, *, retry_after: int | None = None, **facts: Any) -> None:
        if len(detail) > _LONGEST_DETAIL:
            detail = detail[:_LONGEST_DETAIL] + "…"
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.facts = facts

    def failure(self) -> Failure:
        """The error as a failed rollout's result keeps it."""
        return Failure(self.slug, self.title, self.boundary, self.detail)

    def record(self) -> dict[str, Any]:
        """The error as JSON from which :func:`rebuild` makes it again when a rollout replays."""
        return {
            "slug": self.slug,
            "detail": self.detail,
            "retry_after": self.retry_after,
            "facts": self.facts,
        }


class RequestError(RolloutError):
    boundary = "caller"
    slug = "bad-request"
    title = "The request cannot be served"
    status = 400


class MalformedRequest(RequestError):
    slug = "malformed-json"
    title = "The body is not valid JSON"


class BadQuery(RequestError):
    slug = "bad-query"
    title = "The query cannot be read"


class ContractViolation(RequestError):
    """``errors`` in the facts is a list of ``{"field": "metadata.job_arn", "message": ...}``."""

    slug = "contract-violation"
    title = "The body is not a RolloutRequest"
    status = 422


class TooLarge(RequestError):
    slug = "too-large"
    title = "The body is too large"
    status = 413


class Untrusted(RequestError):
    slug = "untrusted"
    title = "This stack may not talk to what the request names"
    status = 403


class NotFound(RequestError):
    slug = "not-found"
    title = "Not found"
    status = 404


class MethodNotAllowed(RequestError):
    slug = "method-not-allowed"
    title = "Method not allowed"
    status = 405


class AlreadyRunning(RequestError):
    slug = "already-running"
    title = "This rollout is being played"
    status = 409


class BodyMismatch(RequestError):
    slug = "body-mismatch"
    title = "This trajectory was accepted with another body"
    status = 409


class AgentError(RolloutError):
    boundary = "agent"
    slug = "agent-error"
    title = "The agent failed"


class AgentUnavailable(AgentError):
    slug = "agent-unavailable"
    title = "The agent cannot be loaded"
    status = 503


class AgentRaised(AgentError):
    slug = "agent-raised"
    title = "The agent raised an exception"


class NeverSampled(AgentError):
    slug = "never-sampled"
    title = "The agent never sampled the policy"


class RewardError(AgentError):
    slug = "bad-reward"
    title = "The agent's reward cannot be sent"


class StepRaised(AgentError):
    slug = "step-raised"
    title = "A step of the agent raised an exception"


class ToolRefused(AgentError):
    """Raise this in a tool when the failure is the policy's doing, whatever caused it.

    Args:
        said: the text the model reads; it is in no error's detail.
    """

    slug = "tool-refused"
    title = "A refusal was not handled"

    def __init__(self, said: str, *, retry_after: int | None = None, **facts: Any) -> None:
        self.said = str(facts.get("said", said))
        detail = "What the policy did was refused, and the agent did not catch ToolRefused."
        super().__init__(detail, retry_after=retry_after, said=self.said)


class ReplayMismatch(AgentError):
    slug = "replay-mismatch"
    title = "The agent did not replay the way it ran before"


class PolicyError(RolloutError):
    boundary = "policy"
    slug = "policy-error"
    title = "The policy failed"


class SampleFailed(PolicyError):
    """A Sample failed.

    Args:
        captured: ``no`` where the platform provably stored no turn, ``unknown`` otherwise.
    """

    slug = "sample-failed"
    title = "Sampling the policy failed"

    def __init__(self, detail: str, *, captured: Captured, retry_after: int | None = None) -> None:
        super().__init__(detail, retry_after=retry_after, captured=captured)
        self.captured: Captured = captured


class SampleInterrupted(SampleFailed):
    """Nobody can know whether the turn was captured, so it is never sampled again."""

    boundary = "platform"
    slug = "sample-interrupted"
    title = "The process died while it sampled a turn"


class BadReply(PolicyError):
    slug = "bad-reply"
    title = "The policy's reply is not a chat completion"


class ToolError(RolloutError):
    boundary = "tool"
    slug = "tool-error"
    title = "A tool's infrastructure failed"


class ToolBroken(ToolError):
    """Raise this in a tool when what is behind it is gone (not when it merely refuses)."""

    slug = "tool-broken"


class DeadlineError(RolloutError):
    boundary = "deadline"
    slug = "deadline"
    title = "A budget of the rollout is spent"
    status = 504


class OutOfTime(DeadlineError):
    slug = "out-of-time"
    title = "The rollout ran out of time"


class BudgetSpent(DeadlineError):
    """Turns, tokens or tool calls are spent."""

    slug = "budget-spent"


class ContextFull(BudgetSpent):
    """Catch it as any spent budget. The Sample was refused, so nothing was captured."""

    slug = "context-full"
    title = "The conversation is longer than the model's context"


class TrainerError(RolloutError):
    boundary = "trainer"
    slug = "trainer-error"
    title = "The trainer did not take the report"


class ReportRefused(TrainerError):
    slug = "report-refused"
    title = "The trainer refused the report"

    @property
    def may_be_lag(self) -> bool:
        """Whether it may mean that the trainer does not see yet what was reported just before."""
        return self.facts.get("answered") in (404, 409)


class ReportUndelivered(TrainerError):
    """A report did not get through, as far as we know.

    Args:
        possibly_taken: whether the trainer may have taken it all the same, so that a later no may be
            about a repeat.
    """

    slug = "report-undelivered"
    title = "The report is not delivered yet"
    status = 503

    def __init__(
        self,
        detail: str,
        *,
        retry_after: int | None = None,
        possibly_taken: bool = True,
        **facts: Any,
    ) -> None:
        super().__init__(detail, retry_after=retry_after, **facts)
        self.possibly_taken = possibly_taken


class PlatformError(RolloutError):
    slug = "platform-error"
    title = "The rollout endpoint failed"


class ConfigurationError(PlatformError):
    slug = "misconfigured"
    title = "The rollout endpoint is misconfigured"
    status = 503


class Unavailable(PlatformError):
    slug = "unavailable"
    title = "A service behind the rollout endpoint did not answer"
    status = 503


class StorageThrottled(Unavailable):
    """The call was certainly not carried out. To a caller it is ``unavailable`` as any other."""


class Throttled(PlatformError):
    slug = "throttled"
    title = "Too many rollouts at once"
    status = 429


class Draining(PlatformError):
    slug = "draining"
    title = "This stack takes no new rollouts"
    status = 503


class Abandoned(PlatformError):
    slug = "abandoned"
    title = "The process that played this rollout died"


def rebuild(record: dict[str, Any]) -> RolloutError:
    """The error that :meth:`RolloutError.record` wrote down."""
    kind = _by_slug(RolloutError)[record["slug"]]
    return kind(record["detail"], retry_after=record["retry_after"], **record["facts"])


def _by_slug(kind: type[RolloutError]) -> dict[str, type[RolloutError]]:
    found = {kind.slug: kind}
    for child in kind.__subclasses__():
        found |= _by_slug(child)
    return found
