"""The ASGI application: routes, errors as plain pages, and the headers every answer carries."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.show import link, templates
from console.views import Answer, Views
from rollout.errors import MethodNotAllowed, NotFound, RolloutError
from rollout.settings import Settings
from rollout.storage.archive import Archive

_STATIC = Path(__file__).resolve().parent.parent / "static"
# No script, style or picture but our own files; nothing inline, no frame around it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def application(archive: Callable[[], Archive], settings: Callable[[], Settings]) -> Starlette:
    """The console.

    Args:
        archive: what it shows; asked for at each request.
        settings: the stack's.
    """
    views = Views(archive, settings)
    pages: dict[str, Callable[[Request], Answer]] = {
        "/": views.jobs,
        "/job": views.job,
        "/series.json": views.series,
        "/groups": views.groups,
        "/group": views.group,
        "/trajectory": views.trajectory,
        "/trajectory.json": views.raw,
        "/compare": views.compare,
    }
    routes = [Route(path, _page(view), methods=["GET"]) for path, view in pages.items()]
    routes.append(Route("/static/{name:path}", _static, methods=["GET"]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(_Headers), Middleware(GZipMiddleware, minimum_size=800)],
        exception_handlers={HTTPException: _refused},
    )


def _page(view: Callable[[Request], Answer]) -> Callable[[Request], Response]:
    """An endpoint whose errors are pages."""

    def endpoint(request: Request) -> Response:
        try:
            answer = view(request)
            if isinstance(answer, Response):
                return answer
            name, context = answer
            return _rendered(request, name, context)
        except RolloutError as error:
            if error.status >= 500:
                _log().refused(error)
            return _failed(request, error.status, error.title, error.detail)
        except Exception as error:  # noqa: BLE001 - a bug of ours: logged by place, shown without content
            _log().crashed(error)
            detail = "An unexpected error; the log has its type and place."
            return _failed(request, 500, "Internal error", detail)

    return endpoint


def _log() -> Any:
    # Imported when there is something to log: its logger takes its level at import.
    from rollout.telemetry import logs

    return logs


def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        return _failed(request, 405, MethodNotAllowed.title, "The console takes GET and HEAD.")
    return _failed(request, status, NotFound.title, "There is no such page.")


def _failed(request: Request, status: int, title: str, detail: str) -> Response:
    return _rendered(request, "error.html", {"title": title, "detail": detail}, status)


def _rendered(
    request: Request, name: str, context: dict[str, Any], status: int = 200
) -> HTMLResponse:
    base = str(request.scope.get("root_path", ""))

    def to(page: str = "", **query: str) -> str:
        return link(base, page, **query)

    text = _templates().get_template(name).render(**context, to=to, versions=_versions())
    # Pages hold what models and users wrote: nobody keeps a copy.
    headers = {"Cache-Control": "no-store"}
    return HTMLResponse(text, status, headers)


def _static(request: Request) -> Response:
    name = str(request.path_params["name"])
    known = _files().get(name)
    if known is None:
        return _failed(request, 404, NotFound.title, "There is no such file.")
    content, kind, version = known
    forever = request.query_params.get("v") == version
    kept = "private, max-age=31536000, immutable" if forever else "no-cache"
    headers = {"Cache-Control": kept, "ETag": f'"{version}"', "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") in (headers["ETag"], f"W/{headers['ETag']}"):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """The static files by name: content, type, version."""
    found: dict[str, tuple[bytes, str, str]] = {}
    for path in sorted(_STATIC.rglob("*")):
        kind = mimetypes.guess_type(path.name)[0]
        if path.is_file() and kind:
            content = path.read_bytes()
            version = hashlib.sha256(content).hexdigest()[:16]
            found[path.relative_to(_STATIC).as_posix()] = content, kind, version
    return found


@cache
def _versions() -> dict[str, str]:
    return {name: version for name, (_, _, version) in _files().items()}


@cache
def _templates() -> Any:
    return templates()


class _Headers:
    """Adds the headers that every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, with_headers)
