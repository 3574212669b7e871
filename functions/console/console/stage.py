"""API Gateway's paths: what stands before a page's own path is where links begin."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send


def under_stage(app: ASGIApp) -> Any:
    """Serve an application below a stage (``/v1``) or a custom domain's base path.

    Source of the event's fields: API Gateway developer guide, "Input format of a Lambda function for
    proxy integration". ``pathParameters.proxy`` is the page's own path, ``requestContext.path`` the one
    the browser asked for.
    """

    async def placed(scope: Scope, receive: Receive, send: Send) -> None:
        event: dict[str, dict[str, Any] | None] = scope.get("aws.event") or {}
        parameters, context = event.get("pathParameters") or {}, event.get("requestContext") or {}
        own = "/" + str(parameters.get("proxy") or "").strip("/")
        asked = str(context.get("path") or own).rstrip("/")
        # sam local gives the route there, not what the browser asked for; its pages stand at the root.
        base = asked.removesuffix(own.rstrip("/")) if asked.endswith(own.rstrip("/")) else ""
        await app({**scope, "path": base + own, "root_path": base}, receive, send)

    return placed
