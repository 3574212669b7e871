"""Plays one example through ``POST /rollout``, through a durable one that is cut short, and through a job's event.

Runs in the environment of the other systems' packages, so it imports nothing of pytest.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import httpx

from devkit.emulator.gateway import environment_of
from devkit.emulator.lambda_service import InProcess
from devkit.emulator.stack import HANDLERS, JOB_ARN, EmulatedStack

_HOST = "http://host.docker.internal:9010"


def everywhere(
    agent, instance, script, *, seconds=300.0, slow=0.0, ways=("inline", "durable", "job")
):
    """How a rollout of an agent ended, by the way it came in.

    Args:
        seconds: an invocation of the worker has; a Sample needs eleven to be begun.
        slow: seconds that the policy takes for a turn.
    """
    invocations = []
    worker = InProcess(environment_of(HANDLERS / "worker.py"), timeout=seconds)

    def invoke(event):
        invocations.append(1)
        return worker(event)

    def policy(asked):
        time.sleep(slow)
        return script(asked.instance, asked.messages)

    found = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        EmulatedStack(
            policy, agent=agent, durable=Path(scratch), invoke=invoke,
            environ={"ROLLOUT_SAMPLE_TIMEOUT": "1"},
        ) as stack,
    ):  # fmt: skip
        if "inline" in ways:
            answer = _post(stack, "t-inline", instance)
            found["inline"] = {**answer.json(), "http": answer.status_code}
        if "durable" in ways:
            answer = _post(stack, "t-durable", instance, {"Prefer": "respond-async"})
            assert answer.status_code == 202, answer.text
            found["durable"] = {**_ended(stack, "t-durable"), "invocations": len(invocations)}
            turns = stack.simulator.trajectory(JOB_ARN, "t-durable").turns
            found["durable"]["captured"] = len(turns)
        if "job" in ways:
            found["job"] = _job(stack, instance)
    return found


def _job(stack, instance):
    event = json.loads(
        (Path("events") / "job.json").read_text().replace(_HOST, stack.simulator.url)
    )
    event["prompt"] = json.dumps(instance)
    event["metadata"] |= {"jobArn": JOB_ARN, "rolloutId": "t-job"}
    stack.simulator.hand_out(JOB_ARN, "t-job", instance)
    url = f"{stack.service.url}/2015-03-31/functions/job/invocations"
    answered = httpx.post(url, json=event, timeout=60)
    state = {"answer": answered.json(), **_ended(stack, "t-job")}
    trajectory = stack.simulator.trajectory(JOB_ARN, "t-job")
    return {**state, "trainer": trajectory.state, "rewards": trajectory.rewards}


def tell(found):
    """Print what a program found as the last line of its output, and end the process at once."""
    os.write(1, ("\n" + json.dumps(found) + "\n").encode())
    os._exit(0)


def _post(stack, trajectory_id, instance, headers=None):
    body = stack.request(trajectory_id, instance)
    return httpx.post(f"{stack.url}/rollout", json=body, headers=headers or {}, timeout=120)


def _ended(stack, trajectory_id, seconds=300):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        url = f"{stack.url}/rollouts/{trajectory_id}"
        state = httpx.get(url, params={"job_arn": JOB_ARN}, timeout=10).json()
        if state.get("state") in ("ready", "failed"):
            return state
        time.sleep(0.05)
    raise AssertionError(f"{trajectory_id} has not ended: {state}")
