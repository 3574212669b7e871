"""How completion and reward are reported to the trainer.

CompleteRollout seals the trajectory, UpdateReward gives it its rewards. Both are idempotent by
ClientToken, which is a hash of what is said: a repeat says the same thing under the same token, so
reports may repeat on the wire but never conflict. :mod:`rollout.aws.feedback` sends them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol

Status = Literal["ready", "failed"]


class Feedback(Protocol):
    """Tells the trainer how a rollout ended."""

    def complete(self, status: Status) -> None:
        """Seal the trajectory.

        Raises:
            ReportRefused: a final no.
            ReportUndelivered: it may pass when sent again.
        """
        ...

    def reward(self, rewards: Sequence[float]) -> None:
        """Give a sealed trajectory its rewards; raises as :meth:`complete`."""
        ...


def client_token(job_arn: str, trajectory_id: str, operation: str, payload: Any) -> str:
    """The idempotency token of one report: 64 hexadecimal characters, the same for the same words."""
    said = json.dumps([job_arn, trajectory_id, operation, payload], separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()


_keeper: ContextVar[Feedback | None] = ContextVar("keeper", default=None)


@contextmanager
def kept_by(keeper: Feedback) -> Generator[None]:
    """Within this, RolloutFeedbackClient tells ``keeper`` instead of a trainer.

    For code of the reference SDK's shape that runs as an agent: its report is the agent's outcome, and
    the rollout reports once, by itself.
    """
    token = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(token)


def keeper() -> Feedback | None:
    """Who keeps the reports of the code that runs now; None where they go to a trainer."""
    return _keeper.get()
