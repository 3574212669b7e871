"""What a step of training can learn from a run, and how long until success doubles.

GRPO compares the rollouts of a group: the advantage of a rollout is its reward less the group's mean, in
the group's standard deviations (Shao et al. 2024, DeepSeekMath). The *signal* of a group is the mean of
advantage times score, the slope along which a policy moves towards what scores more; a score is the
reward placed between the run's lowest (0) and highest (1). With rewards of 0 and 1 the signal is the
group's standard deviation: nothing where all rollouts are alike, at most a half.

The forecast is that of one reference policy: a single number by which all problems become easier
together, moved by ``rate`` times the mean signal in each step. docs/calibration.md holds it to simulated
training; how much slower a given model is, nobody knows before its first steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devkit.verdict.estimates import Floats, interval
from devkit.verdict.job import RATE
from devkit.verdict.model import Estimate, GroupSize, Learning
from rollout.rewards import ROUNDING

# Sizes of group that are compared for the advice.
SIZES = (4, 8, 16, 32)

# The signal cannot be more: the standard deviation of numbers from 0 to 1.
_MOST = 0.5
# Distance in units of rate and signal until a success that is rare has doubled: the integral of
# 1/x^2 from x to 2x, times x.
_RARE = 0.5
# Drawn for a problem whose group is not as large as the one that is asked for.
_DRAWS = 32
# Problems that the course of training is followed on, draws of each, groups drawn a point of it.
_FOLLOWED, _KEPT, _GROUPS = 200, 64, 8
_STRIDE, _FAR = 0.25, 14.0
# A reward is an outlier if it is this many times farther off than all others are apart, and is among
# so small a share of them.
_FAR_OFF, _RARELY = 3.0, 0.01


@dataclass(frozen=True, slots=True)
class Scale:
    """Where rewards are placed between 0 and 1.

    Args:
        low: reward that scores 0; what is below does as well.
        high: reward that scores 1.
        outliers: rewards left out of the scale.
    """

    low: float
    high: float
    outliers: int = 0

    def scores(self, rewards: Floats) -> Floats:
        """The scores of rewards."""
        if self.high <= self.low:
            return np.zeros_like(rewards)
        return np.clip((rewards - self.low) / (self.high - self.low), 0.0, 1.0)


def scale_of(rewards: Sequence[float], pass_at: float) -> Scale:
    """The scale of a run's rewards; a few that are far from all others do not stretch it.

    Args:
        rewards: of all rollouts; at least one.
        pass_at: reward that passes; reaching it first is rare success and no outlier.
    """
    known = np.sort(np.asarray(rewards, dtype=float))
    few = range(1, max(1, int(len(known) * _RARELY)) + 1) if len(known) >= 10 else ()
    above = max((n for n in few if _far(known[:-n], known[-n], pass_at)), default=0)
    below = max((n for n in few if _far(known[n:], known[n - 1], pass_at)), default=0)
    kept = known[below : len(known) - above]
    low, high = float(kept[0]), float(kept[-1])
    if above and known[-above] >= pass_at > high:
        high = pass_at
    if high - low <= ROUNDING:
        low, high = min(low, 0.0), max(high, pass_at)
    return Scale(low, high, above + below)


def _far(others: Floats, value: float, pass_at: float) -> bool:
    """Whether a reward is far from the others, from nothing and from a pass."""
    low, high = min(float(others[0]), 0.0, pass_at), max(float(others[-1]), 0.0, pass_at)
    return max(value - high, low - value) > _FAR_OFF * (high - low)


def forecast(
    groups: Sequence[Sequence[float]],
    *,
    batch_size: int,
    group_size: int,
    max_steps: int,
    pass_at: float = 1.0,
    rate: float = RATE,
    seed: int = 0,
) -> Learning | None:
    """What training would learn from a run's rewards.

    Args:
        groups: the rewards of each problem's rollouts; those without a reward left out.
        batch_size: problems of a step.
        group_size: rollouts of each.
        max_steps: steps of the job.
        pass_at: reward that passes.
        rate: of the reference policy.
        seed: of what is drawn, so that the same run gets the same forecast.

    Returns:
        None where no group has two rewards.
    """
    rewards = [np.asarray(group, dtype=float) for group in groups if len(group)]
    if not any(len(group) > 1 for group in rewards):
        return None
    run = _Run(rewards, scale_of(np.concatenate(rewards).tolist(), pass_at), seed)
    signals, differ = run.signals(group_size)
    trials = min(len(rewards), sum(map(len, rewards)) / group_size)
    signal = _estimate(signals, trials, _most(signals, group_size))
    informative = _estimate(differ, trials, 1.0)
    distance, course = run.course(group_size)
    steps = _steps(signal, distance, rate)
    each = batch_size * group_size
    return Learning(
        success=run.success,
        success_aimed_at=run.aim,
        success_after=course(max_steps * rate),
        informative=informative,
        informative_groups_per_step=(informative.value or 0.0) * batch_size,
        signal=signal,
        rate=rate,
        max_steps=max_steps,
        steps=steps,
        rollouts=_times(steps, each),
        group_sizes=[
            _size(run, size, batch_size, distance, rate) for size in sorted({*SIZES, group_size})
        ],
        outliers=run.scale.outliers,
    )


def by_problem(
    groups: Sequence[Sequence[float]], *, group_size: int, pass_at: float = 1.0, seed: int = 0
) -> list[tuple[float, float, float]]:
    """Of each problem the mean score, the chance that a group of it differs, and its expected signal.

    Args:
        groups: the rewards of each problem's rollouts, at least one each.
        group_size: rollouts of a problem in training.
        pass_at: reward that passes.
        seed: of what is drawn.
    """
    rewards = [np.asarray(group, dtype=float) for group in groups]
    run = _Run(rewards, scale_of(np.concatenate(rewards).tolist(), pass_at), seed)
    signals, differ = run.signals(group_size)
    return [
        (float(run.scale.scores(group).mean()), float(chance), float(signal))
        for group, chance, signal in zip(rewards, differ, signals, strict=True)
    ]


def _size(run: _Run, size: int, batch_size: int, distance: float, rate: float) -> GroupSize:
    signals, differ = run.signals(size)
    signal = float(signals.mean())
    steps = max(1.0, distance / (rate * signal)) if signal > 0 else None
    return GroupSize(
        group_size=size,
        informative=float(differ.mean()),
        steps=steps,
        rollouts=steps * batch_size * size if steps is not None else None,
    )


def _most(signals: Floats, group_size: int) -> float:
    """The most a group's signal can be; where success was never seen, that of a single one."""
    return _MOST if signals.any() else math.sqrt(group_size - 1) / group_size


def _estimate(values: Floats, trials: float, most: float) -> Estimate:
    found = interval(values, np.ones_like(values), low=0.0, high=most, trials=trials)
    low, high = found or (0.0, most)
    return Estimate(value=float(values.mean()), low=low, high=high)


def _steps(signal: Estimate, distance: float, rate: float) -> Estimate:
    """Steps from the signal: the more there is, the fewer; null for never."""

    def taken(strength: float | None) -> float | None:
        return max(1.0, distance / (rate * strength)) if strength else None

    return Estimate(value=taken(signal.value), low=taken(signal.high), high=taken(signal.low))


def _times(steps: Estimate, each: int) -> Estimate:
    def times(value: float | None) -> float | None:
        return None if value is None else value * each

    return Estimate(value=times(steps.value), low=times(steps.low), high=times(steps.high))


class _Run:
    """The rewards of a run, and groups of any size drawn from what they show."""

    def __init__(self, groups: list[Floats], scale: Scale, seed: int) -> None:
        self.scale = scale
        self._seed = seed
        self._groups = groups
        self._pool = np.concatenate(groups)
        self._fresh = _fresh([scale.scores(group) for group in groups])
        self._dice = np.random.default_rng(seed)
        places = np.arange(len(groups))
        if len(groups) > _FOLLOWED:
            places = self._dice.choice(places, _FOLLOWED, replace=False)
        self._kept = self._each([groups[place] for place in places], _KEPT, 1)[:, 0]
        self._scores = scale.scores(self._kept)
        self.success = float(np.mean([scale.scores(group).mean() for group in groups]))
        start = float(self._scores.mean())
        ceiling = float(self._scores.max(axis=1).mean())
        self.aim = min(2 * start, (start + ceiling) / 2)

    def signals(self, size: int) -> tuple[Floats, Floats]:
        """For each problem the expected signal of a group, and how likely its rewards differ."""
        signal, differ = self._of_groups(self._each(self._groups, size, _DRAWS))
        return signal.mean(axis=1), differ.mean(axis=1)

    def course(self, size: int) -> tuple[float, _Course]:
        """The distance until success has got where it is aimed at, and the course of success.

        Distance is the sum of steps times rate times the first step's signal.
        """
        gained, spent = [float(self._scores.mean())], [0.0]
        first, before = 0.0, 0.0
        for point in np.arange(0.0, _FAR, _STRIDE):
            signal = self._signal_after(float(point), size)
            if point == 0.0:
                first = signal
            elif before + signal > 0:
                spent.append(spent[-1] + 2 * _STRIDE / (before + signal))
                gained.append(self._mean(float(point)))
            before = signal
            if signal <= 0:
                break
        course = _Course(np.array(spent), np.maximum.accumulate(np.array(gained)))
        if first <= 0 or course.last < self.aim or self.aim <= gained[0]:
            return _RARE, course
        return course.when(self.aim) * first, course

    def _signal_after(self, gain: float, size: int) -> float:
        """The signal once the policy has gained so many log-odds."""
        shares = self._tilted(gain).cumsum(axis=1)
        # The same draws at each point, so that the course is smooth.
        dice = np.random.default_rng(self._seed + 1)
        drawn = dice.random((len(shares), _GROUPS * size))
        places = np.empty(drawn.shape, dtype=np.intp)
        for row, each in enumerate(drawn):
            places[row] = np.searchsorted(shares[row], each)
        np.minimum(places, _KEPT - 1, out=places)
        groups = np.take_along_axis(self._kept, places, axis=1).reshape(len(places), -1, size)
        return float(self._of_groups(groups)[0].mean())

    def _mean(self, gain: float) -> float:
        return float((self._tilted(gain) * self._scores).sum(axis=1).mean())

    def _tilted(self, gain: float) -> Floats:
        weights = np.exp(gain * (self._scores - 1))
        return weights / weights.sum(axis=1, keepdims=True)

    def _of_groups(self, groups: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Signal of each group along the last axis, and whether it differs by more than rounding."""
        span = groups.max(axis=-1) - groups.min(axis=-1)
        differ = span > ROUNDING + 1e-12 * np.abs(groups).max(axis=-1)
        off = groups - groups.mean(axis=-1, keepdims=True)
        deviation = np.where(differ, groups.std(axis=-1), 1.0)
        signal = (off * self.scale.scores(groups)).mean(axis=-1) / deviation
        return np.where(differ, signal, 0.0), differ

    def _each(self, groups: Sequence[Floats], size: int, times: int) -> Floats:
        """Groups of a size for each problem: by problem, time and member."""
        found = np.empty((len(groups), times, size))
        played = np.array([len(group) for group in groups])
        for length in np.unique(played):
            places: list[int] = np.flatnonzero(played == length).tolist()
            found[places] = self._drawn(np.stack([groups[n] for n in places]), size, times)
        return found

    def _drawn(self, own: Floats, size: int, times: int) -> Floats:
        """Groups of a size for problems that were played equally often.

        Where as often as the size, their own rollouts. Where less often, they go on as an urn does: the
        next is like one that was drawn before, or now and then like any rollout of the run; how often
        is what the groups' likeness says. With rewards of 0 and 1 this is the beta-binomial distribution.
        """
        problems, played = own.shape
        many = np.repeat(own[:, None, :], times, axis=1)
        if played > size:
            return self._dice.permuted(many, axis=2)[:, :, :size]
        found = np.empty((problems, times, size))
        found[:, :, :played] = many
        for place in range(played, size):
            fresh = self._dice.random((problems, times)) < self._fresh / (self._fresh + place)
            which = self._dice.integers(0, place, (problems, times, 1))
            again = np.take_along_axis(found, which, axis=2)[:, :, 0]
            drawn = self._dice.choice(self._pool, (problems, times))
            found[:, :, place] = np.where(fresh, drawn, again)
        return found


@dataclass(frozen=True, slots=True)
class _Course:
    """Success over training, in steps times rate."""

    spent: Floats
    gained: Floats

    @property
    def last(self) -> float:
        return float(self.gained[-1])

    def when(self, success: float) -> float:
        return float(np.interp(success, self.gained, self.spent))

    def __call__(self, spent: float) -> float:
        return float(np.interp(spent, self.spent, self.gained))


def _fresh(groups: Sequence[Floats]) -> float:
    """How many rollouts of the whole run one problem's own are worth beside, from their likeness.

    The intraclass correlation r by analysis of variance; the beta-binomial's a + b is (1 - r) / r.
    """
    many = [group for group in groups if len(group) > 1]
    sizes = np.array([len(group) for group in many], dtype=float)
    total = sizes.sum()
    if len(many) < 2:
        return 1.0
    middle = float(np.concatenate(many).mean())
    between = sum(len(g) * (float(g.mean()) - middle) ** 2 for g in many) / (len(many) - 1)
    within = sum(float(((g - g.mean()) ** 2).sum()) for g in many) / (total - len(many))
    usual = (total - float((sizes**2).sum()) / total) / (len(many) - 1)
    spread = between + (usual - 1) * within
    alike = (between - within) / spread if spread > 0 else 0.0
    alike = min(max(alike, 0.001), 0.999)
    return (1 - alike) / alike
