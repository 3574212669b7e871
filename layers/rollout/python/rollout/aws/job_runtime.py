"""The runtimes that serve a policy on AWS: a job's, a training session's, and a hosted endpoint.

A Job Runtime Sample is captured into the trajectory and is not idempotent, so it is repeated only
when it provably was not captured: the connection was refused or timed out before it stood, or the
service answered 429. Everything else ends the attempt (DESIGN: "Sample is retried only when...").
Nothing is captured at a hosted endpoint or in a training session, so whatever may pass is sent again
there until the deadline. An endpoint throttles with HTTP 400 and passes on its container's errors as 424.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from rollout.aws import clients
from rollout.aws.sampling import Answer, bounded, refused, unreached, until_sent
from rollout.errors import RolloutError, SampleFailed
from rollout.policy import Policy
from rollout.settings import Settings
from rollout.trust import Destination

# Characters of an error's code that are kept.
_LONGEST_CODE = 100


@dataclass(frozen=True, slots=True)
class JobRuntimePolicy:
    """The policy of a training job, behind the Job Runtime's Sample."""

    client: Any
    job_arn: str
    trajectory_id: str

    def sample(self, body: bytes, deadline: float) -> bytes:
        def send() -> bytes:
            answer = self.client.sample(
                JobArn=self.job_arn, TrajectoryId=self.trajectory_id, Body=body
            )
            return bounded(answer["Body"])

        return until_sent(send, deadline, _of_job)


@dataclass(frozen=True, slots=True)
class HostedPolicy:
    """A hosted SageMaker endpoint that speaks chat completions; nothing is captured there."""

    client: Any
    endpoint_name: str

    def sample(self, body: bytes, deadline: float) -> bytes:
        def send() -> bytes:
            answer = self.client.invoke_endpoint(
                EndpointName=self.endpoint_name,
                ContentType="application/json",
                Accept="application/json",
                Body=body,
            )
            return bounded(answer["Body"])

        return until_sent(send, deadline, _of_endpoint)


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """The model of a SageMaker training session; nothing is captured there.

    The service passes bodies on as they are (API reference, SampleTrainingSession).
    """

    client: Any
    session_name: str

    def sample(self, body: bytes, deadline: float) -> bytes:
        def send() -> bytes:
            answer = self.client.sample_training_session(
                trainingSessionName=self.session_name,
                contentType="application/json",
                accept="application/json",
                body=body,
            )
            return bounded(answer["body"])

        return until_sent(send, deadline, _of_endpoint)


def policy_for(destination: Destination, settings: Settings) -> Policy:
    """The policy a checked rollout samples from."""
    timeout = settings.times.sample_timeout
    if destination.model_endpoint:
        client = clients.client(
            "sagemaker-runtime", settings.region, read_timeout=timeout, attempts=1
        )
        return HostedPolicy(client, destination.model_endpoint)
    if destination.training_session:
        client = clients.client(
            "sagemakertrainingsessionruntime", settings.region, read_timeout=timeout, attempts=1
        )
        return SessionPolicy(client, destination.training_session)
    if destination.base_url:
        # TLS and the reading of secrets are for those alone who allow such servers.
        from rollout.aws.openai_server import OpenAIServer, key_of

        return OpenAIServer(destination.base_url, key_of(destination, settings), timeout)
    client = clients.client(
        "sagemakerjobruntime",
        destination.region,
        destination.endpoint,
        read_timeout=timeout,
        attempts=1,
    )
    return JobRuntimePolicy(client, destination.job_arn, destination.trajectory_id)


def _of_job(error: Exception) -> RolloutError:
    """A failure at the Job Runtime: what was captured decides whether it may be repeated."""
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return refused(_answer(error))
    if isinstance(
        error, (boto.ConnectTimeoutError, boto.ProxyConnectionError, boto.EndpointConnectionError)
    ):  # refused, or the name did not resolve
        return unreached(error)
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
        answer = _answer(error)
        if answer.may_pass:
            return SampleFailed(answer.detail, captured="no", retry_after=answer.retry_after)
        return refused(answer)
    if _is_unsent(error):
        return SampleFailed(f"The Sample could not be sent: {type(error).__name__}.", captured="no")
    return unreached(error)


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


def _answer(error: Any) -> Answer:
    """What botocore's ClientError says."""
    response, metadata, answer = (
        _object(value)
        for value in (
            error.response,
            _object(error.response).get("ResponseMetadata"),
            _object(error.response).get("Error"),
        )
    )
    # Of the container behind a hosted endpoint, where it is the container's answer.
    status = response.get("OriginalStatusCode") or metadata.get("HTTPStatusCode")
    return Answer(
        status if isinstance(status, int) else 0,
        str(answer.get("Code", ""))[:_LONGEST_CODE],
        f"{answer.get('Message', '')} {response.get('OriginalMessage', '')}",
        clients.retry_after({"HTTPHeaders": _object(metadata.get("HTTPHeaders"))}),
    )


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
