"""The two runtimes that serve a policy on AWS: a job's, and a hosted endpoint.

A Job Runtime Sample is captured into the trajectory and is not idempotent, so it is repeated only
when it provably was not captured: the connection was refused or timed out before it stood, or the
service answered 429. Everything else ends the attempt (DESIGN: "Sample is retried only when...").
Nothing is captured at a hosted endpoint, so whatever may pass is sent again there until the deadline; it
throttles with HTTP 400 and passes on its container's errors as 424.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from rollout.aws import clients
from rollout.backoff import Backoff
from rollout.errors import BadReply, ContextFull, OutOfTime, RolloutError, SampleFailed
from rollout.judgement import AWS_OUTAGES, names_context
from rollout.policy import MAX_REPLY_BYTES, Policy
from rollout.settings import Settings
from rollout.trust import Destination

_PAUSES = Backoff(first=0.25, longest=8.0)
# Characters of an error's code that are kept.
_LONGEST_CODE = 100


@dataclass(frozen=True, slots=True)
class JobRuntimePolicy:
    """The policy of a training job, behind the Job Runtime's Sample."""

    client: Any
    job_arn: str
    trajectory_id: str

    def sample(self, body: bytes, deadline: float) -> bytes:
        def send() -> Any:
            return self.client.sample(
                JobArn=self.job_arn, TrajectoryId=self.trajectory_id, Body=body
            )

        return _until_sent(send, deadline, _of_job)


@dataclass(frozen=True, slots=True)
class HostedPolicy:
    """A hosted SageMaker endpoint that speaks chat completions; nothing is captured there."""

    client: Any
    endpoint_name: str

    def sample(self, body: bytes, deadline: float) -> bytes:
        def send() -> Any:
            return self.client.invoke_endpoint(
                EndpointName=self.endpoint_name,
                ContentType="application/json",
                Accept="application/json",
                Body=body,
            )

        return _until_sent(send, deadline, _of_endpoint)


def policy_for(destination: Destination, settings: Settings) -> Policy:
    """The policy a checked rollout samples from."""
    timeout = settings.times.sample_timeout
    if destination.model_endpoint:
        client = clients.client(
            "sagemaker-runtime", settings.region, read_timeout=timeout, attempts=1
        )
        return HostedPolicy(client, destination.model_endpoint)
    client = clients.client(
        "sagemakerjobruntime",
        destination.region,
        destination.endpoint,
        read_timeout=timeout,
        attempts=1,
    )
    return JobRuntimePolicy(client, destination.job_arn, destination.trajectory_id)


def _until_sent(
    send: Callable[[], Any], deadline: float, failure: Callable[[Exception], RolloutError]
) -> bytes:
    """Send a Sample; repeat it, with jitter, while it provably was not captured and may pass.

    Args:
        failure: what an exception of botocore's means at this runtime.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return _read(send())
        except RolloutError:
            raise
        except Exception as error:  # noqa: BLE001 - also what botocore's parsers choke on
            failed = failure(error)
        if not isinstance(failed, SampleFailed) or failed.captured != "no":
            raise failed
        if failed.retry_after is None:
            raise failed
        pause = _PAUSES.pause(attempt, failed.retry_after)
        if time.time() + pause >= deadline:
            raise failed
        time.sleep(pause)
        if time.time() >= deadline:
            raise OutOfTime("No time is left to sample another turn.")


def _read(response: Any) -> bytes:
    """The reply's bytes."""
    data = response["Body"].read(MAX_REPLY_BYTES + 1)
    if len(data) > MAX_REPLY_BYTES:
        raise BadReply(f"The policy's reply is larger than {MAX_REPLY_BYTES} bytes.")
    return data


def _of_job(error: Exception) -> RolloutError:
    """A failure at the Job Runtime: what was captured decides whether it may be repeated."""
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return _refused(_Answer.of(error))
    if isinstance(
        error, (boto.ConnectTimeoutError, boto.ProxyConnectionError, boto.EndpointConnectionError)
    ):  # refused, or the name did not resolve
        return _unreached(error)
    if _is_unsent(error):
        return SampleFailed(f"The Sample could not be sent: {type(error).__name__}.", captured="no")
    # Read timeout, reset, closed while waiting or in the middle of the reply.
    return SampleFailed(
        f"Sampling broke off ({type(error).__name__}); the turn may have been captured, so it is not "
        "sampled again.",
        captured="unknown",
    )


def _of_endpoint(error: Exception) -> RolloutError:
    """A failure at a hosted endpoint, where nothing is captured."""
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        answer = _Answer.of(error)
        if answer.may_pass:
            return SampleFailed(answer.detail, captured="no", retry_after=answer.retry_after)
        return _refused(answer)
    if _is_unsent(error):
        return SampleFailed(f"The Sample could not be sent: {type(error).__name__}.", captured="no")
    return _unreached(error)


def _is_unsent(error: Exception) -> bool:
    """Whether nothing was sent: no credentials, no region, parameters that are refused here."""
    from botocore import exceptions as boto

    kinds = (
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.CredentialRetrievalError,
        boto.NoRegionError,
        boto.ParamValidationError,
    )
    return isinstance(error, kinds)


def _unreached(error: Exception) -> SampleFailed:
    return SampleFailed(
        f"The policy's runtime cannot be reached ({type(error).__name__}).",
        captured="no",
        retry_after=0,
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """An HTTP error answer.

    Args:
        status: of the container behind a hosted endpoint, where it is the container's answer.
        said: its text; looked at, never kept.
    """

    status: int
    code: str
    said: str
    retry_after: int

    @classmethod
    def of(cls, error: Any) -> _Answer:
        response, metadata, answer = (
            _object(value)
            for value in (
                error.response,
                _object(error.response).get("ResponseMetadata"),
                _object(error.response).get("Error"),
            )
        )
        status = response.get("OriginalStatusCode") or metadata.get("HTTPStatusCode")
        return cls(
            status if isinstance(status, int) else 0,
            str(answer.get("Code", ""))[:_LONGEST_CODE],
            f"{answer.get('Message', '')} {response.get('OriginalMessage', '')}",
            clients.retry_after({"HTTPHeaders": _object(metadata.get("HTTPHeaders"))}),
        )

    @property
    def detail(self) -> str:
        return f"Sample answered {self.status} {self.code}."

    @property
    def may_pass(self) -> bool:
        """Whether it may be another answer in a moment."""
        return self.status in (408, 429) or self.status >= 500 or self.code in AWS_OUTAGES


def _refused(answer: _Answer) -> RolloutError:
    """By status and code; by the text only where nothing else tells a full context."""
    if answer.status == 429:
        return SampleFailed(answer.detail, captured="no", retry_after=answer.retry_after)
    if names_context(answer.status, answer.said):
        return ContextFull(
            "The conversation is longer than the model can read; score what was reached."
        )
    # 4xx: the request was refused before it reached the model. 5xx: nobody can know.
    refused = 400 <= answer.status < 500
    return SampleFailed(answer.detail, captured="no" if refused else "unknown")


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
