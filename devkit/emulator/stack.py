"""The whole stack on a laptop: simulator, DynamoDB and S3, environment, gateway, console."""

from __future__ import annotations

import gzip
import json
import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from devkit.aws_session import default_session, renew_default_session
from devkit.emulator.faults import FaultScript
from devkit.emulator.gateway import Gateway, Handler, InProcessTransport, environment_of
from devkit.emulator.in_process import answering
from devkit.emulator.job_runtime import JobRuntimeSimulator, PolicyFunction
from devkit.emulator.lambda_service import WORKER, EventBus, InProcess, Invoke, LambdaService
from devkit.emulator.own_problems import Asked, with_own_problems
from devkit.emulator.server import Server
from devkit.emulator.store.local import LocalAws
from devkit.emulator.template import table_properties
from devkit.places import HANDLERS
from rollout.agent import observing_errors
from rollout.settings import DEFAULT_AGENT

ACCOUNT = "123456789012"
REGION = "us-west-2"
JOB_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:job/AgentRFT/local"

_PARAMS = {"temperature": 1.0, "max_tokens": 1024, "top_p": 1.0}


class SavedState:
    """What a stack keeps on disk: the port and journal of its simulator, its table and bucket.

    Args:
        directory: made if it is missing.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._port_file = directory / "simulator-port"
        self.durable = directory / "durable"
        self.journal = directory / "trajectories.jsonl"
        self.aws = directory / "aws.db"
        # Accepted rollouts name the simulator's endpoint: it must come back where it was.
        self.port = int(self._port_file.read_text()) if self._port_file.exists() else 0

    def remember(self, port: int) -> None:
        """Keep the simulator's port for the next process."""
        self._port_file.write_text(str(port))


class EmulatedStack:
    """Starts everything, points the environment at it, and stops it again.

    Args:
        policy: what the simulated trainer's model says.
        agent: ``module:function``.
        faults: what goes wrong in the Job Runtime.
        port: of the local gateway; 0 picks a free one.
        console_port: of the console; 0 picks a free one.
        durable: whether with the worker; a directory keeps its executions there, in a runner that is a
            process of its own, instead of in memory.
        state: directory that everything is kept in, so that a stack on the same directory goes on
            where this one stopped, however it stopped. Implies ``durable``.
        invoke: runs the worker's invocations; in this process if not given.
        backoff: seconds until a failed invocation of the worker is tried again.
        environ: further settings, as the template's parameters would set them.
        on_agent_error: is given what agents raise in this process (``rollout.agent.observing_errors``).
        direct: answer by calls what this process asks of gateway and simulator, instead of on their
            sockets. For a policy that answers at once, and no faults: nothing of the wire matters then.
        any_trajectory: play whatever trajectory id ``POST /rollout`` names, as no trainer would.
        moto: take moto for DynamoDB and S3, over sockets, instead of the local store. It keeps nothing in
            ``state``.
    """

    def __init__(
        self,
        policy: PolicyFunction,
        *,
        agent: str = DEFAULT_AGENT,
        faults: FaultScript | None = None,
        port: int = 0,
        console_port: int = 0,
        durable: bool | Path = False,
        state: Path | None = None,
        invoke: Invoke | None = None,
        backoff: int = 5,
        environ: Mapping[str, str] | None = None,
        on_agent_error: Callable[[BaseException], None] | None = None,
        direct: bool = False,
        moto: bool = False,
        any_trajectory: bool = False,
    ) -> None:
        self._state = SavedState(state) if state else None
        self._asked = Asked() if any_trajectory else None
        problem_of = self._asked.problem_of if self._asked else None
        if self._state:
            durable = self._state.durable
            self.simulator = JobRuntimeSimulator(
                policy,
                faults,
                port=self._state.port,
                journal=self._state.journal,
                problem_of=problem_of,
            )
            self._state.remember(self.simulator.server.port)
        else:
            self.simulator = JobRuntimeSimulator(policy, faults, problem_of=problem_of)
        self._aws = _aws(self._state, moto=moto)
        # moto keeps one state for the whole process; a stack of its own has names of its own.
        self.table = f"rollouts-{uuid.uuid4().hex[:12]}"
        self.bucket = f"trajectories-{uuid.uuid4().hex[:12]}"
        self._direct = direct
        # Carries requests of this process to the gateway; None: over its socket.
        self.transport: InProcessTransport | None = None
        self._agent = agent
        self._on_agent_error = on_agent_error
        self._port = port
        self._console_port = console_port
        self._more = dict(environ or {})
        self.service: LambdaService | None = None
        if durable is not False:
            run = invoke or InProcess(environment_of(HANDLERS / "worker.py"))
            self.service = LambdaService(
                run,
                None if durable is True else durable,
                backoff=backoff,
                functions={
                    name: InProcess(environment_of(HANDLERS / f"{name}.py"), 300, name)
                    for name in ("job", "sweep")
                },
            )
        self._before: dict[str, str] = {}
        self._open = ExitStack()
        self.url = ""
        self.console_url = ""
        self.aws_url = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._open.close()  # half a stack must not leave its environment behind
            raise
        return self

    def _start(self) -> None:
        # Not at import: a worker that imports this module has not the console's folder on its path.
        from devkit.emulator.console_server import console_server

        if self._on_agent_error is not None:
            self._open.enter_context(observing_errors(self._on_agent_error))
        self._open.enter_context(self.simulator)
        if self._direct:
            self._open.enter_context(answering(self.simulator.url, self.simulator.answer))
        self.aws_url = self._open.enter_context(self._aws).url
        self._before = dict(os.environ)
        if self._state:
            self.table, self.bucket = "rollouts", "trajectories"
        os.environ.update(self._environ(self.aws_url))
        self._open.callback(self._restore)
        forget_clients()
        _as_who(os.environ["AWS_ACCESS_KEY_ID"])
        if not self._aws.known:
            self._create()
        if self.service is not None:
            self._open.enter_context(self.service)
            bus = EventBus(self.service, _handler("closer"), _handler("sweep"))
            self._open.enter_context(bus)
        gateway = Gateway(environment_of(HANDLERS / "api.py"))
        self.transport = InProcessTransport(gateway) if self._direct else None
        front = with_own_problems(gateway, self.simulator, JOB_ARN, self.request, self._asked)
        server = self._open.enter_context(Server(front, self._port))
        self.url = server.url
        self.console_url = self._open.enter_context(console_server(port=self._console_port)).url

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def environ(self) -> dict[str, str]:
        """The environment of a function of the stack that runs in a process beside this one.

        From the first call on, table and bucket answer on a socket as well.
        """
        return self._environ(self._aws.served())

    def _environ(self, aws_url: str) -> dict[str, str]:
        return {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",  # nosec B105 - the simulator takes any
            "AWS_ENDPOINT_URL_DYNAMODB": aws_url,
            "AWS_ENDPOINT_URL_S3": aws_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
            "POWERTOOLS_METRICS_DISABLED": "true",
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

    def request(
        self,
        trajectory_id: str,
        instance: dict[str, Any],
        params: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Hand out a problem and return the body of ``POST /rollout`` for it.

        Args:
            params: ``inference_params`` of the request.
        """
        self.simulator.hand_out(JOB_ARN, trajectory_id, instance)
        return {
            "instance": instance,
            "metadata": {
                "job_arn": JOB_ARN,
                "trajectory_id": trajectory_id,
                "endpoint": self.simulator.url,
                "region": REGION,
            },
            "inference_params": dict(params or _PARAMS),
        }

    def stored(self, job_arn: str, trajectory_id: str) -> dict[str, Any] | None:
        """The trajectory as the stack's own records keep it; None where they keep none."""
        from rollout.aws import clients
        from rollout.errors import NotFound
        from rollout.settings import settings
        from rollout.storage.records import Records

        try:
            row = Records(settings()).get(job_arn, trajectory_id).row
        except NotFound:
            return None
        if "content" not in row:
            return None
        s3 = clients.client("s3", settings().region, read_timeout=20, attempts=4)
        kept = s3.get_object(Bucket=self.bucket, Key=row["content"])["Body"].read()
        return json.loads(gzip.decompress(kept))

    def forget(self, job_arn: str, trajectory_id: str) -> None:
        """Let go of a rollout that has ended, so that memory does not grow with their number."""
        self.simulator.forget(job_arn, trajectory_id)
        self._aws.let_go(self.table, job_arn, trajectory_id, self.bucket)

    def _create(self) -> None:
        from rollout.aws import clients

        region = os.environ["AWS_REGION"]
        dynamodb = clients.client("dynamodb", region)
        dynamodb.create_table(TableName=self.table, **table_properties())
        # us-east-1 is the one region that may not be named as a bucket's place.
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        where = {} if region == "us-east-1" else place
        clients.client("s3", region).create_bucket(Bucket=self.bucket, **where)

    def _restore(self) -> None:
        os.environ.clear()
        os.environ.update(self._before)
        forget_clients()


def _aws(state: SavedState | None, *, moto: bool) -> Any:
    """What answers for DynamoDB and S3: a :class:`LocalAws`, or moto, which is slow to import."""
    if not moto:
        return LocalAws(state.aws if state else None)
    if state:
        raise ValueError("moto keeps nothing on disk: leave out state, or take the local store")
    from devkit.emulator.moto_server import MotoServer

    return MotoServer()


def _handler(module: str) -> Handler:
    return environment_of(HANDLERS / f"{module}.py")()


def _as_who(key: str) -> None:
    """Drop boto3's session if it has the credentials of a stack before; a session is slow to warm."""
    session = default_session()
    credentials = session and session.get_credentials()
    if session is not None and (credentials is None or credentials.access_key != key):
        renew_default_session()


def forget_clients() -> None:
    """Settings and clients are kept for a process's life; another stack is another life."""
    from aws_durable_execution_sdk_python.lambda_service import LambdaClient

    from rollout import settings
    from rollout.aws import clients

    durable: Any = LambdaClient
    durable._cached_boto_client = None  # noqa: SLF001 - the SDK has no way to let go of it

    settings.settings.cache_clear()
    clients.forget()
