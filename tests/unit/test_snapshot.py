"""Environments restored from one snapshot are not one environment."""

from __future__ import annotations

import random

import snapshot_restore_py

from rollout.backoff import Backoff
from rollout.service.snapshot import reseed_after_restore


def restored(state):
    """The pauses an environment draws after it was restored, as Lambda's runtime restores it."""
    random.setstate(state)
    for hook, args, named in snapshot_restore_py.get_after_restore():
        hook(*args, **named)
    return [Backoff(first=1.0, longest=10.0).pause(attempt) for attempt in range(1, 6)]


def test_environments_restored_from_one_snapshot_wait_differently():
    snapshot = random.getstate()
    reseed_after_restore()
    assert restored(snapshot) != restored(snapshot)


def test_without_lambdas_runtime_nothing_is_registered(monkeypatch):
    known = len(snapshot_restore_py.get_after_restore())
    monkeypatch.setitem(__import__("sys").modules, "snapshot_restore_py", None)
    reseed_after_restore()
    assert len(snapshot_restore_py.get_after_restore()) == known
