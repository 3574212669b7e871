"""A policy by which a turn that reaches another episode is found."""

from __future__ import annotations

import json
import re

from rollout.errors import SampleFailed
from tests.building import completion, tool_call


class Echo:
    """Calls the tool ``double`` with the canary's number, then answers with what it returned."""

    def __init__(self, fail_at=None):
        self.requests = []
        self.fail_at = fail_at

    def sample(self, body, deadline):
        request = json.loads(body)
        self.requests.append(request)
        if len(self.requests) == self.fail_at:
            raise SampleFailed("cut off", captured="unknown")
        text = json.dumps(request["messages"])
        (number,) = set(re.findall(r"canary-(\d+)", text))
        last = request["messages"][-1]
        if request.get("tools") and last["role"] != "tool":
            call = tool_call("double", {"number": int(number)})
            said = completion(None, tool_calls=[call])
            said["choices"][0]["finish_reason"] = "tool_calls"
        else:
            content = last["content"]
            content = content if isinstance(content, str) else content[0]["text"]
            said = completion(f"canary-{number} {content}")
        return json.dumps(said).encode()
