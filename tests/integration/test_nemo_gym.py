"""Rows of NeMo Gym's, played with the tools and the verifier of its real server."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from rollout.adapters.nemo_gym import nemo_gym
from rollout.errors import AgentError
from rollout.testing import calls, rehearse, says
from tests.building import ROOT, tool_call
from tests.integration.systems.stack import everywhere

PACKAGES = ROOT / ".tools/nemo/lib/python3.13/site-packages"
ROWS = PACKAGES / "resources_servers/example_session_state_mgmt/data/example.jsonl"


@pytest.fixture(scope="module")
def rows():
    assert ROWS.exists(), "run make setup: NeMo Gym has an environment of its own"
    return [json.loads(line) for line in ROWS.read_text().splitlines()]


def start():
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", ROOT / "tests/integration/systems/nemo_server.py"],
        env={**os.environ, "PYTHONPATH": str(PACKAGES)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    port = process.stdout.readline().strip()
    assert port, "the server did not start"
    return process, f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def server():
    process, url = start()
    yield url
    process.kill()
    process.communicate()


def adds(*counts):
    """Adds each count by a tool, looks what came of it, and answers."""

    def script(instance, messages):
        spoken = sum(message["role"] == "assistant" for message in messages)
        if spoken < len(counts):
            return calls("increment_counter", {"count": counts[spoken]}, f"c{spoken}")
        if spoken == len(counts):
            return calls("get_counter_value", {}, f"c{spoken}")
        return {"content": f"It is {messages[-1]['content']}"}

    return script


def test_a_row_is_played_with_the_servers_tools_and_verified_by_it(server, rows):
    result = rehearse(nemo_gym(server), rows[0], adds(1, 2))
    assert (result.status, result.rewards, result.turns) == ("ready", [1.0], 4)
    told = result.transcript[-1].get("messages")
    assert json.loads(told[-1]["content"]) == {"count": 6}
    offered = result.transcript[0]["params"]["tools"][0]["function"]
    assert (offered["name"], offered["strict"]) == ("increment_counter", True)
    assert rehearse(nemo_gym(server), rows[0], adds(1)).rewards == [0.0]
    assert rehearse(nemo_gym(server, max_steps=1), rows[0], adds(3, 9)).rewards == [1.0]


def test_rollouts_at_once_have_a_session_each(server, rows):
    def one(number):
        row = {**rows[0], "initial_count": number, "expected_count": number + 3}
        return rehearse(nemo_gym(server), row, adds(1, 2)).rewards

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(48))) == [[1.0]] * 48


def test_what_the_policy_gets_wrong_it_is_told(server, rows):
    wrong = [
        tool_call("increment_counter", {"count": "many"}), tool_call("increment_counter", "{", "c2"),
        tool_call("verify", {}, "c3"), tool_call("../verify", {}, "c4"),
    ]  # fmt: skip

    def script(instance, messages):
        if len(messages) == 1:
            return {"content": None, "tool_calls": wrong}
        return {"content": "I give up"}

    result = rehearse(nemo_gym(server), rows[0], script)
    assert result.rewards == [0.0]
    told = [message["content"] for message in result.transcript[1]["messages"][1:]]
    assert "int_parsing" in told[0]
    assert [next(iter(json.loads(text))) for text in told[1:]] == ["error"] * 3


@pytest.mark.parametrize("count", [888, 999])
def test_a_server_that_breaks_or_is_killed_in_the_middle_is_an_outage_behind_a_tool(count, rows):
    process, url = start()
    result = rehearse(nemo_gym(url), rows[0], adds(1, count))
    process.kill()
    process.communicate()
    assert (result.failure.boundary, result.turns) == ("tool", 2)
    assert "canary" not in result.failure.detail
    again = rehearse(nemo_gym(url, timeout=2.0), rows[0], says("x"))
    assert (again.failure.boundary, again.turns) == ("tool", 0)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "?"},
        {"responses_create_params": {"input": [{"type": "item_reference", "id": "1"}]}},
        {"responses_create_params": {"input": "hi", "tools": [{"type": "web_search"}]}},
    ],
)
def test_what_is_no_row_is_the_agents_fault(server, row):
    given = {"initial_count": 0, "expected_count": 0, **row}
    assert rehearse(nemo_gym(server), given, says("x")).failure.boundary == "agent"


def test_a_redirect_is_not_followed(rows):
    asked = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(302)
            self.send_header("location", f"http://127.0.0.1:{self.server.server_port}/stolen")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the base class names it

        def log_message(self, *_):
            pass

    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    Thread(target=elsewhere.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{elsewhere.server_port}"
    result = rehearse(nemo_gym(url, headers=lambda: {"x-token": "secret"}), rows[0], says("x"))
    elsewhere.shutdown()
    elsewhere.server_close()
    assert (result.failure.boundary, asked) == ("tool", ["/seed_session"])


def test_only_http_is_spoken():
    with pytest.raises(AgentError):
        nemo_gym("file:///etc/passwd")


def test_a_row_plays_everywhere_and_replays_in_a_session_of_its_own(server, rows, monkeypatch):
    monkeypatch.setenv("NEMO_GYM_URL", server)
    agents = "tests.integration.systems.agents"
    importlib.reload(importlib.import_module(agents))
    found = everywhere(f"{agents}:counter", rows[0], adds(1, 2), seconds=11.6, slow=0.3)
    assert found["inline"]["reward"] == 1.0
    for way in ("durable", "job"):
        assert (found[way]["state"], found[way]["result"]["reward"]) == ("ready", 1.0)
    assert found["durable"]["invocations"] >= 2
    assert (found["job"]["trainer"], found["job"]["rewards"]) == ("rewarded", [1.0])
