"""Pauses grow, have jitter, end somewhere, and are never shorter than what the other side asks."""

from __future__ import annotations

import random

import pytest

from rollout.backoff import Backoff


def test_the_longest_pause_grows_to_its_bound(clock):
    pauses = Backoff(first=0.25, longest=3.0)
    assert [pauses.pause(attempt) for attempt in (1, 2, 3, 4, 5, 6)] == [0.25, 0.5, 1, 2, 3, 3]
    assert Backoff(first=0.25, longest=9, factor=4).pause(3) == 4
    assert pauses.pause(1_000_000) == 3.0


def test_what_the_other_side_asks_is_the_least(clock):
    pauses = Backoff(first=1.0, longest=2.0)
    assert pauses.pause(1, 7) == 7
    assert pauses.pause(1, 0) == pauses.pause(1, None) == 1.0


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_pauses_are_spread_between_their_least_and_their_longest(least):
    random.seed(7)
    pauses = Backoff(first=4.0, longest=8.0, least=least)
    found = [pauses.pause(1) for _ in range(200)]
    assert 4 * least <= min(found) < 4 * least + 0.2
    assert 3.8 < max(found) <= 4.0
