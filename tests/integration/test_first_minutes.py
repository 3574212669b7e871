"""What goes wrong in a newcomer's first minutes, each by the real command: one line that says what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

from devkit.emulator.server import free_port
from devkit.places import dataset_of
from devkit.rehearsal.play import read_rows
from tests.building import ROOT
from tests.processes import process

CALCULATOR = "environments.calculator:calculator"
JOB = "arn:aws:sagemaker:us-west-2:123456789012:job/AgentRFT/local"
NOTHING = {
    name: value for name, value in os.environ.items() if not name.startswith("AWS_")
} | {
    "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
FAULTY = """
from rollout import agent

@agent
def play(episode):
    episode.sample([{"role": "user", "content": episode.instance["question"]}])
    raise KeyError("mistake about " + episode.instance["question"])
"""


def said(*command, **environ):
    """What a command that cannot go on says: one line, and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "devkit", *command], cwd=ROOT, env={**NOTHING, **environ},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert done.returncode == 2, text
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("error:")]
    return line


@pytest.mark.parametrize("command", ["guard", "console", "deploy"])
def test_no_region_and_no_credentials_are_told_in_a_line_each(command):
    assert "AWS_REGION" in said(command, "--stack", "rollout-none")
    assert "credentials" in said(command, "--stack", "rollout-none", AWS_REGION="us-west-2")


def test_a_profile_that_is_not_there_and_aws_out_of_reach_are_told_in_a_line_each():
    assert "AWS_PROFILE" in said("guard", "--stack", "s", AWS_REGION="us-west-2", AWS_PROFILE="no")
    nobody = f"http://127.0.0.1:{free_port()}"
    away = {"AWS_REGION": "us-west-2", "AWS_ENDPOINT_URL": nobody, "AWS_MAX_ATTEMPTS": "1"}
    assert "does not answer" in said("guard", "--stack", "s", **KEYS, **away)


@pytest.mark.parametrize("more", [[], ["--durable"]])
def test_a_port_in_use_is_named_with_the_option_for_another(more):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = said("run", "--once", "--limit", "1", "--port", port, *more)
    assert port in line
    assert "--port" in line


@contextmanager
def running(tmp_path, *arguments, **environ):
    """``rollout run`` after its sample problems; yields its address and where it writes."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [
        sys.executable, "-m", "devkit", "run", "--port", address.rsplit(":", 1)[-1], "--limit", "1",
        "--group-size", "1", "--skill", "1", *arguments,
    ]  # fmt: skip
    log = tmp_path / "log"
    with process(command, {**os.environ, **environ}, log, f"{address}/health"):
        yield address, log


def request(trajectory_id, instance, endpoint):
    where = {"job_arn": JOB, "trajectory_id": trajectory_id, "endpoint": endpoint}
    return {"instance": instance, "metadata": where}


def endpoint_of(address, row):
    answer = httpx.post(f"{address}/local/requests", json=row, timeout=30).json()
    return answer["metadata"]["endpoint"]


def test_any_trajectory_id_is_played_for_any_row_and_again_from_the_record(tmp_path):
    rows = read_rows(dataset_of(CALCULATOR), 3)
    with running(tmp_path) as (address, _):
        endpoint = endpoint_of(address, rows[0])
        for number, row in enumerate([*rows, {"question": "What is 1 + 1?", "answer": "#### 2"}]):
            body = request(f"made-up-{number}", row, endpoint)
            first = httpx.post(f"{address}/rollout", json=body, timeout=60)
            assert first.status_code == 200, first.text
            assert first.json()["turns"] >= 1, first.text
            assert first.json()["reward"] == 1.0
            again = httpx.post(f"{address}/rollout", json=body, timeout=60)
            assert again.json()["reward"] == 1.0


def test_respond_async_without_a_worker_says_how_to_have_one(tmp_path):
    row = read_rows(dataset_of(CALCULATOR), 1)[0]
    with running(tmp_path) as (address, _):
        body = request("a", row, endpoint_of(address, row))
        answer = httpx.post(f"{address}/rollout", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 503
    assert "--durable" in answer.json()["detail"]


def test_an_agents_own_error_is_shown_where_the_command_runs(tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"question": "1?"}) + "\n")
    environ = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    options = ("--agent", "faulty:play", "--data", str(tmp_path / "rows.jsonl"))
    options += ("--policy", "faulty_policy:answer")
    (tmp_path / "faulty_policy.py").write_text("def answer(asked):\n    return 'no'\n")
    with running(tmp_path, *options, **environ) as (address, log):
        answer = httpx.post(
            f"{address}/rollout",
            json=request("mine", {"question": "2?"}, endpoint_of(address, {"question": "2?"})),
            timeout=60,
        )
        assert answer.json()["status"] == "failed"
        assert "mistake about" not in answer.text  # content never leaves by the API
        # What it printed reaches the file a moment after the answer.
        until = time.monotonic() + 30
        while "faulty.py" not in log.read_text() and time.monotonic() < until:
            time.sleep(0.1)
    assert "mistake about 2?" in log.read_text()
    assert "faulty.py" in log.read_text()
