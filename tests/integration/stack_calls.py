"""Rollouts asked for at a local stack, and the policy that talks in them."""

from __future__ import annotations

import json
import time

import httpx

from devkit.emulator.stack import JOB_ARN

ROW = {"question": "canary-prompt?", "answer": "canary-answer"}

ASYNC = {"Prefer": "respond-async"}


def talks(asked):
    """A tool call that fails, one written as text, an answer; each with content."""
    turn = sum(message["role"] == "assistant" for message in asked.messages)
    arguments = json.dumps({"text": "canary-argument"})
    if turn == 0:
        call = {"id": "c", "type": "function", "function": {"name": "note", "arguments": arguments}}
        return {"content": "canary-thought", "tool_calls": [call]}
    if turn == 1:
        return {"content": f'<tool_call>{{"name": "note", "arguments": {arguments}}}</tool_call>'}
    return {"content": "canary-reply"}


def post(stack, trajectory_id, headers=None, **instance):
    body = stack.request(trajectory_id, {**ROW, **instance})
    return httpx.post(f"{stack.url}/rollout", json=body, headers=headers or {}, timeout=60)


def ended(stack, trajectory_id, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        url = f"{stack.url}/rollouts/{trajectory_id}"
        if httpx.get(url, params={"job_arn": JOB_ARN}, timeout=10).json()["state"] in (
            "ready",
            "failed",
        ):
            return
        time.sleep(0.05)
    raise AssertionError(f"{trajectory_id} has not ended")
