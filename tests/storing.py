"""The harness of ``rollout.storage.records``: rollouts accepted and begun."""

from __future__ import annotations

from dataclasses import replace

from rollout.errors import Failure, NotFound
from rollout.storage.records import Acceptance
from tests.building import JOB_ARN, make_rollout

FAILURE = Failure("sample-failed", "Sampling the policy failed", "policy", "gone")


def accept(store, lease=60.0, **body):
    return store.accept(make_rollout(**body), lease_seconds=lease, entry_point="api")


def accept_durable(store, **body):
    return store.accept_durable(make_rollout(**body), entry_point="job")


def begin(store, attempt=None):
    """Take up what was accepted, as its execution or as that of another attempt."""
    try:
        acceptance = Acceptance.of(store.get(JOB_ARN, "t-1"))
    except NotFound:
        acceptance = Acceptance(JOB_ARN, "t-1", 1, "withdrawn")
    return store.begin(replace(acceptance, attempt=attempt or acceptance.attempt))


def lease_of(store, attempt=1):
    """The lease of the execution that plays an attempt."""
    return store.lease(make_rollout(), attempt)
