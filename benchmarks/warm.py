"""Warm overhead of the door at 1 KB, 100 KB and 1 MB, beside bare pydantic and the peers.

``python benchmarks/warm.py``. Each variant takes the same proxy event, parses and validates the
RolloutRequest and answers with the trajectory id; rounds are interleaved, figures are medians.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.event_handler.api_gateway import APIGatewayRestResolver, Response

from benchmarks.peers import fastapi_mangum, starlette_mangum
from local.gateway import LambdaContext, proxy_event
from rollout.contract import RolloutRequest, parse_rollout, read_body

app = APIGatewayRestResolver()


@app.post("/parse")
def parse() -> Response[Any]:
    """Our door's own way with a body."""
    event = app.current_event
    request = parse_rollout(read_body(event.body, event.is_base64_encoded, 5_000_000))
    return Response(
        200, "application/json", json.dumps({"trajectory_id": request.metadata.trajectory_id})
    )


def bare(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Pydantic and nothing else."""
    del context
    request = RolloutRequest.model_validate_json(event["body"])
    answer = json.dumps({"trajectory_id": request.metadata.trajectory_id})
    return {"statusCode": 200, "body": answer}


VARIANTS: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    "bare pydantic": bare,
    "ours": app.resolve,
    "Starlette + Mangum": starlette_mangum.handler,
    "FastAPI + Mangum": fastapi_mangum.handler,
}


def body_of(size: int) -> bytes:
    """A request of about ``size`` bytes: rows of text and numbers, as datasets have them."""
    rows = [
        {"id": n, "text": "the quick brown fox jumps over", "score": n / 7}
        for n in range(size // 75)
    ]
    metadata = {"job_arn": "arn", "trajectory_id": "t", "endpoint": "https://e", "region": "r"}
    return json.dumps({"instance": {"rows": rows}, "metadata": metadata}).encode()


_JSON = [("Content-Type", "application/json")]


def main() -> None:
    """Measure and print a table."""
    for label, size, rounds in (
        ("1 KB", 1_000, 2000),
        ("100 KB", 100_000, 200),
        ("1 MB", 1_000_000, 40),
    ):
        event = proxy_event("POST", "/parse", body=body_of(size), headers=_JSON)
        took: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for _ in range(rounds):
            for name, handler in VARIANTS.items():
                began = time.perf_counter()
                answer = handler(event, LambdaContext())
                took[name].append(time.perf_counter() - began)
                if answer["statusCode"] != 200:
                    raise SystemExit(f"{name} answered {answer}")
        base = statistics.median(took["bare pydantic"])
        print(f"\n{label}, {rounds} rounds")
        for name in VARIANTS:
            median = statistics.median(took[name])
            over = (median - base) * 1e6
            print(
                f"  {name:20} {median * 1e6:9.0f} us  {median / base:5.2f} x  {over:+9.0f} us over bare"
            )


if __name__ == "__main__":
    main()
