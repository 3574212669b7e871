"""A few thousand histories keep every promise, and a library that is broken on purpose is found out."""

from __future__ import annotations

import pytest

from tests.simulation import entry
from tests.simulation.broken import VARIANTS, broken
from tests.simulation.campaign import histories
from tests.simulation.history import play
from tests.simulation.invariants import INVARIANTS

COUNT = 2_000


def test_the_promises_hold_in_every_history():
    failing = [found for found in histories(1, COUNT) if found.violations]
    assert failing == [], "python -m tests.simulation --replay SEED tells one"


def test_a_seed_plays_the_same_history_again():
    with entry.simulated():
        first, *_, again = (play(seed, trace=True) for seed in (887, 12, 13, 887))
    assert first.trace == again.trace
    assert len(first.trace) > 10


def test_every_promise_has_a_library_that_breaks_it():
    assert {invariant for invariant, _ in VARIANTS.values()} == set(INVARIANTS)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
def test_a_broken_library_is_found_out(variant):
    invariant, most = VARIANTS[variant]
    assert invariant in INVARIANTS
    with entry.simulated(), broken(variant):
        for seed in range(1, most):
            if invariant in {violated for violated, _, _ in play(seed).violations}:
                return
    raise AssertionError(f"{variant.__doc__} was not found in {most} histories")
