"""Environments of SkyRL-Gym as agents, on the rows of its datasets.

A row has ``prompt``, a list of messages, and what the environment wants besides (``reward_spec``,
``extra_info`` …); it is the instance as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from rollout.adapters.gymnasium import Rewards, game
from rollout.adapters.packages import needed
from rollout.errors import AgentError


def skyrl_gym(
    name: str | None = None,
    *,
    config: Any = None,
    max_turns: int | None = None,
    rewards: Rewards = "sum",
    replay: bool = True,
    **params: Any,
) -> Callable[[Any], Any]:
    """An agent that plays an environment of SkyRL-Gym's.

    Args:
        name: as SkyRL-Gym registers it; the row's ``env_class`` by default.
        config: ``env_config`` of the environment.
        max_turns: of a game; the row's ``max_turns`` or the environment's own by default.
        rewards: ``sum`` of the turns' rewards, the ``last``, or one for each of the ``turns``.
        replay: False for an environment that does not go by its actions alone.
        **params: of every Sample, such as ``stop=["</sql>"]``.
    """

    def make(instance: Mapping[str, Any]) -> SkyRLGame:
        kind, prompt = name or instance.get("env_class"), instance.get("prompt")
        if not isinstance(prompt, list) or not kind:
            raise AgentError(
                "The instance is no row of SkyRL's: it needs prompt, a list of messages, and env_class "
                "where the agent names no environment."
            )
        extras = {
            key: value for key, value in instance.items() if key not in ("prompt", "env_class")
        }
        if max_turns is not None:
            extras["max_turns"] = max_turns
        library = needed("skyrl_gym", "skyrl-gym")
        made = library.make(kind, env_config={} if config is None else config, extras=extras)
        return SkyRLGame(made, cast("list[Any]", prompt))

    return game(make, actions=str, rewards=rewards, replay=replay, **params)


class SkyRLGame:
    """An environment of SkyRL-Gym's behind Gymnasium's interface.

    Args:
        made: the environment.
        prompt: the row's messages.
    """

    def __init__(self, made: Any, prompt: list[Any]) -> None:
        self._made = made
        self._prompt = prompt

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[list[Any], dict[str, Any]]:
        """The messages to begin with; the environment has no seed."""
        del seed, options
        messages, info = self._made.init(list(self._prompt))
        return list(messages), dict(info)

    def step(self, action: str) -> tuple[list[Any], float, bool, bool, dict[str, Any]]:
        """One reply of the policy's."""
        done = self._made.step(action)
        ended = bool(done["done"])
        info = {"said": done.get("postprocessed_action")}
        if ended:
            measured: Mapping[str, Any] = self._made.get_metrics()
            info["metrics"] = {
                key: float(value)
                for key, value in measured.items()
                if isinstance(value, (bool, int, float))
            }
        return list(done["observations"]), float(done["reward"]), ended, False, info

    def close(self) -> None:
        """Close the environment."""
        self._made.close()
