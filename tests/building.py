"""What tests are built from: settings as a stack has them, requests, completions, a policy with a script."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rollout.contract import RolloutRequest
from rollout.episode import Budget, Episode
from rollout.errors import RolloutError
from rollout.results import Rollout
from rollout.settings import Settings, read_settings
from rollout.steps import InlineSteps
from rollout.trust import check

ROOT = Path(__file__).resolve().parent.parent
ACCOUNT = "123456789012"
REGION = "us-west-2"
JOB_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:job/AgentRFT/my-job"
ENDPOINT = f"https://job-runtime.sagemaker.{REGION}.api.aws"
ENVIRON = {
    "AWS_REGION": REGION,
    "ROLLOUT_TABLE": "rollouts",
    "ROLLOUT_BUCKET": "trajectories",
    "ROLLOUT_ACCOUNT_ID": ACCOUNT,
}


def make_settings(**overrides: str) -> Settings:
    return read_settings({**ENVIRON, **{f"ROLLOUT_{k.upper()}": v for k, v in overrides.items()}})


def make_body(instance=None, trajectory_id="t-1", **metadata):
    return {
        "instance": {"question": "1+1?", "answer": "#### 2"} if instance is None else instance,
        "metadata": {
            "job_arn": JOB_ARN,
            "trajectory_id": trajectory_id,
            "endpoint": ENDPOINT,
            "region": REGION,
            **metadata,
        },
    }


def make_rollout(settings: Settings | None = None, **body) -> Rollout:
    request = RolloutRequest.model_validate(make_body(**body))
    return Rollout.of(request, check(request, settings or make_settings()))


def completion(content=None, **message):
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    said = {"role": "assistant", "content": content, **message}
    return {"choices": [{"message": said, "finish_reason": "stop"}], "usage": usage}


def tool_call(name, arguments, identifier="c1"):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": text}}


class ScriptedPolicy:
    """Says its lines in order; a line that is an error is raised."""

    def __init__(self, *lines) -> None:
        self.lines = list(lines)
        self.requests: list[dict] = []

    def sample(self, body: bytes, deadline: float) -> bytes:
        self.requests.append(json.loads(body))
        line = self.lines.pop(0)
        if isinstance(line, RolloutError):
            raise line
        return line if isinstance(line, bytes) else json.dumps(line).encode()


def make_episode(policy, **more):
    return Episode(
        instance={},
        trajectory_id="t",
        policy=policy,
        steps=InlineSteps(lambda: None, time.time() + 60),
        budget=Budget(turns=20, tokens=10_000, tool_calls=20, deadline=time.time() + 30),
        **more,
    )
