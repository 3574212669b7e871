"""The agent of every history: what it does stands in its instance, and some of it is bad manners."""

from __future__ import annotations

import asyncio
import sys
import time
from decimal import Decimal
from threading import Thread
from typing import Any

from rollout import Episode, Outcome, agent
from rollout.errors import RolloutError
from tests.simulation.world import current, here

# What an agent may do, and whether it earns its reward when nothing goes wrong.
KINDS = {
    "plain": True,
    "slow": True,
    "late": False,
    "per-turn": True,
    "catches": True,
    "stubborn": True,
    "finally": True,
    "step": True,
    "raises": False,
    "exits": False,
    "interrupts": False,
    "cancels": False,
    "decimal": True,
    "null-metrics": False,
    "odd-float": False,
    "overflows": False,
    "leaves-thread": True,
    "gives-up": False,
    "once": True,
}


class OddFloat(float):
    """A number that cannot be read."""

    def __float__(self) -> float:
        raise LookupError("no number")


def _computed(episode: Episode, rewards: list[float]) -> None:
    """Tell the checker that this reward is known in a process that lives."""
    if episode.turns == 0 or rewards == [-1.0]:
        return  # a rollout that never sampled has none
    current().note(f"computed {rewards} of {episode.trajectory_id}")
    current().computed.append((episode.trajectory_id, rewards, here().process, current().now))


def _talk(episode: Episode, pause: float = 0.0, *, catch: type[BaseException] | None = None) -> int:
    """Sample every turn of the instance; the turns that were answered."""
    canary, turns = episode.instance["canary"], episode.instance["turns"]
    messages: list[dict[str, Any]] = []
    answered = 0
    for turn in range(turns):
        messages.append({"role": "user", "content": f"{canary} asks {turn}"})
        try:
            reply = episode.sample(messages)
        except BaseException as error:
            if catch is None or not isinstance(error, catch):
                raise
            if not isinstance(error, RolloutError):
                return -1  # no failure of a turn: what comes of swallowing it must not be a reward
            break
        answered += 1
        if canary not in reply.text:
            current().found("crossed", episode.trajectory_id, "a reply of another rollout")
        messages.append(reply.message)
        if pause:
            time.sleep(pause)
    return answered


def _play(episode: Episode) -> Any:
    kind, turns = episode.instance["kind"], episode.instance["turns"]
    reward: Any = float(turns)
    if kind == "late":
        _talk(episode)
        time.sleep(3_000)
    elif kind == "slow":
        _talk(episode, 4.0)
    elif kind == "per-turn":
        _talk(episode)
        reward = [1.0] * turns
    elif kind == "catches":  # scores what was reached
        reward = float(_talk(episode, catch=Exception))
    elif kind == "stubborn":
        reward = float(_talk(episode, catch=BaseException))
    elif kind == "finally":
        return _in_a_finally(episode)
    elif kind == "step":
        value = episode.step("look", lambda: {"canary": episode.instance["canary"]})
        _talk(episode)
        if value["canary"] != episode.instance["canary"]:
            current().found("crossed", episode.trajectory_id, "a step's value of another rollout")
    elif kind == "gives-up":  # on a thread that samples its first turn
        Thread(target=_quietly, args=(episode, 0.0), name="given-up", daemon=True).start()
        time.sleep(0.001)
        raise ValueError("an agent's own")
    elif kind == "leaves-thread":
        thread = Thread(target=_quietly, args=(episode,), name="left", daemon=True)
        _talk(episode)
        thread.start()
    else:
        _talk(episode)
        _misbehave(episode, kind)
    rewards = reward if isinstance(reward, list) else [reward]
    if kind == "overflows":
        rewards = [1e308] * turns
        if turns == 1:
            _computed(episode, rewards)
        return rewards
    _computed(episode, rewards)
    if kind == "decimal":
        episode.metrics["share"] = Decimal("0.5")  # type: ignore[assignment]
        return Outcome(reward, {"other": Decimal(1)})  # type: ignore[dict-item]
    if kind == "null-metrics":
        return Outcome(reward, None)  # type: ignore[arg-type]
    if kind == "odd-float":
        return OddFloat(reward)
    return reward


def _in_a_finally(episode: Episode) -> float:
    """An agent whose ``return`` in a ``finally`` swallows whatever was raised."""
    answered = 0
    try:
        answered = _talk(episode)
    finally:
        if isinstance(sys.exception(), RolloutError | None):
            _computed(episode, [float(answered)])
        return float(answered)  # noqa: B012 - what this agent is about


def _misbehave(episode: Episode, kind: str) -> None:
    del episode
    if kind == "raises":
        raise ValueError("an agent's own")
    if kind == "exits":
        raise SystemExit(1)
    if kind == "interrupts":
        raise KeyboardInterrupt
    if kind == "cancels":
        raise asyncio.CancelledError


def _quietly(episode: Episode, pause: float = 1.0) -> None:
    time.sleep(pause)
    try:
        episode.sample([{"role": "user", "content": f"{episode.instance['canary']} asks left"}])
    except Exception:  # noqa: BLE001 - a thread nobody waits for
        current().note("the left thread was refused")


@agent
def play(episode: Episode) -> Any:
    """Do what the instance says."""
    return _play(episode)


@agent(replay=False)
def once(episode: Episode) -> Any:
    """As :func:`play`, as one step."""
    return _play(episode)
