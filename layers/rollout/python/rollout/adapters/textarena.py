"""Games of TextArena as agents: the policy is one player, functions of the author's are the others.

TextArena draws from Python's one random generator. Here each game has a state of its own, which is put in
place for its calls alone: games that run at once do not mix, and a replay draws the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from rollout.adapters.gymnasium import Rewards, game
from rollout.adapters.packages import needed
from rollout.errors import AgentError

# Takes what the player sees and a generator of random numbers, returns the move.
Opponent = Callable[[str, random.Random], str]

_DICE = Lock()


def textarena(
    name: str,
    *,
    system: str | None = None,
    opponent: Opponent | None = None,
    players: int = 1,
    rewards: Rewards = "sum",
    **settings: Any,
) -> Callable[[Any], Any]:
    """An agent that plays a game of TextArena's.

    Example::

        guess = textarena("GuessTheNumber-v0")
        nim = textarena("Nim-v0", players=2, opponent=takes_one)

    An instance may hold ``seed`` and ``player``, the number of the player that the policy is (0 begins).
    The reward is what the game gives that player at its end; each turn before has 0.

    Args:
        name: as TextArena registers it.
        system: a message before the game's own prompt.
        opponent: moves for every other player.
        players: of the game, the policy among them.
        rewards: as for :func:`rollout.adapters.gymnasium.gymnasium`.
        **settings: of ``textarena.make``.

    Raises:
        AgentError: there are other players and nobody moves for them.
    """
    if players > 1 and opponent is None:
        raise AgentError(f"{name} has {players} players; give the adapter an opponent.")

    def make(instance: Mapping[str, Any]) -> TextArenaGame:
        player = instance.get("player", 0)
        if player not in range(players):
            raise AgentError(f"The instance's player must be from 0 to {players - 1}.")
        library = needed("textarena", "textarena")
        return TextArenaGame(library.make(name, **settings), players, player, opponent)

    return game(make, system=system, actions=str, rewards=rewards)


class TextArenaGame:
    """A game for several players as one player's environment.

    Args:
        made: the game.
        players: of it.
        player: the policy's number.
        opponent: moves for every other.
    """

    def __init__(self, made: Any, players: int, player: int, opponent: Opponent | None) -> None:
        self._made = made
        self._players = players
        self._player = player
        self._opponent = opponent
        self._dice: Any = None
        self._random = random.Random()  # noqa: S311 - of a game
        self._seen = ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Begin, and let the others move until it is the policy's turn."""
        del options
        self._random.seed(seed)
        with _DICE:
            before = random.getstate()
            random.seed(seed)
            try:
                self._made.reset(num_players=self._players, seed=seed)
            finally:
                self._dice = random.getstate()
                random.setstate(before)
        observation, _, ended = self._until_own_turn(ended=False)
        if ended:
            raise AgentError("The game ended before the policy's first move.")
        return observation, {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Move, and let the others."""
        ended = self._move(action)
        observation, reward, ended = self._until_own_turn(ended=ended)
        return observation, reward, ended, False, {}

    def close(self) -> None:
        """Nothing: TextArena's ``close`` gives the rewards, which were asked for."""

    def _until_own_turn(self, *, ended: bool) -> tuple[str, float, bool]:
        while not ended:
            player, seen = self._drawing(self._made.get_observation)
            if player == self._player:
                return self._fresh(str(seen)), 0.0, False
            if self._opponent is None:
                raise AgentError("It is another player's turn, and nobody moves for them.")
            ended = self._move(self._opponent(str(seen), self._random))
        given: Mapping[int, Any] = self._drawing(self._made.close)[0] or {}
        return "The game is over.", float(given.get(self._player, 0.0)), True

    def _move(self, action: str) -> bool:
        ended, _ = self._drawing(lambda: self._made.step(action=action))
        return bool(ended)

    def _fresh(self, seen: str) -> str:
        """What is new in an observation: by default each repeats the whole game."""
        fresh = seen.removeprefix(self._seen)
        self._seen = seen
        return fresh.strip() or "It is your turn."

    def _drawing(self, call: Callable[[], Any]) -> Any:
        """Make a call with this game's random numbers."""
        with _DICE:
            before = random.getstate()
            random.setstate(self._dice)
            try:
                return call()
            finally:
                self._dice = random.getstate()
                random.setstate(before)
