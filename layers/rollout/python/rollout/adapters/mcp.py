"""Tools of Model Context Protocol servers, through the official SDK."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from rollout.adapters.mcp_connections import Connections, Refused
from rollout.adapters.packages import needed
from rollout.errors import AgentError, ToolBroken
from rollout.tools import Tool
from rollout.values import json_text

# What OpenAI's pattern for a function's name does not have: [a-zA-Z0-9_-]{1,64}.
_REFUSED = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
# JSON-RPC's code for arguments that are wrong, and the protocol's older one for an unknown resource.
_MODELS_MISTAKES = (-32602, -32002)

_NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}
_URI = {
    "type": "object",
    "properties": {"uri": {"type": "string", "description": "The resource's URI."}},
    "required": ["uri"],
}


class mcp:  # noqa: N801 - used as ``with mcp("…") as tools``
    """Connects to MCP servers for the length of a ``with`` block.

    Example::

        reply = episode.converse(question, tools=mcp("https://tools.example.com/mcp"))

        with mcp(shop_url, ["python", "files_server.py"]) as tools:  # two servers, several conversations
            first = episode.converse(question, tools=tools)

        STATELESS = mcp("https://search.example.com/mcp", shared=True)  # for all episodes of the process

    A tool that answers with an error has refused: the model reads it. A server that is gone or slow is
    broken infrastructure, as with any tool: connecting is tried again, twice, as a call is.

    Names that chat-completions servers refuse (``files.read``) are offered with ``_`` in place of what
    they refuse, and called by their own. Where two servers have a tool of one name, each is offered
    with its server's name before it.

    Args:
        *servers: each the URL of a streamable HTTP server, a command as a list, which is started and
            spoken to over its standard input and output (without this process's credentials: the SDK
            hands on ``PATH``, ``HOME`` and the like), or what the SDK's ``Client`` takes besides
            (``StdioServerParameters``, a transport, a server object in a test).
        resources: whether to offer what the servers have as resources, with two tools to list and to
            read them.
        shared: whether one connection serves every episode of the process and stays open. Only for
            servers that remember nothing of a session; a connection that breaks is made anew.
        timeout: seconds for connecting and for each call.
    """

    def __init__(
        self, *servers: Any, resources: bool = False, shared: bool = False, timeout: float = 30.0
    ) -> None:
        needed("mcp", "mcp")
        if not servers:
            raise AgentError("mcp(…) needs a server: a URL, or a command as a list.")
        self._servers = servers
        self._resources = resources
        self._shared = shared
        self._timeout = timeout
        self._lock = Lock()
        self._connections: Connections | None = None
        self._offered: list[_Offered] = []

    def __enter__(self) -> list[Tool]:
        with self._lock:
            if self._connections is not None and not self._shared:
                raise AgentError(
                    "This mcp(…) is in use; make one inside the agent, for each episode its own, or "
                    "write shared=True for a server that remembers nothing."
                )
            self._connect()
            return _tools(self._offered, self._call)

    def __exit__(self, *_: object) -> None:
        if not self._shared:
            self.close()

    def close(self) -> None:
        """Close the connections; for one that is shared, when the process needs it no more."""
        with self._lock:
            self._disconnect()

    def _connect(self) -> Connections:
        """The open connections; made if there are none, or where shared ones are broken."""
        if self._connections is not None and self._connections.broken and self._shared:
            self._disconnect()
        if self._connections is None:
            self._connections = made = Connections(self._servers, self._timeout)
            try:
                listed = made.open(partial(_listed, resources=self._resources))
            except BaseException:
                self._disconnect()
                raise
            self._offered = [offered for each in listed for offered in each]
        return self._connections

    def _disconnect(self) -> None:
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()

    def _call(self, offered: _Offered, arguments: dict[str, Any]) -> str:
        with self._lock:
            if self._connections is None and not self._shared:
                raise AgentError("The block of this mcp(…) has ended, and its tools with it.")
            connections = self._connect()
        work = offered.call(connections.clients[offered.server], arguments)
        try:
            return connections.run(work, f"calling {offered.name!r}")
        except ToolBroken as broken:
            error = broken.__cause__
            if getattr(error, "code", None) in _MODELS_MISTAKES:
                raise Refused(str(error)) from None
            connections.broken = True
            raise


@dataclass(frozen=True, slots=True)
class _Offered:
    """What a server offers the model to call.

    Args:
        server: its place among the servers.
        server_name: as it calls itself.
        name: as the server knows it.
        call: calls it through the client that is connected now.
    """

    server: int
    server_name: str
    name: str
    description: str
    parameters: dict[str, Any]
    call: Callable[[Any, dict[str, Any]], Coroutine[Any, Any, str]]


async def _listed(place: int, client: Any, *, resources: bool) -> list[_Offered]:
    """What one server offers."""
    info = client.server_info
    name = str(info.name) if info else f"server_{place + 1}"
    capabilities = client.server_capabilities
    found: list[_Offered] = []
    if capabilities.tools is not None:
        found += [_of_tool(place, name, tool) for tool in await _pages(client.list_tools, "tools")]
    if resources and capabilities.resources is not None:
        found += _of_resources(place, name)
    return found


async def _pages(request: Callable[..., Coroutine[Any, Any, Any]], field: str) -> list[Any]:
    """Everything a server lists, page by page; one that gives a page twice has no more."""
    found: list[Any] = []
    cursor, seen = None, set[str]()
    while cursor not in seen:
        if cursor is not None:
            seen.add(cursor)
        page = await request(cursor=cursor)
        found += getattr(page, field)
        cursor = page.next_cursor
        if not cursor:
            break
    return found


def _of_tool(server: int, server_name: str, tool: Any) -> _Offered:
    async def call(client: Any, arguments: dict[str, Any]) -> str:
        return _result(await client.call_tool(tool.name, arguments))

    parameters = dict(tool.input_schema)
    return _Offered(server, server_name, tool.name, tool.description or "", parameters, call)


def _of_resources(server: int, server_name: str) -> list[_Offered]:
    async def listing(client: Any, _: dict[str, Any]) -> str:
        kinds = (
            (client.list_resources, "resources"),
            (client.list_resource_templates, "resource_templates"),
        )
        found = [one for request, field in kinds for one in await _pages(request, field)]
        return "\n".join(json_text(_link(one)) for one in found) or "There are none."

    async def reading(client: Any, arguments: dict[str, Any]) -> str:
        answer = await client.read_resource(str(arguments.get("uri", "")))
        return "\n".join(_contents(each) for each in answer.contents)

    of = f"of {server_name}"
    listed = f"List the resources {of}: what can be read, and templates of their URIs."
    read = f"Read a resource {of} by its URI."
    return [
        _Offered(server, server_name, "list_resources", listed, _NO_ARGUMENTS, listing),
        _Offered(server, server_name, "read_resource", read, _URI, reading),
    ]


def _tools(
    offered: Sequence[_Offered], call: Callable[[_Offered, dict[str, Any]], str]
) -> list[Tool]:
    """Tools for the model, each under a name of its own."""
    own = [one.name for one in offered]
    servers = {name: {one.server for one in offered if one.name == name} for name in own}
    names = _unlike(
        [f"{o.server_name}_{o.name}" if len(servers[o.name]) > 1 else o.name for o in offered]
    )

    def tool(one: _Offered, name: str) -> Tool:
        def called(arguments: str) -> str:
            sent = json.loads(arguments or "{}")
            if not isinstance(sent, dict):
                raise ValueError("the arguments are not a JSON object")
            return call(one, sent)  # pyright: ignore[reportUnknownArgumentType] - JSON

        return Tool(name=name, description=one.description, parameters=one.parameters, call=called)

    return [tool(one, name) for one, name in zip(offered, names, strict=True)]


def _result(answer: Any) -> str:
    parts = [_content(part) for part in answer.content]
    structured = answer.structured_content
    # Where there is text it says the same, by the protocol; alone it is all there is.
    if structured is not None and not any(part.type == "text" for part in answer.content):
        parts.append(json_text(structured))
    text = "\n".join(part for part in parts if part)
    if answer.is_error:
        raise Refused(text or "the tool refused")
    return text


def _content(part: Any) -> str:
    """One part of a result as text; what is no text is named with where it is."""
    if part.type == "text":
        return part.text
    if part.type == "resource":
        return _contents(part.resource)
    if part.type == "resource_link":
        return json_text(_link(part))
    return f"[{part.type}: {getattr(part, 'mime_type', '')}]"


def _contents(resource: Any) -> str:
    """What a resource holds, as text."""
    if getattr(resource, "text", None) is not None:
        return resource.text
    kind = resource.mime_type or "unknown type"
    return f"[{resource.uri}: {kind}, base64] {resource.blob}"


def _link(resource: Any) -> dict[str, str]:
    """What is told of a resource, or of a template of resources, without its contents."""
    uri = getattr(resource, "uri", None) or getattr(resource, "uri_template", None)
    link = {"uri": str(uri), "name": resource.name, "title": resource.title,
            "description": resource.description, "mime_type": resource.mime_type}  # fmt: skip
    return {name: value for name, value in link.items() if value}


def _unlike(names: list[str]) -> list[str]:
    """Names that every chat-completions server takes, told apart where they come out equal."""
    made: list[str] = []
    for name in names:
        plain = _REFUSED.sub("_", name)[:_LONGEST_NAME] or "tool"
        found, count = plain, 1
        while found in made or (found != name and found in names):
            count += 1
            found = f"{plain[: _LONGEST_NAME - 4]}_{count}"
        made.append(found)
    return made
