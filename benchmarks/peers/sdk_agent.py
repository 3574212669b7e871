"""Rollouts the way the reference SDK's documentation shows; runs in the SDK's own environment.

Reads payloads as JSON lines, plays each under ``sagemaker_rft_handler`` with the OpenAI client as it
comes, and writes what the caller saw as JSON lines.
"""

from __future__ import annotations

import json
import logging
import sys

from openai import OpenAI
from sagemaker.train.rft import make_inference_headers
from sagemaker.train.rft.decorators import sagemaker_rft_handler

logging.disable(logging.CRITICAL)


@sagemaker_rft_handler
def agent(payload: dict) -> dict:
    """Two turns, reward 1.0, or an exception."""
    metadata = payload["metadata"]
    client = OpenAI(
        base_url=f"{metadata['endpoint']}/v1",
        api_key="token",
        default_headers=make_inference_headers(metadata),
    )
    if payload["instance"].get("raise"):
        raise ValueError("the agent raised")
    for turn in range(2):
        messages = [{"role": "user", "content": f"turn {turn}"}]
        client.chat.completions.create(model="policy", messages=messages)
    return {"reward": 1.0}


def main() -> None:
    """Play every payload of the standard input."""
    for line in sys.stdin:
        payload = json.loads(line)
        try:
            seen = {"returned": agent(payload)}
        except Exception as error:  # noqa: BLE001 - this is what the caller sees
            seen = {"raised": type(error).__name__}
        sys.stdout.write(json.dumps(seen) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
