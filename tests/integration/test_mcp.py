"""Tools of a real MCP server, over HTTP and in memory, with the rules of any tool."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from mcp.server import MCPServer

from rollout.adapters.mcp import mcp
from rollout.errors import AgentError, ToolBroken
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


@contextmanager
def served(server, port=0):
    """A server over HTTP; yields its port."""
    config = uvicorn.Config(server.streamable_http_app(), port=port, log_level="critical")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    try:
        yield running.servers[0].sockets[0].getsockname()[1]
    finally:
        running.should_exit = running.force_exit = True
        thread.join(10)


def test_a_server_over_http_and_one_that_is_gone(server):
    policy = talk({"item": "bread"})
    with served(server) as port, mcp(f"http://127.0.0.1:{port}/mcp", timeout=10) as tools:
        make_episode(1, policy).converse("?", tools=tools)
        assert results(policy) == ["bread costs 5"]
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


# --- a server as a program --------------------------------------------------------------------------

COMMAND = [sys.executable, str(Path(__file__).with_name("mcp_server.py"))]


def call(tools, name, **arguments):
    (tool,) = [tool for tool in tools if tool.name == name]
    return tool.run(json.dumps(arguments)).content


def test_a_program_is_started_for_the_block_without_our_credentials(monkeypatch, capfd):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    with mcp(COMMAND) as tools:
        seen = call(tools, "environment")
        first = call(tools, "count", word="secret")
        second = call(tools, "count", word="secret")
    assert "PATH" in seen
    assert "AWS_" not in seen
    assert [first.split()[0], second.split()[0]] == ["1", "2"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(first.split()[2]), 0)
    assert "secret" not in "".join(capfd.readouterr())  # it would stand in the function's log


def test_each_episode_has_a_program_of_its_own():
    def one(number):
        with mcp(COMMAND) as tools:
            return [call(tools, "count", word=f"w{number}") for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        played = list(pool.map(one, range(4)))
    for number, counted in enumerate(played):
        assert [text.split()[:2] for text in counted] == [[f"{n}", f"w{number}"] for n in (1, 2, 3)]
    assert len({text.split()[2] for counted in played for text in counted}) == 4


def test_a_program_that_dies_in_the_middle_is_broken_and_not_started_anew():
    policy = ScriptedPolicy(
        completion(None, tool_calls=[tool_call("count", {"word": "a"})]),
        completion(None, tool_calls=[tool_call("die", {})]),
    )
    with pytest.raises(ToolBroken):  # a new one would have forgotten what was counted
        make_episode(1, policy).converse("?", tools=mcp(COMMAND, timeout=2), tool_attempts=2)


def test_a_command_that_is_not_there_is_broken():
    with pytest.raises(ToolBroken, match="connecting"), mcp(["/no/such/program"], timeout=5):
        pass


# --- several servers, resources, one connection for many episodes -----------------------------------


def test_tools_of_several_servers_are_told_apart(server):
    other = MCPServer("market.hall")

    @other.tool(name="price")
    def market_price(item: str) -> str:
        """Another price."""
        return f"{item} costs 99"

    @other.tool()
    def opening() -> str:
        """When it opens."""
        return "at six"

    with mcp(server, other) as tools:
        assert [tool.name for tool in tools] == ["shop_price", "market_hall_price", "opening"]
        assert call(tools, "shop_price", item="bread") == "bread costs 5"
        assert call(tools, "market_hall_price", item="bread") == "bread costs 99"
    with pytest.raises(ToolBroken), mcp(server, ["/no/such/program"], timeout=5):
        pass  # one that is missing is no smaller offer
    with pytest.raises(AgentError):
        mcp()


def test_resources_are_listed_and_read_where_asked_for(server):
    @server.resource("rules://opening", description="When we open.")
    def opening() -> str:
        return "at six"

    @server.resource("stock://{item}")
    def stock(item: str) -> str:
        return f"{len(item)} of {item}"

    with mcp(server) as tools:
        assert [tool.name for tool in tools] == ["price"]
    with mcp(server, resources=True) as tools:
        assert [tool.name for tool in tools] == ["price", "list_resources", "read_resource"]
        listed = [json.loads(line) for line in call(tools, "list_resources").splitlines()]
        assert [one["uri"] for one in listed] == ["rules://opening", "stock://{item}"]
        assert listed[0]["description"] == "When we open."
        assert call(tools, "read_resource", uri="rules://opening") == "at six"
        assert call(tools, "read_resource", uri="stock://bread") == "5 of bread"
        for wrong in ({"uri": "rules://none"}, {}):
            assert call(tools, "read_resource", **wrong).startswith("Error")
    with mcp(low_level([["a"]]), resources=True) as tools:  # which has none
        assert [tool.name for tool in tools] == ["a"]


def test_a_shared_connection_serves_episodes_at_once_and_is_made_anew(server):
    sessions = []
    counting = server.streamable_http_app

    def app():
        inner = counting()

        async def counted(scope, receive, send):
            if scope["type"] == "http":
                sessions.append(scope["client"])
            await inner(scope, receive, send)

        return counted

    server.streamable_http_app = app
    with served(server) as port:
        shared = mcp(f"http://127.0.0.1:{port}/mcp", shared=True, timeout=10)

        def one(number):
            policy = talk({"item": "x" * number})
            make_episode(number, policy).converse("?", tools=shared)
            return results(policy)

        one(1)
        before = len(sessions)
        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(one, range(1, 101))) == [
                [f"{'x' * n} costs {n}"] for n in range(1, 101)
            ]
        assert len(sessions) - before == 100  # the calls alone: nobody connected or listed again
    policy = talk({"item": "bread"})
    with pytest.raises(ToolBroken):
        make_episode(1, policy).converse("?", tools=shared, tool_attempts=1)
    with served(server, port):
        assert one(3) == ["xxx costs 3"]
    shared.close()


def test_one_that_is_not_shared_belongs_to_one_block_at_a_time(server):
    tools = mcp(server)
    with tools as first:
        with pytest.raises(AgentError, match="shared=True"), tools:
            pass
        assert call(first, "price", item="bread") == "bread costs 5"
    with pytest.raises(AgentError):
        first[0].run('{"item": "bread"}')
    with tools as again:
        assert call(again, "price", item="bread") == "bread costs 5"
