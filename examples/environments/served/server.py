"""An OpenEnv server with a game of guessing: ``python server.py PORT`` prints its port."""

from __future__ import annotations

import random
import socket
import sys
from typing import Any

import uvicorn
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State


class Guess(Action):
    """A number as text."""

    word: str


class Seen(Observation):
    """What is told of a guess."""

    text: str


class Guessing(Environment):
    """Find a number from 1 to 8 in four guesses."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._number = 1
        self._left = 4

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Seen:
        """Think of a number."""
        del episode_id
        self._number = random.Random(seed).randint(1, 8)  # noqa: S311 - a game
        return Seen(text="I think of a number from 1 to 8. You have 4 guesses.")

    def step(self, action: Guess, timeout_s: float | None = None, **_: Any) -> Seen:
        """Say whether the number is higher or lower."""
        del timeout_s
        self._left -= 1
        said = int(action.word) if action.word.strip().isdigit() else 0
        if said == self._number:
            return Seen(text="Right.", reward=1.0, done=True)
        text = "higher" if said < self._number else "lower"
        return Seen(text=text, reward=0.0, done=self._left == 0)

    @property
    def state(self) -> State:
        """Nothing that a client may see."""
        return State()


def serve(kind: type[Environment], port: int = 0) -> None:
    """Serve an environment on loopback, a session for each WebSocket."""
    app = create_fastapi_app(kind, Guess, Seen, max_concurrent_envs=40)
    listening = socket.create_server(("127.0.0.1", port))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listening])


if __name__ == "__main__":
    serve(Guessing, int(sys.argv[1]) if len(sys.argv) > 1 else 0)
