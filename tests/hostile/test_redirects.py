"""An allow-listed host that sends us elsewhere: nothing connects there and no signature arrives."""

from __future__ import annotations

import json

import httpx
import pytest
from starlette.responses import Response

from devkit.emulator.server import Server
from devkit.emulator.stack import EmulatedStack
from tests.hostile.watch import off_loopback, sockets

ROW = {"question": "1+1?", "answer": "#### 2"}


class Elsewhere:
    """Listens, remembers what arrives; nothing should."""

    def __init__(self):
        self.heard = []

    async def __call__(self, scope, receive, send):
        self.heard.append(dict(scope["headers"]))
        await Response(status_code=200)(scope, receive, send)


class Sending:
    """Answers every request of the Job Runtime with a redirect."""

    def __init__(self, status, location):
        self.status, self.location = status, location
        self.asked = 0

    async def __call__(self, scope, receive, send):
        self.asked += 1
        await Response(status_code=self.status, headers={"Location": self.location})(
            scope, receive, send
        )


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirect_is_a_failed_turn_and_is_never_followed(status):
    elsewhere = Elsewhere()
    with Server(elsewhere) as trap, Server(Sending(status, f"{trap.url}/sample")) as sending:
        environ = {
            "ROLLOUT_ALLOWED_ENDPOINTS": sending.url,
            "ROLLOUT_INLINE_BUDGET": "4",
            "ROLLOUT_REPORT_MARGIN": "1",
        }
        with (
            EmulatedStack(lambda _: {"content": "#### 2"}, environ=environ) as stack,
            sockets() as seen,
        ):
            body = stack.request(f"r-{status}", ROW)
            body["metadata"]["endpoint"] = sending.url
            answer = httpx.post(f"{stack.url}/rollout", json=body, timeout=30)
    # The turn failed; the report met the same redirect and is kept for later: a 503 of the trainer's.
    document = answer.json()
    result = document.get("result", document)
    assert result["error"]["type"] == "urn:rollout:problem:sample-failed"
    assert elsewhere.heard == []
    assert off_loopback(seen) == set()
    assert not [place for _, place in seen if place.endswith(f":{trap.port}")]
    assert "Authorization" not in json.dumps(document)


def test_a_name_is_looked_up_only_after_it_was_allowed():
    """DNS rebinding: a name that is not on the list is refused as text, and never resolved."""
    with EmulatedStack(lambda _: {"content": "#### 2"}) as stack, sockets() as seen:
        body = stack.request("dns", ROW)
        body["metadata"]["endpoint"] = "https://rebind.evil.example"
        assert httpx.post(f"{stack.url}/rollout", json=body, timeout=30).status_code == 403
    assert not [place for _, place in seen if "evil" in place]
