"""The whole stack on a laptop: simulator, DynamoDB and S3 (moto), environment, gateway, console."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from moto.moto_api import recorder
from moto.server import ThreadedMotoServer

from local.durable import WORKER, EventBus, InProcess, Invoke, LambdaService
from local.faults import FaultScript
from local.gateway import Gateway, Handler, environment_of
from local.server import Server
from local.simulator import JobRuntimeSimulator, Policy
from local.template import table_properties

ACCOUNT = "123456789012"
REGION = "us-west-2"
JOB_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:job/AgentRFT/local"

_ROOT = Path(__file__).resolve().parent.parent
HANDLERS = _ROOT / "functions" / "rollout"


class State:
    """What a stack keeps on disk: the port and journal of its simulator, moto's recording.

    Args:
        directory: made if it is missing.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._port_file = directory / "simulator-port"
        self.durable = directory / "durable"
        self.journal = directory / "trajectories.jsonl"
        self._recording = directory / "aws-requests.jsonl"
        # Accepted rollouts name the simulator's endpoint: it must come back where it was.
        self.port = int(self._port_file.read_text()) if self._port_file.exists() else 0

    def remember(self, port: int) -> None:
        """Keep the simulator's port for the next process."""
        self._port_file.write_text(str(port))

    def restore(self, aws_url: str) -> bool:
        """Replay what an earlier process asked of moto, then record; False if there was none."""
        recorder._location = str(self._recording)  # noqa: SLF001 - read from the environment at import
        known = self._recording.exists()
        if known:
            recorder.replay_recording(target_host=aws_url)
        recorder.start_recording()
        return known

    def close(self) -> None:
        """Stop recording."""
        recorder.stop_recording()


class LocalStack:
    """Starts everything, points the environment at it, and stops it again.

    Args:
        policy: what the simulated trainer's model says.
        agent: ``module:function``.
        faults: what goes wrong in the Job Runtime.
        port: of the local gateway; 0 picks a free one.
        console_port: of the console; 0 picks a free one.
        durable: directory of the durable runner's store; None for a stack without the worker.
        state: directory that everything is kept in, so that a stack on the same directory goes on
            where this one stopped, however it stopped. Implies ``durable``.
        invoke: runs the worker's invocations; in this process if not given.
        backoff: seconds until a failed invocation of the worker is tried again.
        environ: further settings, as the template's parameters would set them.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        agent: str = "agents.calculator:calculator",
        faults: FaultScript | None = None,
        port: int = 0,
        console_port: int = 0,
        durable: Path | None = None,
        state: Path | None = None,
        invoke: Invoke | None = None,
        backoff: int = 5,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._state = State(state) if state else None
        if self._state:
            durable = self._state.durable
            kept = {"port": self._state.port, "journal": self._state.journal}
            self.simulator = JobRuntimeSimulator(policy, faults, **kept)
            self._state.remember(self.simulator.server.port)
        else:
            self.simulator = JobRuntimeSimulator(policy, faults)
        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        # moto keeps one state for the whole process; a stack of its own has names of its own.
        self.table = f"rollouts-{uuid.uuid4().hex[:12]}"
        self.bucket = f"trajectories-{uuid.uuid4().hex[:12]}"
        self._agent = agent
        self._port = port
        self._console_port = console_port
        self._more = dict(environ or {})
        self.service: LambdaService | None = None
        if durable is not None:
            run = invoke or InProcess(environment_of(HANDLERS / "worker.py"))
            self.service = LambdaService(
                run,
                durable,
                backoff=backoff,
                functions={
                    door: InProcess(environment_of(HANDLERS / f"{door}.py"), 300, door)
                    for door in ("job", "sweep")
                },
            )
        self._before: dict[str, str] = {}
        self._open = ExitStack()
        self.url = ""
        self.console_url = ""
        self.aws_url = ""

    def __enter__(self) -> Self:
        # Not at import: a worker that imports this module has not the console's folder on its path.
        from local.console import console_server

        self._open.enter_context(self.simulator)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto logs every request
        self._moto.start()
        _one_at_a_time(self._moto)
        self._open.callback(self._moto.stop)
        host, port = self._moto.get_host_and_port()
        self.aws_url = f"http://{host}:{port}"
        self._before = dict(os.environ)
        os.environ.update(self.environ())
        self._open.callback(self._restore)
        _forget()
        if self._state:
            self.table, self.bucket = "rollouts", "trajectories"
            os.environ.update(self.environ())
        if not (self._state and self._state.restore(self.aws_url)):
            self._create()
        if self.service is not None:
            self._open.enter_context(self.service)
            bus = EventBus(self.service, _handler("closer"), _handler("sweep"))
            self._open.enter_context(bus)
        server = Server(Gateway(environment_of(HANDLERS / "api.py")), self._port)
        self._open.enter_context(server)
        self.url = server.url
        self.console_url = self._open.enter_context(console_server(port=self._console_port)).url
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        if self._state:
            self._state.close()

    def environ(self) -> dict[str, str]:
        """The environment a function of the stack runs in."""
        return {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_ENDPOINT_URL_DYNAMODB": self.aws_url,
            "AWS_ENDPOINT_URL_S3": self.aws_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
            "ROLLOUT_AGENT": self._agent,
            "ROLLOUT_TABLE": self.table,
            "ROLLOUT_BUCKET": self.bucket,
            "ROLLOUT_ACCOUNT_ID": ACCOUNT,
            "ROLLOUT_ALLOWED_ENDPOINTS": self.simulator.url,
            **self._durable_environ(),
            **self._more,
        }

    def _durable_environ(self) -> dict[str, str]:
        if self.service is None:
            return {}
        return {"AWS_ENDPOINT_URL_LAMBDA": self.service.url, "ROLLOUT_WORKER": WORKER}

    def request(self, trajectory_id: str, instance: dict[str, Any]) -> dict[str, Any]:
        """Hand out a problem and return the body of ``POST /rollout`` for it."""
        self.simulator.hand_out(JOB_ARN, trajectory_id, instance)
        return {
            "instance": instance,
            "metadata": {
                "job_arn": JOB_ARN,
                "trajectory_id": trajectory_id,
                "endpoint": self.simulator.url,
                "region": REGION,
            },
            "inference_params": {"temperature": 1.0, "max_tokens": 1024, "top_p": 1.0},
        }

    def _create(self) -> None:
        from rollout import clients

        dynamodb = clients.client("dynamodb", REGION)
        dynamodb.create_table(TableName=self.table, **table_properties())
        clients.client("s3", REGION).create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )

    def _restore(self) -> None:
        os.environ.clear()
        os.environ.update(self._before)
        _forget()


def _one_at_a_time(moto: ThreadedMotoServer) -> None:
    """DynamoDB makes an update whole and hands its result back; moto's threads would mix two."""
    server: Any = moto._server  # noqa: SLF001 - moto offers no other way to its application
    app, lock = server.app, threading.Lock()

    def locked(environ: Any, start_response: Any) -> list[bytes]:
        with lock:
            return list(app(environ, start_response))

    server.app = locked


def _handler(door: str) -> Handler:
    return environment_of(HANDLERS / f"{door}.py")()


def _forget() -> None:
    """Settings and clients are kept for a process's life; another stack is another life."""
    from aws_durable_execution_sdk_python.lambda_service import LambdaClient

    from rollout import clients, settings

    LambdaClient._cached_boto_client = None  # noqa: SLF001 - pyright: ignore[reportPrivateUsage]

    settings.settings.cache_clear()
    clients.forget()
