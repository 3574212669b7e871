"""Reports to the Job Runtime, and errors told apart by status code.

Under the reference SDK's names as well, for code that reports by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from rollout.agent import as_outcome
from rollout.aws import clients
from rollout.contract import RolloutMetadata
from rollout.errors import ContractViolation, ReportRefused, ReportUndelivered
from rollout.feedback import Feedback, Status, client_token, keeper
from rollout.settings import settings
from rollout.steps import repeat
from rollout.trust import Destination, check_metadata, job_runtime_endpoint
from rollout.waiting import wait_for

# A report is small and its answer quick; a slow one is better sent again than waited for.
_REPORT_TIMEOUT = 10.0
# Nor may the whole answer take longer than this: the time-out counts from byte to byte.
_ANSWER_SECONDS = 15.0
# How long RolloutFeedbackClient repeats a report that does not get through, seconds.
_RETRY_SECONDS = 60.0
# 400, 404, 409: the trainer will never take this report. Everything else may pass.
_FINAL = frozenset({400, 404, 409})


@dataclass(frozen=True, slots=True)
class JobFeedback:
    """Reports of one trajectory to the Job Runtime."""

    client: Any
    job_arn: str
    trajectory_id: str

    def complete(self, status: Status) -> None:
        self._send(
            "CompleteRollout",
            status,
            lambda token: self.client.complete_rollout(
                JobArn=self.job_arn,
                TrajectoryId=self.trajectory_id,
                Status=status,
                ClientToken=token,
            ),
        )

    def reward(self, rewards: Sequence[float]) -> None:
        payload = list(rewards)
        self._send(
            "UpdateReward",
            payload,
            lambda token: self.client.update_reward(
                JobArn=self.job_arn,
                TrajectoryId=self.trajectory_id,
                Rewards=payload,
                ClientToken=token,
            ),
        )

    def _send(self, operation: str, payload: Any, call: Callable[[str], Any]) -> None:
        from botocore import exceptions as boto

        token = client_token(self.job_arn, self.trajectory_id, operation, payload)
        try:
            wait_for(lambda: call(token), _ANSWER_SECONDS, name=operation)
        except boto.ClientError as error:
            raise _refused(operation, error.response) from None
        except clients.unreached() as error:
            raise _undelivered(operation, error, possibly_taken=False) from None
        except Exception as error:  # noqa: BLE001 - botocore's parsers raise anything at an odd body
            raise _undelivered(operation, error, possibly_taken=True) from None


def feedback_for(destination: Destination) -> Feedback | None:
    """Where a rollout's report goes; None for an evaluation that belongs to no job."""
    if not destination.job_arn:
        return None
    client = _client(destination.region, destination.endpoint)
    return JobFeedback(client, destination.job_arn, destination.trajectory_id)


def _client(region: str, endpoint: str) -> Any:
    # One attempt: repeating is the business of steps, which knows the deadline.
    return clients.client(
        "sagemakerjobruntime", region, endpoint, read_timeout=_REPORT_TIMEOUT, attempts=1
    )


def _undelivered(operation: str, error: Exception, *, possibly_taken: bool) -> ReportUndelivered:
    return ReportUndelivered(
        f"{operation} did not get through ({type(error).__name__}).",
        retry_after=0,
        possibly_taken=possibly_taken,
    )


def _refused(operation: str, answer: Any) -> ReportRefused | ReportUndelivered:
    status, code = clients.status_of(answer) or 0, clients.code_of(answer)
    detail = f"{operation} answered {status} {code}."
    if status in _FINAL:
        return ReportRefused(detail, operation=operation, answered=status)
    return ReportUndelivered(
        detail,
        retry_after=clients.retry_after(answer.get("ResponseMetadata")),
        possibly_taken=status // 100 != 4,
    )


# --- under the reference SDK's names ----------------------------------------------------------------


def make_inference_headers(metadata: Mapping[str, Any] | RolloutMetadata) -> dict[str, str]:
    """The two headers that tie an inference request to its trajectory.

    Args:
        metadata: the request's metadata, a model or a dict in either spelling.

    Returns:
        ``X-Amzn-SageMaker-Job-Arn`` and ``X-Amzn-SageMaker-Trajectory-Id``. Source of the names: the
        botocore service model; of the call: ``sagemaker.train.rft.headers``.
    """
    known = _metadata(metadata)
    return {
        "X-Amzn-SageMaker-Job-Arn": known.job_arn,
        "X-Amzn-SageMaker-Trajectory-Id": known.trajectory_id,
    }


class RolloutFeedbackClient:
    """The reference SDK's feedback client: the same calls, errors told apart by status code.

    What differs: nothing is skipped in silence, a report that does not get through raises after a
    minute of retries, and ``report_error`` sends a reward only if it is given one (a zero that
    stands for an outage would teach the model nonsense).

    Args:
        metadata: the request's metadata, a model or a dict in either spelling.

    Raises:
        ContractViolation: ``job_arn`` or ``trajectory_id`` is missing.
        Untrusted: the metadata names a host, region or account this stack may not talk to.
    """

    def __init__(self, metadata: Mapping[str, Any] | RolloutMetadata) -> None:
        self._feedback: Feedback
        kept = keeper()
        if kept is not None:
            self._feedback = kept
            return
        destination = check_metadata(_metadata(metadata), settings())
        client = _client(destination.region, destination.endpoint)
        self._feedback = JobFeedback(client, destination.job_arn, destination.trajectory_id)

    def complete_rollout(self, status: Status = "ready") -> None:
        """Seal the trajectory; raises ReportRefused or ReportUndelivered."""
        _deliver(lambda: self._feedback.complete(status))

    def update_reward(self, reward: float | Sequence[float]) -> None:
        """Send one reward or one per turn; raises RewardError, ReportRefused, ReportUndelivered."""
        checked = as_outcome(reward, "RolloutFeedbackClient.update_reward").reward
        rewards = [checked] if isinstance(checked, (int, float)) else list(checked)
        _deliver(lambda: self._feedback.reward(rewards))

    def report_complete(self, reward: float | Sequence[float]) -> None:
        """Seal the trajectory as ready, then send its reward."""
        as_outcome(reward, "RolloutFeedbackClient.report_complete")  # before anything is sent
        self.complete_rollout("ready")
        self.update_reward(reward)

    def report_error(self, error: str, reward: float | None = None) -> None:
        """Seal the trajectory as failed; ``error`` is for the caller's own log and goes nowhere."""
        del error
        self.complete_rollout("failed")
        if reward is not None:
            self.update_reward(reward)


def _deliver(send: Callable[[], None]) -> None:
    repeat(send, time.time() + _RETRY_SECONDS)


def _metadata(metadata: Mapping[str, Any] | RolloutMetadata) -> RolloutMetadata:
    if isinstance(metadata, RolloutMetadata):
        return metadata
    known = dict(metadata)
    if not known.get("endpoint"):
        region = str(known.get("region") or settings().region)
        known |= {"endpoint": job_runtime_endpoint(region, stage=settings().trust.stage)}
    try:
        return RolloutMetadata.model_validate(known)
    except ValidationError as error:
        fields = sorted({str(item["loc"][0]) for item in error.errors()})
        raise ContractViolation(f"metadata: {', '.join(fields)} missing or not text.") from None
