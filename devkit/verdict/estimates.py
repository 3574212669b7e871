"""Estimates from groups of rollouts, and how far they may be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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


def intervals(
    totals: Floats,
    weights: Floats,
    *,
    shares: Sequence[bool],
    seed: int = 0,
    resamples: int = 2_000,
    level: float = 0.95,
) -> Floats:
    """Confidence intervals of several means at once, by bootstrap over groups.

    Rollouts of one problem resemble each other, so whole groups are drawn, not rollouts. Where a share
    is 0 in every group, or 1 in every group, a bootstrap claims certainty; there the exact binomial
    bound over the groups is given instead (one group being one trial).

    Args:
        totals: one row a group and one column a statistic: what the group adds to the sum.
        weights: of the same shape: what it adds to the count; 0 leaves the group out.
        shares: for each statistic, whether it lies between 0 and 1 by its nature.
        seed: of the draws, so that the same run gets the same interval.
        resamples: draws.
        level: of confidence.

    Returns:
        One row a statistic: low and high; NaN where no group counts.
    """
    groups, statistics = totals.shape
    if not groups:
        return np.full((statistics, 2), np.nan)
    dice = np.random.default_rng(seed)
    drawn = np.empty((resamples, statistics))
    with np.errstate(invalid="ignore"):
        for row in drawn:
            times = np.bincount(dice.integers(0, groups, groups), minlength=groups)
            row[:] = (times @ totals) / (times @ weights)
    tail = (1 - level) / 2
    found = np.full((statistics, 2), np.nan)
    for column in range(statistics):
        counted = weights[:, column] > 0
        if not counted.any():
            continue
        means = drawn[~np.isnan(drawn[:, column]), column]
        found[column] = np.quantile(means, [tail, 1 - tail])
        if not shares[column]:
            continue
        means = totals[counted, column] / weights[counted, column]
        bound = tail ** (1 / int(counted.sum()))
        if (means == 0).all():
            found[column] = 0.0, 1 - bound
        elif (means == 1).all():
            found[column] = bound, 1.0
    return found
