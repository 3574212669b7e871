"""What ``sam local`` needs around its containers: Job Runtime, DynamoDB, S3 and Lambda at fixed ports.

The functions run in SAM CLI's containers and reach these services by ``host.docker.internal``;
``events/env.json`` names the same addresses. What a function starts asynchronously is played here, by the
same worker on AWS's local durable runner; the runner also serves as SAM CLI's durable emulator.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult

import httpx

from devkit.emulator import container_host
from devkit.emulator.gateway import environment_of
from devkit.emulator.in_process import Answer, answering
from devkit.emulator.job_runtime import JobRuntimeSimulator, PolicyFunction
from devkit.emulator.lambda_service import WORKER, EventBus, InProcess, LambdaService
from devkit.emulator.stack import forget_clients
from devkit.emulator.store.local import LocalAws
from devkit.emulator.template import table_properties
from devkit.places import HANDLERS
from rollout.contract import RolloutRequest
from rollout.errors import NotFound
from rollout.results import Rollout
from rollout.settings import settings
from rollout.storage.records import Records
from rollout.trust import Destination

ACCOUNT = "123456789012"
JOB_RUNTIME, AWS, LAMBDA = 9010, 9011, 9012
# What SAM CLI takes for a reference to the table and to the bucket: their names in the template.
TABLE, BUCKET = "RolloutTable", "TrajectoryBucket"


def url(port: int) -> str:
    """A service's address as containers see it."""
    return f"http://{container_host.NAME}:{port}"


def variables() -> dict[str, str]:
    """What the functions' environment must say for these services; the content of ``events/env.json``."""
    return {
        "AWS_ENDPOINT_URL_DYNAMODB": url(AWS),
        "AWS_ENDPOINT_URL_S3": url(AWS),
        "AWS_ENDPOINT_URL_LAMBDA": url(LAMBDA),
        "ROLLOUT_ACCOUNT_ID": ACCOUNT,
        "ROLLOUT_ALLOWED_ENDPOINTS": url(JOB_RUNTIME),
        "ROLLOUT_JOB_ENDPOINT": url(JOB_RUNTIME),
    }


class SamServices:
    """Starts the services and stops them again; only one at a time can have the ports.

    Args:
        policy: what the simulated trainer's model says.
        problems: instances that a rollout may be played on; which of them a trajectory is about is
            told by the record that the functions keep.
        agent: ``module:function``, for the worker.
        region: of the jobs.
        durable: directory of the durable runner's store.
        address: a further address of this machine, which containers reach.

    Raises:
        PortTaken: one of the ports is in use.
    """

    def __init__(
        self,
        policy: PolicyFunction,
        problems: Sequence[dict[str, Any]],
        *,
        agent: str,
        region: str,
        durable: Path,
        address: str = "",
    ) -> None:
        self.job_arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:job/AgentRFT/local"
        self.region = region
        self._agent = agent
        self._address = address
        self._problems = {_group_of(problem): problem for problem in problems}
        self._open = ExitStack()
        self.aws = LocalAws()
        self.simulator = JobRuntimeSimulator(
            policy, port=JOB_RUNTIME, address=address, problem_of=self._problem_of
        )
        self.service = LambdaService(
            InProcess(environment_of(HANDLERS / "worker.py")),
            durable,
            port=LAMBDA,
            address=address,
        )

    def __enter__(self) -> Self:
        before = dict(os.environ)
        try:
            self._open.enter_context(self.simulator)
            self._open.enter_context(self.aws)
            self.aws.served(AWS, self._address)
            os.environ.update(self._environ())
            self._open.callback(_restore, before)
            forget_clients()
            # Accepted rollouts name the Job Runtime as containers see it; the worker here asks there.
            local = self._open.enter_context(httpx.Client(base_url=self.simulator.url, timeout=900))
            self._open.enter_context(answering(url(JOB_RUNTIME), _forward(local)))
            self.aws.dynamodb.call("CreateTable", {"TableName": TABLE, **table_properties()})
            self.aws.s3.call("PUT", f"/{BUCKET}", "", {}, b"")
            self._open.enter_context(self.service)
            closer, sweep = (
                environment_of(HANDLERS / f"{name}.py")() for name in ("closer", "sweep")
            )
            # The sweep is invoked by hand: sam local invoke SweepFunction -e events/sweep.json.
            self._open.enter_context(EventBus(self.service, closer, sweep, schedule=math.inf))
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def accept(self, instance: dict[str, Any]) -> bytes:
        """Accept a rollout as a job's, and do not start its worker; returns the worker's event."""
        metadata = {"jobArn": self.job_arn, "rolloutId": "by-hand"}
        event = {"prompt": json.dumps(instance), "metadata": metadata}
        self.service.hold_starts = True
        try:
            InProcess(environment_of(HANDLERS / "job.py"), 60, "job")(event)
        finally:
            self.service.hold_starts = False
        return self.service.held.pop()

    def request(self, trajectory_id: str, instance: dict[str, Any]) -> dict[str, Any]:
        """The body of a ``POST /rollout``."""
        return {
            "instance": instance,
            "metadata": {
                "job_arn": self.job_arn,
                "trajectory_id": trajectory_id,
                "endpoint": url(JOB_RUNTIME),
                "region": self.region,
            },
            "inference_params": {"temperature": 1.0, "max_tokens": 1024, "top_p": 1.0},
        }

    def _environ(self) -> dict[str, str]:
        return {
            **variables(),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",  # nosec B105 - the services take any
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_DYNAMODB": self.aws.url,
            "AWS_ENDPOINT_URL_S3": self.aws.url,
            "AWS_ENDPOINT_URL_LAMBDA": self.service.url,
            # The worker here stands for one in a container, and trusts what that would.
            "AWS_SAM_LOCAL": "true",
            "AWS_LAMBDA_LOG_STREAM_NAME": "$LATEST",
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
            "POWERTOOLS_METRICS_DISABLED": "true",
            "ROLLOUT_AGENT": self._agent,
            "ROLLOUT_TABLE": TABLE,
            "ROLLOUT_BUCKET": BUCKET,
            "ROLLOUT_WORKER": WORKER,
        }

    def _problem_of(self, job_arn: str, trajectory_id: str) -> dict[str, Any] | None:
        """The instance of a rollout that a function has accepted."""
        try:
            row = Records(settings()).get(job_arn, trajectory_id).row
        except NotFound:
            return None
        if "request" in row:
            return json.loads(row["request"])["instance"]
        return self._problems.get(row["group"])


def _group_of(instance: dict[str, Any]) -> str:
    metadata = {"job_arn": "", "trajectory_id": "-", "endpoint": ""}
    request = RolloutRequest.model_validate({"instance": instance, "metadata": metadata})
    return Rollout.of(request, Destination("", "-", "", "", "")).group


def _forward(local: httpx.Client) -> Any:
    def answer(method: str, where: SplitResult, headers: dict[str, str], body: bytes) -> Answer:
        kept = {name: value for name, value in headers.items() if name != "host"}
        received = local.request(method, where.path, headers=kept, content=body)
        return received.status_code, dict(received.headers), received.content

    return answer


def _restore(before: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(before)
    forget_clients()
