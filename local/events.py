"""Writes the sample events under ``events/``: one per route and main failure, true proxy events.

Use one with ``sam local invoke ApiFunction -e events/rollout.json`` or ``python -m local.events``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local.gateway import proxy_event

EVENTS = Path(__file__).resolve().parent.parent / "events"
_ARN = "arn:aws:sagemaker:us-west-2:123456789012:job/AgentRFT/my-job"
_ENDPOINT = "https://job-runtime.sagemaker.us-west-2.api.aws"


def _body(**changes: Any) -> dict[str, Any]:
    metadata = {
        "job_arn": _ARN,
        "trajectory_id": "trajectory-0001",
        "endpoint": _ENDPOINT,
        "region": "us-west-2",
    }
    return {
        "instance": {
            "question": "A bakery makes 24 rolls in each of 5 trays and sells 87. How many are left?",
            "answer": "24 * 5 = <<24*5=120>>120\n120 - 87 = <<120-87=33>>33\n#### 33",
        },
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
    """Events by name, each with the status a stack of account 123456789012 answers it."""

    def post(body: Any) -> dict[str, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return proxy_event(
            "POST", "/rollout", body=content, headers=[("Content-Type", "application/json")]
        )

    rest = {"job_arn": _ARN}
    return {
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


def main() -> None:
    """Write every event."""
    for name, (_, event) in sample_events().items():
        event["requestContext"] |= {"requestId": f"sample-{name}", "requestTimeEpoch": 0}
        (EVENTS / f"{name}.json").write_text(json.dumps(event, indent=2) + "\n")


if __name__ == "__main__":
    main()
