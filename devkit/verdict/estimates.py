"""Estimates from groups of rollouts, and how far they may be trusted."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from devkit.verdict.quantiles import beta_quantile, t_quantile

Floats = NDArray[np.float64]

LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2
# A share nearer to nought or one than this is one of them but for rounding.
_EDGE = 1e-9


def pass_at_k(played: int, passed: int, k: int) -> float:
    """Chance that at least one of ``k`` rollouts of a problem passes.

    Unbiased for any ``k`` up to the number played: one minus the share of the subsets of size ``k`` that
    hold no pass (Chen et al. 2021, "Evaluating Large Language Models Trained on Code").

    Args:
        played: rollouts of the group.
        passed: of which passed.
        k: 1 to ``played``.
    """
    return 1.0 - math.comb(played - passed, k) / math.comb(played, k)


def pass_hat_k(played: int, passed: int, k: int) -> float:
    """Chance that ``k`` rollouts of a problem all pass, pass^k (Yao et al. 2024, tau-bench).

    Args:
        played: rollouts of the group.
        passed: of which passed.
        k: 1 to ``played``.
    """
    return math.comb(passed, k) / math.comb(played, k)


def interval(
    totals: Floats, weights: Floats, *, low: float, high: float, trials: float
) -> tuple[float, float] | None:
    """The 95 % confidence interval of a mean over groups.

    Rollouts of one problem resemble each other, so a run is worth fewer rollouts than it has. How many
    is what the groups' own spread says; the interval is that of a share of so many independent trials
    (Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data"). docs/calibration.md has the coverage.

    Args:
        totals: what each group adds to the sum.
        weights: what it adds to the count; 0 leaves it out.
        low: the least that a value can be.
        high: the most.
        trials: independent trials the run is worth at most.

    Returns:
        Low and high; all that is possible where only one group counts; None where none does.
    """
    counted = weights > 0
    totals, weights = totals[counted], weights[counted]
    groups = len(totals)
    if not groups:
        return None
    if groups == 1 or high <= low:
        return low, high
    mean = float(totals.sum() / weights.sum())
    share = (mean - low) / (high - low)
    if share <= _EDGE:
        return low, low + (high - low) * (1 - _TAIL ** (1 / min(groups, trials)))
    if share >= 1 - _EDGE:
        return low + (high - low) * _TAIL ** (1 / min(groups, trials)), high
    off = (totals - mean * weights) / weights.mean() / (high - low)
    variance = float((off**2).sum()) / (groups * (groups - 1))
    worth = share * (1 - share) / variance if variance > 0 else math.inf
    normal = NormalDist().inv_cdf(1 - _TAIL)
    worth = min(worth, trials) * (normal / t_quantile(1 - _TAIL, groups - 1)) ** 2
    passed = worth * share
    least = beta_quantile(passed, worth - passed + 1, _TAIL)
    most = beta_quantile(passed + 1, worth - passed, 1 - _TAIL)
    return low + (high - low) * least, low + (high - low) * most
