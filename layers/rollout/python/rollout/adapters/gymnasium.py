"""Environments with ``reset`` and ``step``, as Gymnasium defines them, as agents.

Each observation is a message of the user's, each reply an action. Other systems' environments are made to
look like Gymnasium's first: see :mod:`rollout.adapters.textarena` and :mod:`rollout.adapters.skyrl_gym`.

A rollout that replays plays its game again from the start, with the recorded replies. So a game must go
by its seed and its actions alone; else say ``replay=False``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from rollout.adapters.packages import needed
from rollout.agent import Outcome, agent
from rollout.episode import Episode
from rollout.errors import AgentError, DeadlineError
from rollout.reply import Message

Rewards = Literal["sum", "last", "turns"]
_LARGEST_SEED = 2**31
# What a rendering sets off by colour; the policy reads no colours, so brackets say it.
_STYLED = re.compile(r"\x1b\[[1-9][0-9;]*m(.*?)\x1b\[0?m", re.DOTALL)
_INTEGER = re.compile(r"-?\d+")


class NotAnAction(ValueError):
    """Raised by a parser of replies, or by a step; its text is told to the policy, who spent a turn."""


class Game(Protocol):
    """What is played: Gymnasium's own interface, with observations that can be told."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin; the first observation, and information that is not told."""
        ...

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act; observation, reward, whether the game ended, whether it was cut off, information."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


def gymnasium(
    name: str,
    *,
    system: str,
    actions: Mapping[str, Any] | Callable[[str], Any] | None = None,
    observe: Callable[[Any], str] | None = None,
    rewards: Rewards = "sum",
    replay: bool = True,
    **settings: Any,
) -> Callable[[Any], Any]:
    """An agent that plays a registered environment of Gymnasium's.

    Example::

        lake = gymnasium("FrozenLake-v1", system="Reach G. Answer left, down, right or up.",
                         actions={"left": 0, "down": 1, "right": 2, "up": 3}, is_slippery=False)

    An instance may hold ``seed`` and ``options`` of the reset. ``rollout rows`` writes rows of seeds.

    Args:
        name: the environment's id, ``package:Id`` for one that a package registers.
        system: the rules, and how an action is written.
        actions: words with the actions they stand for, of which the last in a reply counts; or a parser,
            which raises :class:`NotAnAction`. By default the space decides: text is the action itself,
            and of a discrete one the reply's last whole number.
        observe: makes text of an observation. By default text is told as it is, and anything else as the
            environment renders it (``render_mode="ansi"``).
        rewards: ``sum`` of the steps' rewards, the ``last``, or one for each of the turns.
        replay: False for an environment that does not go by seed and actions alone.
        **settings: of ``gymnasium.make``.
    """

    def make(instance: Mapping[str, Any]) -> Game:
        del instance
        library = needed("gymnasium", "gymnasium")
        return cast("Game", library.make(name, **{"render_mode": "ansi", **settings}))

    return game(
        make, system=system, actions=actions, observe=observe, rewards=rewards, replay=replay
    )


def game(
    make: Callable[[Mapping[str, Any]], Game],
    *,
    system: str | None = None,
    actions: Mapping[str, Any] | Callable[[str], Any] | None = None,
    observe: Callable[[Any], str] | None = None,
    rewards: Rewards = "sum",
    replay: bool = True,
    rows: Callable[[int, int], Iterator[dict[str, Any]]] | None = None,
    **params: Any,
) -> Callable[[Any], Any]:
    """An agent that plays anything with Gymnasium's ``reset``, ``step`` and ``close``.

    Args:
        make: a new game for an instance.
        rows: makes instances; seeds by default.
        **params: of every Sample, ``stop`` for instance.

    The other arguments are :func:`gymnasium`'s. A game that ends with the rollout's budget is scored for
    what was reached, with the metric ``finished`` 0. What a game's ``info`` holds at its end under
    ``metrics`` is remembered.
    """

    @agent(replay=replay, rows=rows or _seeds)
    def play(episode: Episode) -> Outcome:
        made = make(episode.instance)
        try:
            return _played(made, episode, _Rules(system, actions, observe, rewards, params))
        finally:
            made.close()

    return play


@dataclass(frozen=True, slots=True)
class _Rules:
    """How a game is told and scored."""

    system: str | None
    actions: Mapping[str, Any] | Callable[[str], Any] | None
    observe: Callable[[Any], str] | None
    rewards: Rewards
    params: Mapping[str, Any]


def _played(made: Game, episode: Episode, rules: _Rules) -> Outcome:
    parse = _parser(made, rules.actions)
    instance = episode.instance
    seed = instance.get("seed")
    observation, info = made.reset(
        seed=episode.random.randrange(_LARGEST_SEED) if seed is None else seed,
        options=instance.get("options"),
    )
    messages: list[Message] = []
    if rules.system:
        messages.append({"role": "system", "content": rules.system})
    messages += _told(observation, made, rules.observe)
    earned: list[float] = []
    ended, invalid = False, 0
    while not ended:
        try:
            reply = episode.sample(messages, **rules.params)
        except DeadlineError:
            if not episode.turns:
                raise
            break  # what was reached is scored
        messages.append(reply.message)
        try:
            told = made.step(parse(reply.text))
        except NotAnAction as wrong:
            invalid += 1
            earned.append(0.0)
            messages.append({"role": "user", "content": f"That is no action: {wrong}."})
            continue
        observation, reward, terminated, truncated, info = told
        earned.append(float(reward))
        ended = bool(terminated or truncated)
        if (instead := info.get("said")) is not None:  # the reply as the environment cut it
            messages[-1] = {"role": "assistant", "content": instead}
        messages += _told(observation, made, rules.observe)
    metrics = {"finished": float(ended), "steps": float(len(earned) - invalid)}
    if invalid:
        metrics["invalid_actions"] = float(invalid)
    metrics |= info.get("metrics") or {}
    return Outcome(_reward(earned, rules.rewards), metrics)


def _reward(earned: Sequence[float], rewards: Rewards) -> float | list[float]:
    if rewards == "turns":
        return list(earned) or 0.0
    if rewards == "last":
        return earned[-1] if earned else 0.0
    return sum(earned)


def _told(observation: Any, made: Game, observe: Callable[[Any], str] | None) -> list[Message]:
    """An observation as messages."""
    if isinstance(observation, list):  # messages already
        return cast("list[Message]", observation)
    if observe is not None:
        text: Any = observe(observation)
    elif isinstance(observation, str):
        text = observation
    else:
        text = cast("Any", made).render()
        if isinstance(text, str):
            text = _STYLED.sub(r"[\1]", text).strip("\n")
    if not isinstance(text, str):
        raise AgentError(
            "The environment renders no text; give the adapter observe, which makes text of an "
            "observation."
        )
    return [{"role": "user", "content": text}]


def _parser(
    made: Game, actions: Mapping[str, Any] | Callable[[str], Any] | None
) -> Callable[[str], Any]:
    """What makes an action of a reply.

    Raises:
        AgentError: nothing says how, and the action space does not either.
    """
    if isinstance(actions, Mapping):
        return _words(cast("Mapping[str, Any]", actions))
    if actions is not None:
        return actions
    space = getattr(made, "action_space", None)
    kind = type(space).__name__
    if space is None or kind == "Text":
        return str
    if kind == "Discrete":
        first = int(space.start)
        return lambda text: _whole(text, range(first, first + int(space.n)))
    raise AgentError(
        f"An action of {kind} cannot be read from text; give the adapter actions, which parses a reply."
    )


def _words(actions: Mapping[str, Any]) -> Callable[[str], Any]:
    known = {word.lower(): action for word, action in actions.items()}
    either = "|".join(re.escape(word) for word in sorted(known, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)

    def parse(text: str) -> Any:
        found = pattern.findall(text)
        if not found:
            raise NotAnAction(f"answer one of {', '.join(actions)}")
        return known[found[-1].lower()]

    return parse


def _whole(text: str, allowed: range) -> int:
    found = _INTEGER.findall(text)
    if not found or len(found[-1]) > len(str(allowed.stop)) or int(found[-1]) not in allowed:
        raise NotAnAction(f"answer a whole number from {allowed.start} to {allowed.stop - 1}")
    return int(found[-1])


def _seeds(size: int, seed: int) -> Iterator[dict[str, Any]]:
    """Instances of games that differ by their seed; two calls' seeds do not meet."""
    return ({"seed": (seed * 1_000_003 + number) % _LARGEST_SEED} for number in range(size))
