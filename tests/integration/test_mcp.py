"""Tools of a real MCP server, over HTTP and in memory, with the rules of any tool."""

from __future__ import annotations

import json
import re
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
    texts = results(policy)
    assert "price" in texts[0]  # the server keeps an exception of its own to itself
    assert all(text.startswith("Error") for text in texts)
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


def low_level(pages, results=None, failures=0):
    """A server of the SDK's lower layer, which says what a test wants it to say."""
    from mcp.server.lowlevel import Server
    from mcp.types import ListToolsResult, Tool

    left = [failures]

    async def list_tools(context, params):
        del context
        if left[0]:
            left[0] -= 1
            raise RuntimeError("not yet")
        page = int((params and params.cursor) or 0)
        tools = [Tool(name=name, input_schema={"type": "object"}) for name in pages[page]]
        following = str(page + 1) if page + 1 < len(pages) else None
        return ListToolsResult(tools=tools, next_cursor=following)

    async def call_tool(context, params):
        del context
        return results[params.name]

    return Server("pages", on_list_tools=list_tools, on_call_tool=call_tool)


def test_every_page_of_the_tools_is_offered():
    pages = [[f"tool_{n}" for n in range(start, start + 14)] for start in (0, 14, 28)]
    with mcp(low_level(pages)) as tools:
        assert [tool.name for tool in tools] == [name for page in pages for name in page]


def test_names_that_servers_refuse_are_mapped_and_called_by_their_own():
    from mcp.types import CallToolResult, TextContent

    names = ["files.read", "files_read", "files/read", "x" * 80]
    answers = {name: CallToolResult(content=[TextContent(text=name)]) for name in names}
    with mcp(low_level([names], answers)) as tools:
        offered = [tool.name for tool in tools]
        assert len(set(offered)) == 4
        assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in offered)
        assert offered[1] == "files_read"
        assert [tool.run("{}").content for tool in tools] == names


def test_what_a_result_holds_is_read():
    from mcp import types as t

    text = t.TextResourceContents(uri="file:///a", text="inside")
    blob = t.BlobResourceContents(uri="file:///b", mime_type="image/png", blob="AAAA")
    answers = {
        "structured": t.CallToolResult(content=[], structured_content={"price": 5}),
        "both": t.CallToolResult(
            content=[t.TextContent(text="5")], structured_content={"price": 5}
        ),
        "embedded": t.CallToolResult(content=[t.EmbeddedResource(resource=text)]),
        "bytes": t.CallToolResult(content=[t.EmbeddedResource(resource=blob)]),
        "link": t.CallToolResult(
            content=[t.ResourceLink(uri="file:///c", name="c", description="it")]
        ),
        "empty": t.CallToolResult(content=[t.TextContent(text="")]),
    }
    with mcp(low_level([list(answers)], answers)) as tools:
        read = {tool.name: tool.run("{}").content for tool in tools}
    assert read["structured"] == '{"price": 5}'
    assert read["both"] == "5"
    assert read["embedded"] == "inside"
    assert "file:///b" in read["bytes"]
    assert "AAAA" in read["bytes"]
    assert json.loads(read["link"]) == {"uri": "file:///c", "name": "c", "description": "it"}
    assert read["empty"] == ""


def test_connecting_is_tried_again():
    with mcp(low_level([["a"]], failures=2)) as tools:
        assert [tool.name for tool in tools] == ["a"]
    with pytest.raises(ToolBroken), mcp(low_level([["a"]], failures=3)):
        pass
