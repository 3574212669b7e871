"""Writes the sample events under ``events/``: one per entry point and main failure, as AWS sends them.

Use one with ``sam local invoke ApiFunction -e events/rollout.json`` or ``python -m scripts.events``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from devkit.emulator.gateway import proxy_event
from devkit.emulator.lambda_service import queued, status_event
from devkit.emulator.sam_services import JOB_RUNTIME, url, variables
from devkit.places import dataset_of
from devkit.rehearsal.play import read_rows

EVENTS = Path(__file__).resolve().parent.parent / "events"
_ARN = "arn:aws:sagemaker:us-west-2:123456789012:job/AgentRFT/my-job"
EVALUATION = _ARN.replace("job/AgentRFT/", "job/AgentRFTEvaluation/")
# The Job Runtime of rollout run --sam, as a container of sam local sees it.
_ENDPOINT = url(JOB_RUNTIME)
_INSTANCE = read_rows(dataset_of("environments.calculator:calculator"), 1)[0]


def _body(**changes: Any) -> dict[str, Any]:
    metadata = {
        "job_arn": _ARN,
        "trajectory_id": "trajectory-0001",
        "endpoint": _ENDPOINT,
        "region": "us-west-2",
    }
    return {
        "instance": _INSTANCE,
        "metadata": {**metadata, **changes.pop("metadata", {})},
        "inference_params": {"temperature": 1.0, "max_tokens": 1024, "top_p": 1.0},
        **changes,
    }


def _camel() -> dict[str, Any]:
    plain = _body()
    metadata = plain["metadata"]
    return {
        "instance": plain["instance"],
        "metadata": {
            "jobArn": metadata["job_arn"],
            "rolloutId": "trajectory-0002",
            "endpoint": metadata["endpoint"],
            "region": metadata["region"],
        },
        "inferenceParams": {"temperature": 1.0, "maxTokens": 1024, "topP": 1.0},
    }


def sample_events() -> dict[str, tuple[int, dict[str, Any]]]:
    """The API's events by name, each with the status a stack of account 123456789012 answers it."""

    def post(body: Any) -> dict[str, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return proxy_event(
            "POST", "/rollout", body=content, headers=[("Content-Type", "application/json")]
        )

    rest = {"job_arn": _ARN}
    asynchronous = post(_body(metadata={"trajectory_id": "trajectory-0007"}))
    asynchronous["headers"]["Prefer"] = "respond-async"
    asynchronous["multiValueHeaders"]["Prefer"] = ["respond-async"]
    return {
        "rollout-async": (202, asynchronous),
        "health": (200, proxy_event("GET", "/health")),
        "rollout": (200, post(_body())),
        "rollout-camel-case": (200, post(_camel())),
        "rollout-malformed": (400, post(b'{"instance": {')),
        "rollout-incomplete": (422, post({"instance": {}, "metadata": rest})),
        "rollout-untrusted-endpoint": (
            403,
            post(_body(metadata={"endpoint": "https://job-runtime.example.com"})),
        ),
        "rollout-other-account": (
            403,
            post(_body(metadata={"job_arn": _ARN.replace("123456789012", "999999999999")})),
        ),
        "rollout-model-endpoint-not-allowed": (403, post(_body(model_endpoint="base-model"))),
        "state": (200, proxy_event("GET", "/rollouts/trajectory-0001", query=f"job_arn={_ARN}")),
        "state-unknown": (404, proxy_event("GET", "/rollouts/nobody", query=f"job_arn={_ARN}")),
        "unknown-route": (404, proxy_event("GET", "/nowhere")),
        "wrong-method": (405, proxy_event("DELETE", "/rollout")),
    }


def console_events() -> dict[str, tuple[int, dict[str, Any]]]:
    """The console's events by name, each with the status it is answered on a table without rollouts."""

    def get(path: str, query: str = "") -> dict[str, Any]:
        browser = [("Accept", "text/html"), ("Accept-Encoding", "gzip, br")]
        event = proxy_event("GET", path, headers=browser, query=query)
        event["requestContext"] |= {"path": f"/v1{path}", "stage": "v1"}
        if path == "/":
            event |= {"resource": "/", "pathParameters": None}
        return event

    return {
        "console-jobs": (200, get("/")),
        "console-style": (200, get("/static/console.css")),
        "console-unknown-job": (404, get("/job", f"job={_ARN}-never")),
        "console-hostile-query": (400, get("/job", "job=<script>alert(1)</script>")),
        "console-unknown-page": (404, get("/../../etc/passwd")),
    }


def job_events() -> dict[str, tuple[str | None, Any]]:
    """The job's events by name, each with the errorType it is answered; None for ``{}``."""
    plain = _body()

    def event(**changes: Any) -> dict[str, Any]:
        metadata = {"jobArn": _ARN, "rolloutId": "trajectory-0003", "region": "us-west-2"}
        return {
            "prompt": json.dumps(plain["instance"]),
            "metadata": {**metadata, "endpoint": _ENDPOINT, **changes.pop("metadata", {})},
            "inferenceParams": {"temperature": 1.0, "topP": 1.0, "maxTokens": 1024},
            **changes,
        }

    bare = event(metadata={"rolloutId": "trajectory-0004"})
    del bare["metadata"]["endpoint"], bare["metadata"]["region"]
    evaluation = event(metadata={"jobArn": EVALUATION, "rolloutId": "trajectory-0008"})
    evaluation["inferenceParams"] = {"temperature": 0.0, "topP": 1.0, "maxTokens": 1024}
    foreign = _ARN.replace("123456789012", "999999999999")
    incomplete = event()
    del incomplete["metadata"]["rolloutId"]
    return {
        "job": (None, event()),
        "job-without-endpoint": (None, bare),
        "job-wrapped": (
            None,
            {"body": json.dumps(event(metadata={"rolloutId": "trajectory-0005"}))},
        ),
        "job-plain-prompt": (
            None,
            event(prompt="What is 2 + 3?", metadata={"rolloutId": "trajectory-0006"}),
        ),
        "job-evaluation": (None, evaluation),
        "job-incomplete": ("ValidationError", incomplete),
        "job-other-account": ("AccessDenied", event(metadata={"jobArn": foreign})),
    }


def other_events() -> dict[str, dict[str, Any]]:
    """Events of the worker, the closer and the sweep."""
    arn = "arn:aws:lambda:us-west-2:123456789012:function:rollout-worker-1234567db123:1"
    name = "5b8b94e6f53bd0ba5bd2ddd3cba44dd57c0ebfbf9b2ecbd0e7f7a5a2f1a8a4a3"
    closed = status_event(
        f"{arn}/durable-execution/{name}/9f7d84c9-ea3d-3ffc-b3e5-5ec51c34ffc9", name, "FAILED"
    )
    closed["detail"] |= {
        "functionArn": arn,
        "startTimestamp": "2026-01-01T12:00:00.000Z",
        "endTimestamp": "2026-01-01T12:05:00.000Z",
    }
    closed |= {"id": "d019b03c-a8a3-9d58-85de-241e96206538", "time": "2026-01-01T12:05:00Z"}
    scheduled: dict[str, Any] = {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-01-01T12:00:00Z",
        "region": "us-west-2",
        "resources": ["arn:aws:events:us-west-2:123456789012:rule/rollout-dev-sweep"],
        "detail": {},
    }
    return {"execution-failed": queued(closed), "sweep": scheduled}


def main() -> None:
    """Write every event."""
    for name, (_, event) in {**sample_events(), **console_events()}.items():
        event["requestContext"] |= {"requestId": f"sample-{name}", "requestTimeEpoch": 0}
        _write(name, event)
    for name, (_, event) in job_events().items():
        _write(name, event)
    for name, event in other_events().items():
        _write(name, event)
    _write("env", {"Parameters": variables()})


def _write(name: str, event: Any) -> None:
    (EVENTS / f"{name}.json").write_text(json.dumps(event, indent=2) + "\n")


if __name__ == "__main__":
    main()
