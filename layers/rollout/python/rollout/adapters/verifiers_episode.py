"""What of verifiers' stands on an episode: its client, and its chat loop in this process.

Imported by :mod:`rollout.adapters.verifiers` when a rollout is played: importing verifiers takes seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from rollout.adapters.packages import needed
from rollout.adapters.transport import sample_request
from rollout.episode import Episode
from rollout.errors import AgentError, DeadlineError, RolloutError

vf: Any = needed("verifiers.v1", "verifiers")
_chat: Any = needed("verifiers.v1.dialects.chat", "verifiers")
_null: Any = needed("verifiers.v1.harnesses.null", "verifiers")
_mcp: Any = needed("verifiers.v1.harnesses.utils.mcp", "verifiers")
_http: Any = needed("httpx", "verifiers")

# A status that no client sends again: a turn is sampled once.
_REFUSED = 400
_SHOWN = 64


class EpisodeClient(vf.Client):
    """Answers a rollout's model calls from its episode.

    Args:
        episode: samples them.
    """

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._failures: list[BaseException] = []

    @property
    def spent(self) -> DeadlineError | None:
        """The budget that ran out, if one did."""
        return next((e for e in self._failures if isinstance(e, DeadlineError)), None)

    def raise_failure(self) -> None:
        """Raise what no harness may keep to itself; a spent budget may be."""
        for error in self._failures:
            if not isinstance(error, DeadlineError):
                raise error

    async def get_response(self, dialect: Any, body: Any, sampling: Any, **_: Any) -> Any:
        """Sample one turn; its parameters are in the body."""
        del sampling
        if not isinstance(dialect, _chat.ChatDialect):
            raise self._failed(
                AgentError("An episode answers chat completions; use a harness of those.")
            )
        try:
            completion = await asyncio.to_thread(sample_request, self._episode, body)
        except BaseException as error:  # noqa: BLE001 - a suspension too; raised when the rollout ends
            raise self._failed(error) from None
        response = dialect.parse_response(dialect.validate_response(completion))
        response.raw = completion
        return response

    def _failed(self, error: BaseException) -> Exception:
        """Keep what went wrong; the error that verifiers knows."""
        self._failures.append(error)
        kind = error.slug if isinstance(error, RolloutError) else type(error).__name__
        return vf.ProviderError(kind, status_code=_REFUSED)


class Spoken(NamedTuple):
    """What one ``launch`` works with: verifiers' tools and the client of its interception server."""

    http: Any
    offered: list[Any]
    places: Mapping[str, Any]
    servers: Mapping[str, Any]


class EpisodeHarness(_null.NullHarness):
    """verifiers' chat loop, in this process.

    Args:
        config: of the null harness.
        client: tells whether a budget is spent.
    """

    SUPPORTS_TOOL_INTERCEPTION = False

    def __init__(self, config: Any, client: EpisodeClient) -> None:
        self.config = config
        self._client = client

    async def setup(self, runtime: Any) -> None:
        """Nothing is installed."""

    async def launch(self, ctx: Any, trace: Any, *where: Any, **_: Any) -> Any:
        """Converse until the policy answers without a call, or is stopped."""
        _, endpoint, secret, urls, data = where
        timeout = self.config.tool_timeout
        servers = {name: {"url": url, "timeout": timeout} for name, url in urls.items()}
        headers = {"Authorization": f"Bearer {secret}"}
        async with AsyncExitStack() as opened:
            try:
                tools = await _mcp.connect_mcp({"mcpServers": servers}, opened)
            except Exception as error:
                raise vf.ToolsetError("tool servers could not be listed") from error
            http = _http.AsyncClient(base_url=endpoint, headers=headers, timeout=None)
            spoken = Spoken(await opened.enter_async_context(http), *tools)
            return await self._converse(ctx, trace, self._messages(data), spoken)

    def _messages(self, data: Any) -> list[Any]:
        system, prompt = self.resolve_prompt(data)
        messages: list[Any] = [{"role": "system", "content": system}] if system else []
        if isinstance(prompt, str):
            return [*messages, {"role": "user", "content": prompt}]
        given: list[Any] = prompt or []
        return [*messages, *(_chat.message_to_wire(message) for message in given)]

    async def _converse(self, ctx: Any, trace: Any, messages: list[Any], spoken: Spoken) -> Any:
        while True:
            request: dict[str, Any] = {"model": ctx.model, "messages": messages}
            if spoken.offered:
                request["tools"] = spoken.offered
            answer = await spoken.http.post("chat/completions", json=request)
            if answer.status_code != 200:
                if self._client.spent is not None or trace.stop_condition is not None:
                    return vf.ProgramResult(0, "", "")  # what was reached is scored
                raise vf.HarnessError("the model call failed")
            message = answer.json()["choices"][0]["message"]
            messages.append(message)
            if not message.get("tool_calls"):
                return vf.ProgramResult(0, message.get("content") or "", "")
            for call in message["tool_calls"]:
                content = await self._called(call["function"], spoken)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})

    @staticmethod
    async def _called(asked: Mapping[str, str], spoken: Spoken) -> Any:
        """Call a tool; what was wrong with the call is text for the policy."""
        name = asked["name"]
        if name not in spoken.places:
            return f"Error: there is no tool {name[:_SHOWN]!r}; use {', '.join(spoken.places)}."
        try:
            arguments = json.loads(asked["arguments"] or "{}")
        except ValueError:
            return "Error: the arguments are not JSON."
        if not isinstance(arguments, dict):
            return "Error: the arguments are not a JSON object."
        try:
            return await _mcp.call_mcp(spoken.servers, spoken.places, name, arguments)
        except Exception as error:
            raise vf.ToolsetError("a tool server does not answer") from error
