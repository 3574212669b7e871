"""SAM CLI's own commands, in containers, beside ``rollout run --sam``: what docs/sam-local.md says.

Docker with Lambda's public image where it answers; otherwise podman with a stand-in (tests/containers).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

import httpx
import pytest

from devkit.emulator.sam_services import JOB_RUNTIME, LAMBDA, url
from devkit.emulator.sam_templates import ARCHITECTURE
from devkit.emulator.server import free_port
from scripts.events import EVALUATION, EVENTS, console_events, job_events, sample_events
from tests.building import ROOT
from tests.containers.engine import Engine, engine
from tests.processes import SAM, process

JOB = "arn:aws:sagemaker:us-west-2:123456789012:job/AgentRFT/local"
SERVED = url(JOB_RUNTIME)
ROWS = 6


@pytest.fixture(scope="module")
def alone():
    """The services have fixed ports: one run of these tests at a time on a machine."""
    with (Path(tempfile.gettempdir()) / "rollout-sam-local.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def containers(alone):
    with engine() as running:
        yield running


@pytest.fixture(scope="module")
def services(containers, gsm8k, tmp_path_factory):
    """``rollout run --sam`` as a user starts it; yields what it says."""
    log = tmp_path_factory.mktemp("services") / "log"
    command = [sys.executable, "-m", "devkit", "run", "--sam", "--data", str(gsm8k), "--skill", "1"]
    ready = f"http://127.0.0.1:{LAMBDA}/"
    with process(command, containers.environ, log, ready):
        for _ in range(100):
            if "Ready" in log.read_text():
                break
            time.sleep(0.1)
        yield log.read_text()


@dataclass
class Sam:
    """Starts SAM CLI's servers; ends them with the tests."""

    containers: Engine
    logs: Path
    running: ExitStack

    def start(self, name: str, *arguments: str) -> str:
        """A server's address."""
        port = free_port()
        command = [
            str(SAM / "bin/sam"), "local", name, *arguments, "--port", str(port), *self.containers.flags,
        ]  # fmt: skip
        environ = {**self.containers.environ, **environment()}
        address = f"http://127.0.0.1:{port}"
        log = self.logs / f"{name}-{port}.log"
        self.running.enter_context(process(command, environ, log, f"{address}/-"))
        return address


def environment() -> dict[str, str]:
    return {
        "SAM_CLI_TELEMETRY": "0",
        "DURABLE_EXECUTIONS_EXTERNAL_EMULATOR_PORT": str(LAMBDA),
        "PYTHONPATH": "",
    }


@pytest.fixture(scope="module")
def sam(services, containers, tmp_path_factory):
    with ExitStack() as running:
        yield Sam(containers, tmp_path_factory.mktemp("sam"), running)


@pytest.fixture(scope="module")
def api(sam, services):
    (line,) = re.findall(r"^API +(.*)", services, re.MULTILINE)
    assert line.split()[-2:] == ["local", "start-api"]  # nothing else is to be given
    return sam.start("start-api")


@pytest.fixture(scope="module")
def console(sam):
    return sam.start("start-api", "--config-env", "console")


@pytest.fixture(scope="module")
def lambdas(sam):
    return sam.start("start-lambda")


def post(api, trajectory_id, instance, endpoint=SERVED, **headers):
    metadata = {
        "job_arn": JOB,
        "trajectory_id": trajectory_id,
        "endpoint": endpoint,
        "region": "us-west-2",
    }
    body = {"instance": instance, "metadata": metadata}
    return httpx.post(f"{api}/rollout", json=body, headers=headers, timeout=300)


def rows(gsm8k):
    with gsm8k.open() as lines:
        return [json.loads(line) for _, line in zip(range(ROWS), lines, strict=False)]


def test_real_rows_are_played_in_a_container_with_rewards(api, gsm8k):
    assert httpx.get(f"{api}/health", timeout=300).json() == {"status": "healthy"}
    for number, row in enumerate(rows(gsm8k)):
        answer = post(api, f"made-up-{number}", row)
        assert answer.status_code == 200, answer.text
        assert answer.json()["reward"] == 1.0
        assert answer.json()["turns"] >= 1
        state = httpx.get(f"{api}/rollouts/made-up-{number}", params={"job_arn": JOB}, timeout=60)
        assert state.json()["state"] == "ready"
        assert state.json()["report"]["delivery"] == "delivered"


def test_a_rollout_is_played_durably_behind_the_container(api, gsm8k):
    answer = post(api, "durable-1", rows(gsm8k)[0], Prefer="respond-async")
    assert answer.status_code == 202, answer.text
    for _ in range(300):
        state = httpx.get(urljoin(api, answer.json()["location"]), timeout=60).json()
        if state["state"] == "ready":
            break
        time.sleep(0.1)
    assert state["result"]["reward"] == 1.0


def test_the_real_job_runtime_is_refused_with_the_one_that_is_served(api, gsm8k):
    real = "https://job-runtime.sagemaker.us-west-2.api.aws"
    answer = post(api, "elsewhere", rows(gsm8k)[0], endpoint=real)
    assert answer.status_code == 403
    assert SERVED in answer.json()["detail"]


def test_every_page_of_the_console_is_served(api, console, gsm8k):
    assert post(api, "to-look-at", rows(gsm8k)[0]).status_code == 200
    todo, pages, texts, turns = {"/"}, set(), {}, 0
    while todo - pages and len(pages) < 80:
        page = min(todo - pages, key=lambda link: (urlsplit(link).path in texts, link))
        pages.add(page)
        answer = httpx.get(console + page, timeout=300)
        assert answer.status_code == 200, page
        texts[urlsplit(page).path] = answer.text
        turns += urlsplit(page).path == "/trajectory" and "evaluate" in answer.text
        if "html" in answer.headers["content-type"]:
            links = re.findall(r'(?:href|src)="(/[^"#]*)', answer.text)
            todo |= {link.replace("&amp;", "&") for link in links}
    # Every kind of page has been there, a trajectory with its turns and reward among them.
    assert {"/", "/job", "/groups", "/trajectory"} <= set(texts)
    assert turns


def invoked(lambdas, function, name, folder=EVENTS):
    text = (folder / f"{name}.json").read_bytes()
    answer = httpx.post(
        f"{lambdas}/2015-03-31/functions/{function}/invocations", content=text, timeout=300
    )
    assert answer.status_code == 200, answer.text
    # SAM CLI takes every answer that has an errorType for a function error; a job's answer may have one.
    assert "x-amz-function-error" not in answer.headers or function == "JobFunction", answer.text
    return answer.json()


def replayed(server, name):
    """The status of the HTTP request that an event tells of, sent to a container that is warm.

    SAM CLI makes the event anew from it. Not by httpx: it would tidy the path.
    """
    event = json.loads((EVENTS / f"{name}.json").read_text())
    query = urlencode(event["multiValueQueryStringParameters"] or {}, doseq=True)
    where = urlsplit(server)
    client = HTTPConnection(where.hostname, where.port, timeout=300)
    client.putrequest(event["httpMethod"], event["path"] + (f"?{query}" if query else ""))
    for header, values in event["multiValueHeaders"].items():
        for value in values:
            client.putheader(header, value)
    body = (event["body"] or "").encode()
    client.putheader("Content-Length", str(len(body)))
    client.endheaders(body)
    with closing(client):
        return client.getresponse().status


def test_every_event_is_answered_in_a_container_as_it_says(lambdas, api, console, services):
    # First: what nobody has begun after a while, the sweep starts.
    (worker,) = re.findall(r"^A worker +.* -e (\S+)", services, re.MULTILINE)
    finished = invoked(lambdas, "WorkerFunction", "worker", Path(worker).parent)
    assert finished == {"status": "ready", "report": "delivered"}
    for name, (status, _) in sample_events().items():
        if name == "state":
            continue  # asks for what "rollout" has played
        assert replayed(api, name) == status, name
    assert replayed(api, "state") == 200
    for name, (status, _) in console_events().items():
        assert replayed(console, name) == status, name
    for name, (error, _) in job_events().items():
        answer = invoked(lambdas, "JobFunction", name)
        assert answer.get("errorType") == error, (name, answer)
    assert invoked(lambdas, "CloserFunction", "execution-failed")["closed"] == "no"
    assert set(invoked(lambdas, "SweepFunction", "sweep")) == {
        "started", "delivered", "closed", "left",
    }  # fmt: skip


def test_the_events_rollouts_have_their_rewards(lambdas, api):
    for number in range(1, 9):
        job = EVALUATION if number == 8 else JOB.replace("/local", "/my-job")
        for _ in range(300):
            where = f"{api}/rollouts/trajectory-{number:04d}"
            state = httpx.get(where, params={"job_arn": job}, timeout=60).json()
            if state.get("state") in ("ready", "failed"):
                break
            time.sleep(0.1)
        if number == 6:  # a plain prompt has no gold answer for the script to say
            assert state["state"] == "failed"
            continue
        assert state["state"] == "ready", state
        assert state["result"]["reward"] == 1.0


def test_one_invocation_is_a_command_and_a_file(services, containers):
    command = [
        str(SAM / "bin/sam"), "local", "invoke", "ApiFunction", "-e", "events/health.json",
        *containers.flags,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **containers.environ, **environment()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert json.loads(answer["body"]) == {"status": "healthy"}
    assert ARCHITECTURE in done.stderr or "python3.13" in done.stderr
