"""Servers of OpenEnv as agents: one WebSocket session for each episode.

The protocol is read from openenv-core 0.3 (``env_server/http_server.py``, ``env_server/types.py``). That
package is not needed here, for its 300 MB would fill a function; ``websockets`` is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from rollout.adapters.gymnasium import NotAnAction, Rewards, game
from rollout.adapters.packages import needed
from rollout.errors import ToolBroken
from rollout.values import json_text

# Seconds between attempts to get a session; a server that is full may have one soon.
_PAUSES = (0.25, 1.0, 4.0)
_LARGEST = 100_000_000  # bytes of a message, as OpenEnv's own client allows
# What the server says when the action itself is at fault.
_POLICYS = frozenset({"VALIDATION_ERROR"})


def openenv(
    url: str,
    *,
    system: str | None = None,
    action: str | Callable[[str], Mapping[str, Any]] = "message",
    observe: str | Callable[[Mapping[str, Any]], str] | None = None,
    rewards: Rewards = "sum",
    timeout: float = 30.0,
    headers: Callable[[], Mapping[str, str]] = dict,
    replay: bool = True,
) -> Callable[[Any], Any]:
    """An agent that plays an environment on an OpenEnv server.

    Example::

        coder = openenv("https://coder.example.com", system="Answer with Python.", action="code",
                        observe="stdout")

    An instance may hold ``seed`` and ``options``, further arguments of the server's ``reset``. A session
    ends with its rollout, however that ends.

    Args:
        url: of the server, http or ws.
        system: the rules, and how an action is written.
        action: the field of the environment's action that a reply goes into; or what makes an action of
            it, and raises :class:`~rollout.adapters.gymnasium.NotAnAction`.
        observe: the field of an observation that is told, or what makes text of one. By default it all.
        rewards: ``sum`` of the steps' rewards, the ``last``, or one for each of the ``turns``.
        timeout: seconds for connecting, and for the answer to each reset and step.
        headers: sent with the request for a session, asked for each time.
        replay: False where an environment does not go by its seed and actions alone, or where to act
            twice does harm: a rollout that goes on after a crash acts again in a session of its own.
    """

    def parse(text: str) -> Mapping[str, Any]:
        return action(text) if callable(action) else {action: text}

    def make(instance: Mapping[str, Any]) -> OpenEnvGame:
        del instance
        return OpenEnvGame(_address(url), timeout, dict(headers()))

    return game(
        make,
        system=system,
        actions=parse,
        observe=_observing(observe),
        rewards=rewards,
        replay=replay,
    )


class OpenEnvGame:
    """One session of a server behind Gymnasium's interface.

    Args:
        address: of the WebSocket.
        timeout: seconds.
        headers: of the request for a session.
    """

    def __init__(self, address: str, timeout: float, headers: dict[str, str]) -> None:
        self._address = address
        self._timeout = timeout
        self._headers = headers
        self._session: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Open a session and begin.

        Raises:
            ToolBroken: the server gave none within three more attempts.
        """
        data = {"seed": seed, **(options or {})}
        for pause in _PAUSES:
            try:
                return self._begun(data)
            except ToolBroken:
                self.close()
                time.sleep(pause)
        return self._begun(data)

    def step(self, action: Mapping[str, Any]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act once; an action is never sent again."""
        told = self._asked("step", dict(action))
        reward = told.get("reward")
        return told["observation"], float(reward or 0.0), bool(told.get("done")), False, {}

    def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(Exception):  # a server that is gone has no session left
                session.send('{"type":"close"}')
                session.close()

    def _begun(self, data: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        connecting = needed("websockets.sync.client", "websockets")
        try:
            self._session = connecting.connect(
                self._address,
                additional_headers=self._headers,
                open_timeout=self._timeout,
                close_timeout=1.0,
                max_size=_LARGEST,
            )
        except Exception as error:
            raise ToolBroken(
                f"The OpenEnv server cannot be reached: {type(error).__name__}."
            ) from error
        return self._asked("reset", data)["observation"], {}

    def _asked(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Send a message and wait for its answer.

        Raises:
            NotAnAction: the server does not take the action.
            ToolBroken: the server is gone, slow, full, or its environment raised.
        """
        try:
            self._session.send(json_text({"type": kind, "data": data}))
            told = cast("dict[str, Any]", json.loads(self._session.recv(timeout=self._timeout)))
            answered = cast("dict[str, Any]", told["data"])
        except Exception as error:
            raise ToolBroken(
                f"The OpenEnv server failed at {kind}: {type(error).__name__}."
            ) from error
        if told.get("type") != "error":
            return answered
        code = str(answered.get("code"))
        if code in _POLICYS and kind == "step":
            raise NotAnAction("the environment does not take it")
        raise ToolBroken(f"The OpenEnv server answered {kind} with the error {code[:40]}.")


def _address(url: str) -> str:
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit(parts._replace(scheme=scheme, path=parts.path.rstrip("/") + "/ws"))


def _observing(
    observe: str | Callable[[Mapping[str, Any]], str] | None,
) -> Callable[[Any], str]:
    if callable(observe):
        return observe

    def told(observation: Any) -> str:
        part = observation if observe is None else observation[observe]
        return part if isinstance(part, str) else json_text(part)

    return told
