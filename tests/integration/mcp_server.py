"""A stateful MCP server over standard input and output, as a program of its own."""

from __future__ import annotations

import os
import sys

from mcp.server import MCPServer

server = MCPServer("counter")
counted: list[str] = []


@server.tool()
def count(word: str) -> str:
    """Count the calls of this session."""
    sys.stderr.write(f"counting {word}\n")
    counted.append(word)
    return f"{len(counted)} {word} {os.getpid()}"


@server.tool()
def environment() -> list[str]:
    """Names of the variables this process sees."""
    return sorted(os.environ)


@server.tool()
def die() -> str:
    """End the process in the middle of a call."""
    os._exit(1)


server.run("stdio")
