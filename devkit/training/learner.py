"""A user's own policy that learns, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from devkit.policies.plugged import PluggedPolicy
from devkit.raised import Raised
from devkit.training.grpo import Advantage


class PluggedLearner:
    """A user's policy with ``learn`` and ``describe``.

    Args:
        text: ``module:name``.

    Raises:
        ValueError: there is none, it cannot be asked, or it does not learn.
    """

    def __init__(self, text: str) -> None:
        plugged = self._plugged = PluggedPolicy(text)
        for method in ("learn", "describe"):
            if not callable(getattr(plugged.policy, method, None)):
                raise ValueError(f"policy {text!r} has no method {method}: it cannot be trained")
        self.sample = plugged.sample

    @property
    def raised(self) -> Raised:
        """What the policy raised while it sampled."""
        return self._plugged.raised

    def learn(self, advantages: Sequence[Advantage]) -> None:
        """As :meth:`Learner.learn`."""
        self._plugged.policy.learn(advantages)

    def describe(self) -> Mapping[str, float]:
        """As :meth:`Learner.describe`."""
        return self._plugged.policy.describe()
