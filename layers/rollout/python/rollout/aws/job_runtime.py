"""The two runtimes that serve a policy on AWS: a job's, and a hosted endpoint.

A Job Runtime Sample is captured into the trajectory and is not idempotent, so it is repeated only
when it provably was not captured: the connection was refused or timed out before it stood, or the
service answered 429. Everything else ends the attempt (DESIGN: "Sample is retried only when...").
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.aws import clients
from rollout.errors import BadReply, OutOfTime, SampleFailed
from rollout.policy import MAX_REPLY_BYTES, Policy
from rollout.settings import Settings
from rollout.trust import Destination

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0


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

        return _until_sent(send, deadline)


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

        return _until_sent(send, deadline)


def policy_for(destination: Destination, settings: Settings) -> Policy:
    """The policy a checked rollout samples from."""
    timeout = settings.sample_timeout
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


def _until_sent(send: Callable[[], Any], deadline: float) -> bytes:
    """Send a Sample; repeat it, with jitter, for as long as it provably was not captured."""
    longest = _FIRST_PAUSE
    while True:
        try:
            return _read(_attempt(send))
        except SampleFailed as error:
            if error.captured != "no" or error.retry_after is None:
                raise
            pause = max(random.uniform(0, longest), error.retry_after)  # noqa: S311 - jitter
            if time.time() + pause >= deadline:
                raise
            time.sleep(pause)
            longest = min(longest * 2, _LONGEST_PAUSE)
        if time.time() >= deadline:
            raise OutOfTime("No time is left to sample another turn.")


def _attempt(send: Callable[[], Any]) -> Any:
    """One attempt; every way it can fail becomes a SampleFailed that knows what was captured."""
    from botocore import exceptions as boto

    try:
        return send()
    except boto.ClientError as error:
        raise _refused(error) from None
    except (boto.ConnectTimeoutError, boto.ProxyConnectionError) as error:
        raise _unreached(error) from None
    except boto.EndpointConnectionError as error:  # refused, or the name did not resolve
        raise _unreached(error) from None
    except boto.HTTPClientError as error:  # read timeout, reset, closed while waiting
        raise SampleFailed(
            f"The connection broke while the turn was being sampled ({type(error).__name__}); "
            "it may have been captured, so it is not sampled again.",
            captured="unknown",
        ) from None
    except boto.BotoCoreError as error:  # no credentials, parameter validation: nothing was sent
        raise SampleFailed(
            f"The Sample could not be sent: {type(error).__name__}.", captured="no"
        ) from None


def _unreached(error: Exception) -> SampleFailed:
    return SampleFailed(
        f"The policy's runtime cannot be reached ({type(error).__name__}).",
        captured="no",
        retry_after=0,
    )


def _refused(error: Any) -> SampleFailed:
    """An HTTP error answer: by status code, never by its text."""
    metadata = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    code = error.response.get("Error", {}).get("Code", "")
    detail = f"Sample answered {status} {code}."
    if status == 429:
        return SampleFailed(detail, captured="no", retry_after=clients.retry_after(metadata))
    # 4xx: the request was refused before it reached the model. 5xx: nobody can know.
    return SampleFailed(detail, captured="no" if 400 <= status < 500 else "unknown")


def _read(response: Any) -> bytes:
    """The reply's bytes; the turn is captured by now, so nothing here is ever sent again."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError
    from urllib3.exceptions import HTTPError

    try:
        data = response["Body"].read(MAX_REPLY_BYTES + 1)
    except (HTTPClientError, IncompleteReadError, ResponseStreamingError, HTTPError) as error:
        raise SampleFailed(
            f"The reply broke off ({type(error).__name__}); the turn may have been captured.",
            captured="unknown",
        ) from None
    if len(data) > MAX_REPLY_BYTES:
        raise BadReply(f"The policy's reply is larger than {MAX_REPLY_BYTES} bytes.")
    return data
