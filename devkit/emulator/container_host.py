"""Where a container finds the machine it runs on."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import httpx

# What containers call the machine; sam local maps it with --add-host.
NAME = "host.docker.internal"
_SOCKET = "unix:///var/run/docker.sock"
_SECONDS = 10


class NoEngine(Exception):
    """No container engine answers; says what to do."""


def address() -> str:
    """The address of this machine that containers reach; empty where that is loopback.

    Docker Desktop and Finch run containers in a machine of their own and pass what is sent to
    ``host.docker.internal`` on to loopback. On Linux it is the gateway of the engine's bridge.

    Raises:
        NoEngine: neither Docker nor what DOCKER_HOST names answers.
    """
    where = os.environ.get("DOCKER_HOST") or _SOCKET
    scheme, _, path = where.partition("://")
    transport = httpx.HTTPTransport(uds=path) if scheme == "unix" else None
    base = "http://engine" if scheme == "unix" else where.replace("tcp://", "http://", 1)
    try:
        if scheme == "unix":  # httpx leaves a socket open that cannot be connected
            with socket.socket(socket.AF_UNIX) as tried:
                tried.connect(path)
        with httpx.Client(base_url=base, transport=transport, timeout=_SECONDS) as client:
            desktop = "Desktop" in str(client.get("/info").json().get("OperatingSystem"))
            network: dict[str, Any] = client.get("/networks/bridge").json()
    except (OSError, httpx.HTTPError, httpx.InvalidURL, ValueError):
        raise NoEngine(
            f"no container engine answers at {where}: start Docker, or let DOCKER_HOST name a socket "
            "(podman system service; see docs/sam-local.md)"
        ) from None
    if desktop or sys.platform != "linux":
        return ""
    parts: list[dict[str, str]] = network.get("IPAM", {}).get("Config") or []
    return next((part["Gateway"] for part in parts if part.get("Gateway")), "")
