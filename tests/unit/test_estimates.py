"""Estimates over groups, held against counting by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from devkit.verdict.estimates import interval, pass_at_k, pass_hat_k
from devkit.verdict.quantiles import beta_quantile, beta_share, t_quantile


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


def of_shares(values, **changes):
    values = np.asarray(values, dtype=float)
    known = {"low": 0.0, "high": 1.0, "trials": 8.0 * len(values)} | changes
    return interval(values, np.ones_like(values), **known)


def test_an_interval_holds_the_mean_and_narrows_with_more_groups():
    def width(groups):
        values = np.arange(groups) % 4 / 3
        low, high = of_shares(values)
        assert low < values.mean() < high
        return high - low

    assert width(400) < width(100) / 1.5 < width(25)


@pytest.mark.parametrize(("groups", "size", "k"), [(5, 8, 1), (20, 8, 1), (5, 8, 4), (20, 4, 4)])
def test_an_interval_covers_the_truth_as_often_as_it_says(groups, size, k):
    dice = np.random.default_rng(5)
    covered, truth = 0, {1: 0.5, 4: 0.8}[k]
    for _ in range(150):
        # The rollouts of a group share their problem's difficulty, of which any is as likely.
        passed = dice.binomial(size, dice.beta(1, 1, groups))
        values = [pass_at_k(size, int(count), k) for count in passed]
        low, high = of_shares(values, trials=groups * size / k)
        covered += low <= truth <= high
    assert covered >= 138  # 92 % of 150: three standard errors below 95 would be 135


def test_all_or_nothing_is_no_certainty():
    low, high = of_shares(np.zeros(20))
    assert (low, high) == (0.0, pytest.approx(0.1684, abs=1e-4))  # Clopper-Pearson, 0 of 20
    low, high = of_shares(np.ones(20))
    assert (low, high) == (pytest.approx(0.8316, abs=1e-4), 1.0)


def test_groups_that_agree_to_the_last_digit_are_no_certainty():
    low, high = of_shares(np.full(20, 0.5))
    assert 0.4 < low < 0.45 < 0.55 < high < 0.6


def test_a_reward_of_any_range_has_the_interval_of_its_place_in_it():
    values = np.arange(20) % 4 / 3
    low, high = of_shares(values)
    scaled = of_shares(values * 30 - 10, low=-10.0, high=20.0)
    assert scaled == (pytest.approx(low * 30 - 10), pytest.approx(high * 30 - 10))


def test_one_group_tells_nothing_and_none_even_less():
    assert of_shares([0.4]) == (0.0, 1.0)
    assert of_shares([]) is None


def test_a_group_that_does_not_count_moves_nothing():
    totals, weights = np.array([1.0, 0.5, 0.0]), np.array([1.0, 1.0, 0.0])
    bounds = {"low": 0.0, "high": 1.0, "trials": 16.0}
    assert interval(totals, weights, **bounds) == interval(totals[:2], weights[:2], **bounds)
    assert interval(totals[2:], weights[2:], **bounds) is None


@given(st.floats(0.3, 400), st.floats(0.3, 400), st.sampled_from([0.001, 0.025, 0.3, 0.5, 0.975]))
def test_beta_quantiles_are_scipys(a, b, share):
    expected = stats.beta.ppf(share, a, b)
    assert beta_quantile(a, b, share) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert beta_share(a, b, expected) == pytest.approx(stats.beta.cdf(expected, a, b), abs=1e-9)


@given(st.floats(1, 5_000), st.floats(0.55, 0.995))
def test_t_quantiles_are_scipys(freedom, share):
    assert t_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-5)
