"""The harness of ``rollout.storage.records``: rollouts accepted and begun."""

from __future__ import annotations

from rollout.errors import Failure
from tests.building import JOB_ARN, make_rollout

FAILURE = Failure("sample-failed", "Sampling the policy failed", "policy", "gone")


def accept(store, lease=60.0, **body):
    return store.accept(make_rollout(**body), lease_seconds=lease, entry_point="api")


def accept_durable(store, **body):
    return store.accept_durable(make_rollout(**body), entry_point="job")


def begin(store, attempt=1):
    return store.begin(JOB_ARN, "t-1", attempt)
