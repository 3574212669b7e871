"""What a rollout is, how it ended, and what became of its report."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rollout.contract import RolloutRequest
from rollout.errors import Abandoned, ContractViolation, Failure
from rollout.feedback import Status
from rollout.trust import Destination

Delivery = Literal["delivered", "refused", "pending"]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One accepted problem.

    Args:
        request: what arrived.
        destination: where it may go, checked.
        fingerprint: hash of the whole request; tells a repeat from another body.
        group: hash of the instance; the rollouts of one job with the same hash are a group.
    """

    request: RolloutRequest
    destination: Destination
    fingerprint: str
    group: str

    @classmethod
    def of(cls, request: RolloutRequest, destination: Destination) -> Rollout:
        """Identify a checked request.

        Raises:
            ContractViolation: a number is out of range (1e999 is valid JSON and infinite).
        """
        group = _digest("instance", request.instance)
        rest = request.model_dump(exclude={"instance"})
        return cls(request, destination, _digest("request", [group, rest]), group[:16])


@dataclass(frozen=True, slots=True)
class Result:
    """How a rollout ended, before anyone is told.

    Args:
        status: what the trainer is told.
        rewards: one or one per turn; None where the status is ``failed``.
        failure: what it failed of, also where FailurePolicy completes the rollout with a reward.
        turns: turns sampled and read.
        possibly_captured: turns that may have been captured though their reply was lost.
    """

    status: Status
    rewards: list[float] | None
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    output: Any = None
    failure: Failure | None = None
    turns: int = 0
    possibly_captured: int = 0
    usage: dict[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0
    transcript: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def dump(self) -> dict[str, Any]:
        """The result as JSON from which :meth:`load` makes it again; it shares what it holds."""
        document = {name: getattr(self, name) for name in self.__slots__}
        return {**document, "failure": asdict(self.failure) if self.failure else None}

    @classmethod
    def load(cls, document: dict[str, Any]) -> Result:
        """The result that :meth:`dump` wrote down."""
        failure = document["failure"]
        known: dict[str, Any] = {**document, "failure": Failure(**failure) if failure else None}
        return cls(**known)

    @property
    def reward(self) -> float | None:
        """The rollout's reward as one number: the sum over its turns."""
        return None if self.rewards is None else sum(self.rewards)

    @property
    def untouched(self) -> bool:
        """Whether provably no turn was captured, so that the rollout may be played again."""
        return self.turns == 0 and self.possibly_captured == 0

    def answer(self, trajectory_id: str) -> dict[str, Any]:
        """The body of the answer to ``POST /rollout``."""
        result: dict[str, Any] = {
            "trajectory_id": trajectory_id,
            "status": self.status,
            "reward": self.reward,
            "rewards": self.rewards,
            "turns": self.turns,
            "metrics": self.metrics,
            "output": self.output,
        }
        if self.failure:
            result["error"] = self.failure.document()
        return result


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the terminal report.

    Args:
        tries: how often each operation was sent, by ``complete`` and ``reward``.
        kept: whether the trajectory is stored, where it is to be.
    """

    delivery: Delivery
    detail: str = ""
    tries: dict[str, int] = field(default_factory=dict[str, int])
    kept: bool = True

    @property
    def retries(self) -> int:
        """How often a report had to be sent again."""
        return sum(sent - 1 for sent in self.tries.values())


def abandoned(error: Abandoned | None = None, *, sampled: bool = True) -> Result:
    """The result of a rollout whose process died after it began to sample.

    Failed whatever FailurePolicy says: a floor needs a turn that was captured for certain.

    Args:
        error: why, if more is known than that.
        sampled: whether it may have begun to sample; where it has not, it may be played again.
    """
    error = error or Abandoned(
        "The process that played this rollout died after it had begun to sample; a second play "
        "would mix two attempts in one trajectory."
    )
    return Result(
        status="failed", rewards=None, failure=error.failure(), possibly_captured=int(sampled)
    )


def _digest(what: str, value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys), 64 hexadecimal characters."""
    try:
        text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise ContractViolation(f"The {what} holds a number that is out of range.") from None
    return hashlib.sha256(text.encode()).hexdigest()
