"""The console as a server on loopback: the same application as behind API Gateway."""

from __future__ import annotations

from starlette.middleware.trustedhost import TrustedHostMiddleware

from console.application import application
from devkit.emulator.server import Server
from rollout.settings import Settings, settings
from rollout.storage.archive import Archive


def console_server(stack: Settings | None = None, port: int = 0) -> Server:
    """A server of the console on loopback.

    Args:
        stack: whose table and bucket; what the environment says when it is asked if not given.
        port: 0 picks a free one.
    """

    def current() -> Settings:
        return stack or settings()

    app = application(lambda: Archive(current()), current)
    # Names that a foreign page has made to point at this machine are not ours.
    hosts = ["127.0.0.1", "localhost"]
    return Server(TrustedHostMiddleware(app, allowed_hosts=hosts, www_redirect=False), port)
