"""Tools of a real MCP server, over HTTP and in memory, with the rules of any tool."""

from __future__ import annotations

import threading
import time

import pytest
import uvicorn
from mcp.server import MCPServer

from rollout.adapters.mcp import mcp
from rollout.errors import ToolBroken
from tests.building import ScriptedPolicy, completion, tool_call
from tests.integration.canaries import make_episode

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def server():
    made = MCPServer("shop")

    @made.tool()
    def price(item: str) -> str:
        """The price of an item.

        Args:
            item: its name.
        """
        if item == "moon":
            raise ValueError("we do not sell it")
        return f"{item} costs {len(item)}"

    return made


def talk(*calls):
    return ScriptedPolicy(
        *[completion(None, tool_calls=[tool_call("price", call)]) for call in calls],
        completion("done"),
    )


def results(policy):
    messages = policy.requests[-1]["messages"]
    return [m["content"] for m in messages if m["role"] == "tool"]


def test_the_policy_calls_a_servers_tools(server):
    policy = talk({"item": "bread"})
    episode = make_episode(1, policy)
    assert episode.converse("what does bread cost?", tools=mcp(server)).text == "done"
    offered = policy.requests[0]["tools"][0]["function"]
    assert offered["name"] == "price"
    assert offered["parameters"]["required"] == ["item"]
    assert results(policy) == ["bread costs 5"]


def test_a_refusal_and_wrong_arguments_are_data(server):
    policy = talk({"item": "moon"}, {"thing": 1}, "[1]", "{")
    episode = make_episode(1, policy)
    episode.converse("?", tools=mcp(server))
    told = results(policy)
    assert "price" in told[0]  # the server keeps an exception of its own to itself
    assert all(text.startswith("Error") for text in told)
    assert episode.metrics["tool_errors"] == 4


def test_a_server_over_http_and_one_that_is_gone(server):
    config = uvicorn.Config(server.streamable_http_app(), port=0, log_level="critical")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    port = running.servers[0].sockets[0].getsockname()[1]
    policy = talk({"item": "bread"})
    with mcp(f"http://127.0.0.1:{port}/mcp", timeout=10) as tools:
        make_episode(1, policy).converse("?", tools=tools)
        assert results(policy) == ["bread costs 5"]
    running.should_exit = running.force_exit = True
    thread.join(10)
    gone = mcp(f"http://127.0.0.1:{port}/mcp", timeout=5)
    with pytest.raises(ToolBroken):
        make_episode(2, talk()).converse("?", tools=gone)
