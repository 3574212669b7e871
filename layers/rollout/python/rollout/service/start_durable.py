"""How an accepted rollout reaches the durable worker.

The record comes first, then the named asynchronous start. Where every start was refused for certain the
record goes again: nothing is half-accepted. Where nobody can tell it stays, and the same request or the
sweep starts the execution under the same name, which Lambda starts only once.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from urllib.parse import quote, urlencode

from rollout import trust
from rollout.agent import load_agent
from rollout.aws import clients
from rollout.contract import RolloutRequest
from rollout.errors import (
    ConfigurationError,
    ContractViolation,
    NotFound,
    Throttled,
    Unavailable,
)
from rollout.results import Rollout
from rollout.settings import Settings
from rollout.storage.drain import check_open
from rollout.storage.records import Acceptance, Records, Start
from rollout.telemetry import logs

_FINAL = range(400, 500)
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Accepted:
    """A rollout that will be played, or was before; ``execution`` is the name it is played under."""

    rollout: Rollout
    repeated: bool
    execution: str

    def answer(self, path: str) -> tuple[dict[str, str], dict[str, str]]:
        """Headers and body of the 202; the same for a repeat.

        Args:
            path: of the request, ``/rollout`` with the stage before it.
        """
        where = self.rollout.destination
        job = urlencode({"job_arn": where.job_arn})
        location = f"{path.rstrip('/')}s/{quote(where.trajectory_id)}?{job}"
        headers = {"Location": location, "Preference-Applied": "respond-async"}
        return headers, {
            "trajectory_id": where.trajectory_id,
            "state": "accepted",
            "location": location,
        }


def start_durable(request: RolloutRequest, settings: Settings, *, entry_point: str) -> Accepted:
    """Accept a rollout and start its durable execution, once.

    Args:
        entry_point: the one it came through, ``api`` or ``job``.

    Raises:
        Untrusted, ContractViolation, AgentUnavailable, BodyMismatch: nothing was accepted.
        Draining, ConfigurationError, Throttled: nothing was accepted; ``retry_after`` says when.
        Unavailable: nobody can tell; the same request again is safe.
    """
    if not settings.worker:
        raise ConfigurationError(
            "ROLLOUT_WORKER is not set: there is no durable worker to start. Leave respond-async out of "
            "Prefer; on your own machine, rollout run --durable has a worker."
        )
    rollout = Rollout.of(request, trust.check(request, settings))
    if request.api_key:
        raise ContractViolation(
            "api_key: is never stored, so a rollout that brings a key is played inside its request; "
            "leave Prefer: respond-async away, or name a secret (ROLLOUT_BASE_URL_SECRET)."
        )
    check_open(settings)
    load_agent(settings.agent)
    records = Records(settings)
    if settings.max_running:
        _check_room(records, rollout, settings)
    decision = records.accept_durable(rollout, entry_point=entry_point)
    acceptance = decision.acceptance
    if isinstance(decision, Start):
        try:
            start(acceptance, settings)
        except (Throttled, ConfigurationError):
            records.withdraw(decision)
            raise
    repeated = not isinstance(decision, Start) or decision.repeated
    logs.accepted(group=rollout.group, execution=acceptance.execution, repeated=repeated)
    return Accepted(rollout, repeated=repeated, execution=acceptance.execution)


def start(acceptance: Acceptance, settings: Settings) -> str:
    """Start the worker's execution of an acceptance; starting it again changes nothing.

    One attempt: of several, the last one's no would say nothing about the others.

    Returns:
        The execution's ARN; empty where Lambda does not say it.

    Raises:
        Throttled: Lambda takes no more executions now; it was not started.
        ConfigurationError: Lambda refused for good; it was not started.
        Unavailable: nobody can tell whether it was started.
    """
    from botocore.exceptions import ClientError

    client = clients.client("lambda", settings.region, read_timeout=10, attempts=1)
    try:
        answer = client.invoke(
            FunctionName=settings.worker,
            InvocationType="Event",
            DurableExecutionName=acceptance.execution,
            Payload=json.dumps(asdict(acceptance), sort_keys=True).encode(),
        )
    except ClientError as error:
        code, status = clients.code_of(error.response), clients.status_of(error.response) or 0
        if code == "DurableExecutionAlreadyStartedException":
            return ""
        if status == _TOO_MANY or code == "ServiceQuotaExceededException":
            raise Throttled("Lambda takes no more executions now.", retry_after=5) from None
        if status in _FINAL:
            raise ConfigurationError(
                f"The worker cannot be started: Lambda answered {code}."
            ) from None
        raise Unavailable(
            f"Starting the worker answered {code}; the same request again is safe.", retry_after=2
        ) from None
    except clients.unreached() as error:
        raise Throttled(
            f"Lambda cannot be reached ({type(error).__name__}); nothing was started.",
            retry_after=5,
        ) from None
    except Exception as error:  # noqa: BLE001 - lost or garbled: it may have been started
        raise Unavailable(
            f"Lambda did not answer ({type(error).__name__}); the same request again is safe.",
            retry_after=2,
        ) from None
    return str(answer.get("DurableExecutionArn") or "")


def _check_room(records: Records, rollout: Rollout, settings: Settings) -> None:
    """Refuse a new rollout when as many as allowed are open; a repeat is never refused.

    Soft: the index it counts by is a moment behind.
    """
    if records.count_open() < settings.max_running:
        return
    where = rollout.destination
    try:
        records.get(where.job_arn, where.trajectory_id)
    except NotFound:
        raise Throttled(
            f"{settings.max_running} rollouts are running, the most this stack takes "
            "(ROLLOUT_MAX_RUNNING).",
            retry_after=5,
        ) from None
