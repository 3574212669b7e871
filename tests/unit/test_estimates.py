"""Estimates over groups, held against counting by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devkit.verdict.estimates import intervals, pass_at_k, pass_hat_k


@st.composite
def draws(draw):
    results = draw(st.lists(st.booleans(), min_size=1, max_size=9))
    return results, draw(st.integers(1, len(results)))


@given(draws())
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(drawn):
    results, k = drawn
    subsets = list(combinations(results, k))
    expected = sum(any(subset) for subset in subsets) / len(subsets)
    assert pass_at_k(len(results), sum(results), k) == pytest.approx(expected)


@given(draws())
def test_pass_hat_k_is_the_share_of_subsets_that_pass_throughout(drawn):
    results, k = drawn
    subsets = list(combinations(results, k))
    expected = sum(all(subset) for subset in subsets) / len(subsets)
    assert pass_hat_k(len(results), sum(results), k) == pytest.approx(expected)


@given(st.integers(1, 40), st.data())
def test_one_rollout_passes_alike_by_either_measure(played, data):
    passed = data.draw(st.integers(0, played))
    assert pass_at_k(played, passed, 1) == pytest.approx(passed / played)
    assert pass_hat_k(played, passed, 1) == pytest.approx(passed / played)


def test_an_interval_holds_the_mean_and_narrows_with_more_groups():
    def width(groups):
        values = (np.arange(groups) % 4 / 3).reshape(-1, 1)
        low, high = intervals(values, np.ones_like(values), shares=[True])[0]
        assert low < values.mean() < high
        return high - low

    assert width(400) < width(100) / 1.5 < width(25)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    dice = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        # Eight rollouts a group that share its problem's difficulty.
        chances = dice.beta(1, 1, 60)
        totals = dice.binomial(8, chances).astype(float).reshape(-1, 1)
        low, high = intervals(totals, np.full_like(totals, 8), shares=[True], resamples=300)[0]
        covered += low <= 0.5 <= high
    assert 175 <= covered <= 200


def test_all_or_nothing_is_no_certainty():
    none, every = np.zeros((20, 1)), np.ones((20, 1))
    weights = np.ones((20, 1))
    low, high = intervals(none, weights, shares=[True])[0]
    assert (low, high) == (0.0, pytest.approx(0.1684, abs=1e-4))  # Clopper-Pearson, 0 of 20
    low, high = intervals(every, weights, shares=[True])[0]
    assert (low, high) == (pytest.approx(0.8316, abs=1e-4), 1.0)
    assert list(intervals(none, weights, shares=[False])[0]) == [0.0, 0.0]


def test_a_group_that_does_not_count_moves_nothing():
    totals, weights = np.array([[1.0], [1.0], [0.0]]), np.array([[1.0], [1.0], [0.0]])
    alone = intervals(totals[:2], weights[:2], shares=[True])
    assert (intervals(totals, weights, shares=[True]) == alone).all()
    assert np.isnan(intervals(totals[2:], weights[2:], shares=[True])).all()


def test_the_same_seed_draws_the_same_interval():
    values = np.linspace(0, 1, 30).reshape(-1, 1)
    one, same, other = (
        intervals(values, np.ones_like(values), shares=[True], seed=seed) for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert (one != other).any()
