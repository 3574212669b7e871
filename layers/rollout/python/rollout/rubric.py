"""A reward made of named criteria, of which each is a number to look at and a weight to change.

::

    RUBRIC = Rubric(
        Criterion(kept_procedure, gate=True),
        Criterion(right, weight=0.9),
        Criterion(brief, weight=0.1, clip=True),
    )

    @agent
    def desk(episode: Episode) -> Outcome:
        ...
        return RUBRIC.score(episode, state=orders)

The value of each criterion is a metric of the rollout, ``rubric/NAME``; ``rollout rescore --reweigh``
makes other rewards of those, without playing anything again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rollout.agent import Outcome
from rollout.awaiting import awaited
from rollout.conversation import last
from rollout.episode import Episode, Turn
from rollout.errors import RewardError
from rollout.reply import Message, Reply
from rollout.values import NotJson, number

PREFIX = "rubric/"
# How far rounding may carry a value out of its range.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Trajectory:
    """What a criterion looks at: a rollout that has been played. It cannot sample the policy.

    Args:
        instance: the problem.
        turns: the turns, as the transcript keeps them.
        state: whatever the agent left behind: a database, a document, the log of its effects.
        metrics: the episode's; a criterion may add its own.
        step: ``episode.step``, for what must be done once (a call that costs).
    """

    instance: dict[str, Any]
    turns: list[Turn]
    state: Any
    metrics: dict[str, float]
    step: Callable[..., Any]

    @classmethod
    def of(cls, episode: Episode, state: Any = None) -> Trajectory:
        """What an episode has come to."""
        turns = list(episode.transcript)
        return cls(episode.instance, turns, state, episode.metrics, episode.step)

    @property
    def messages(self) -> list[Message]:
        """The conversation as its last turn left it, the last reply included."""
        asked = last((turn.repeated, turn.messages) for turn in self.turns)
        return [*asked, *(_message(turn) for turn in self.turns[-1:])]

    @property
    def text(self) -> str:
        """What the last reply says, without what the policy thought."""
        return Reply(_message(self.turns[-1]), "", {}, {}).text if self.turns else ""


def _message(turn: Turn) -> Message:
    return turn.reply["choices"][0]["message"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that a rollout is judged by.

    Args:
        function: takes a :class:`Trajectory`; returns a number or a bool. May be ``async def``.
        name: of its metric; the function's name if empty.
        weight: what its value is multiplied with; negative for a penalty.
        low: its least value. One below is the criterion's mistake, a RewardError.
        high: its greatest.
        clip: take a value outside of the range for the nearer end of it, instead.
        gate: a hard no. Its value is 0 or 1 (a bool); where it is 0 the rubric's reward is ``closed``.
        after_gates: do not ask it where a gate is closed: for what costs. It has no metric then.

    Raises:
        RewardError: the weight is not finite, or the range is empty.
    """

    function: Callable[[Trajectory], Any]
    name: str = ""
    weight: float = 1.0
    low: float = 0.0
    high: float = 1.0
    clip: bool = False
    gate: bool = False
    after_gates: bool = False

    def __post_init__(self) -> None:
        name = self.name or getattr(self.function, "__name__", "")
        if not name.isidentifier():
            raise RewardError(f"A criterion has no usable name: {name[:64]!r}; give it name=….")
        object.__setattr__(self, "name", name)
        for what in ("weight", "low", "high"):
            try:
                number(getattr(self, what))
            except NotJson as error:
                raise RewardError(f"Criterion {name!r} has a {what} {error.why}.") from None
        if self.low >= self.high:
            raise RewardError(f"Criterion {name!r} has no range: low must be less than high.")
        if self.gate and (self.after_gates or (self.weight, self.low, self.high) != (1, 0, 1)):
            raise RewardError(f"Criterion {name!r} is a gate: it has no weight, range or gate.")

    @property
    def metric(self) -> str:
        """Name of the metric that holds its value."""
        return PREFIX + self.name

    def value_of(self, trajectory: Trajectory) -> float:
        """Its value for a rollout, checked.

        Raises:
            RewardError: it is no finite number, or out of the range.
        """
        return self.checked(awaited(self.function(trajectory)))

    def checked(self, value: Any) -> float:
        """A value as a number within the range.

        Raises:
            RewardError: naming the criterion.
        """
        try:
            found = number(float(value) if isinstance(value, bool) else value)
        except NotJson as error:
            raise RewardError(f"Criterion {self.name!r} returned a value {error.why}.") from None
        if self.gate and found not in (0.0, 1.0):
            raise RewardError(
                f"Criterion {self.name!r} is a gate and returned {found:g}, not 0 or 1."
            )
        near = min(self.high, max(self.low, found))
        if not self.clip and abs(near - found) > _ROUNDING:
            raise RewardError(
                f"Criterion {self.name!r} returned {found:g}, which is not from {self.low:g} to "
                f"{self.high:g}; give it its range, or clip=True."
            )
        return near


class Rubric:
    """A reward: the weighted sum of its criteria, or ``closed`` where a gate says no.

    Args:
        *criteria: with names of their own.
        closed: the reward behind a closed gate.
        clip: least and greatest reward; a sum outside is taken for the nearer one. None for no limit.

    Raises:
        RewardError: two criteria have one name, none has a weight, or a number is not finite.
    """

    def __init__(
        self,
        *criteria: Criterion,
        closed: float = 0.0,
        clip: tuple[float, float] | None = None,
    ) -> None:
        names = [criterion.name for criterion in criteria]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RewardError(f"A rubric has two criteria named {twice[0]!r}; give one name=….")
        if not any(c.weight for c in criteria if not c.gate):
            raise RewardError("A rubric needs a criterion with a weight: gates alone pay nothing.")
        try:
            number(closed)
            low, high = map(number, clip or (-1.0, 1.0))
        except NotJson as error:
            raise RewardError(f"A rubric has a closed or clip {error.why}.") from None
        if low >= high:
            raise RewardError("A rubric's clip is (least, greatest).")
        self.criteria = criteria
        self.closed = closed
        self.clip = clip

    def score(self, episode: Episode, state: Any = None, *, output: Any = None) -> Outcome:
        """What a rollout is worth: its reward, and each criterion's value as a metric.

        Args:
            episode: as the agent has played it.
            state: given to the criteria beside the transcript.
            output: of the Outcome.

        Raises:
            RewardError: a criterion's value is no number, or out of its range.
        """
        trajectory = Trajectory.of(episode, state)
        values: dict[str, float] = {}
        for criterion in self.criteria:
            if not criterion.after_gates:
                values[criterion.name] = criterion.value_of(trajectory)
        if self._open(values):
            for criterion in self.criteria:
                if criterion.after_gates:
                    values[criterion.name] = criterion.value_of(trajectory)
        metrics = {PREFIX + name: value for name, value in values.items()}
        return Outcome(self.reward(values), metrics, output)

    def reward(self, values: Mapping[str, float]) -> float:
        """The reward that values come to.

        Args:
            values: by the criteria's names; those of ``after_gates`` may be missing behind a closed gate.

        Raises:
            RewardError: one is missing.
        """
        if not self._open(values):
            return float(self.closed)
        total = sum(c.weight * self._value(c, values) for c in self.criteria if not c.gate)
        return min(self.clip[1], max(self.clip[0], total)) if self.clip else total

    def reweighed(self, weights: Mapping[str, float]) -> Rubric:
        """The same rubric with other weights; 0 leaves a criterion out.

        Raises:
            RewardError: there is no such criterion, it is a gate, or no weight is left.
        """
        by_name = {criterion.name: criterion for criterion in self.criteria}
        for name in weights:
            if name not in by_name or by_name[name].gate:
                known = ", ".join(c.name for c in self.criteria if not c.gate)
                raise RewardError(f"{name!r} has no weight in this rubric; {known} have.")
        changed = [
            replace(c, weight=weights[c.name]) if c.name in weights else c for c in self.criteria
        ]
        return Rubric(*changed, closed=self.closed, clip=self.clip)

    def _open(self, values: Mapping[str, float]) -> bool:
        return all(self._value(c, values) for c in self.criteria if c.gate)

    def _value(self, criterion: Criterion, values: Mapping[str, float]) -> float:
        try:
            return values[criterion.name]
        except KeyError:
            raise RewardError(f"Criterion {criterion.name!r} has no value.") from None


def criteria_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """The values of criteria among a rollout's metrics, by the criteria's names."""
    return {
        name.removeprefix(PREFIX): value
        for name, value in metrics.items()
        if name.startswith(PREFIX)
    }
