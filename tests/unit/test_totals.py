"""A job's running totals say what its rows say, and never stand in a rollout's way."""

from __future__ import annotations

import logging
import random
from dataclasses import replace

import boto3
import pytest

from rollout.results import Report, Result
from rollout.storage.archive import Archive, rebin
from rollout.storage.totals import Totals, is_flat, width_at
from tests.building import JOB_ARN, REGION, make_rollout, make_settings
from tests.storing import FAILURE, accept, accept_durable, begin

READY = Result(status="ready", rewards=[1.0], turns=2, seconds=1.5, usage={"prompt_tokens": 7})
FAILED = Result(status="failed", rewards=None, failure=FAILURE, seconds=0.5)


def play(store, name, result, group=0, report="delivered"):
    lease = accept(store, trajectory_id=name, instance={"n": group}).lease
    lease.scored(result)
    lease.reported(result, Report(report))
    return lease


def totals(job=JOB_ARN):
    return Archive(make_settings()).job(job)


def test_the_totals_count_what_ended_and_how(store):
    play(store, "a", READY)
    play(store, "b", replace(READY, rewards=[0.25, 0.25]))
    play(store, "c", FAILED)
    play(store, "d", READY, report="refused")
    accept(store, trajectory_id="e")
    known = totals()
    assert (known.rollouts, known.ended, known.failed, known.in_flight) == (5, 4, 2, 1)
    assert (known.rewarded, known.passed, known.mean_reward) == (2, 1, 0.75)
    assert known.reward_spread == pytest.approx(0.25)
    assert (known.turns, known.milliseconds, known.tokens) == (6, 5_000, 21)
    assert known.faults == {"policy": 1, "trainer": 1}


def test_a_write_that_is_repeated_counts_once(store):
    accept_durable(store)
    begin(store)
    lease = store.lease(make_rollout(), 1, report_due_seconds=60)
    for _ in range(3):
        lease.scored(READY)
        lease.reported(READY, Report("delivered"))
    assert (totals().rollouts, totals().ended, totals().rewarded) == (1, 1, 1)


def test_a_rollout_that_is_played_again_is_one_rollout(store):
    play(store, "a", FAILED)
    assert totals().faults == {"policy": 1}
    play(store, "a", READY)
    known = totals()
    assert (known.rollouts, known.ended, known.failed, known.passed) == (1, 1, 0, 1)
    assert (known.faults, known.milliseconds) == ({}, 1_500)


def test_an_acceptance_that_is_withdrawn_is_not_counted(store):
    decision = accept_durable(store)
    store.withdraw(decision.acceptance)
    assert totals().rollouts == 0


def test_groups_without_variance_are_counted_as_they_come_and_go(store):
    dice = random.Random(7)
    rewards = {group: [] for group in range(6)}
    for number in range(60):
        group = dice.randrange(6)
        reward = 0.1 if group < 3 else dice.choice([0.1, 0.1, 0.3])
        rewards[group].append(reward)
        play(store, f"t-{number}", replace(READY, rewards=[reward]), group)
        several = [known for known in rewards.values() if len(known) > 1]
        assert totals().groups == len(several)
        assert totals().flat == sum(len(set(known)) == 1 for known in several)


def test_a_group_of_nothing_but_zeros_is_flat(store):
    for name in "ab":
        play(store, name, replace(READY, rewards=[0.0]))
    assert (totals().groups, totals().flat, totals().mean_reward) == (1, 1, 0.0)


@pytest.mark.parametrize("reward", [1e308, -1e308, 5e-324, 0.1 + 0.2])
def test_any_finite_reward_is_counted_exactly(store, reward):
    for number in range(9):
        play(store, f"t-{number}", replace(READY, rewards=[reward]))
    assert (totals().rewarded, totals().flat, totals().reward_spread) == (9, 1, 0.0)


def test_two_rewards_that_nearly_agree_are_not_flat():
    assert is_flat(2, 2_000_000, 2 * 10**12)
    assert not is_flat(2, 1_999_999, 10**12 + 999_999**2)
    assert not is_flat(1, 5, 25)


def test_a_rollout_goes_on_where_its_totals_cannot_be_written(store, monkeypatch, caplog):
    from botocore.client import BaseClient

    original = BaseClient._make_api_call

    def refuse(self, operation, parameters):
        if operation == "UpdateItem" and parameters["Key"]["sk"]["S"] != "rollout":
            raise self.exceptions.ClientError({"Error": {"Code": "Throttling"}}, operation)
        return original(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    # Powertools keeps what "rollout" is logged to itself, once a test has made its logger.
    ours = logging.getLogger("rollout.storage.totals")
    monkeypatch.setattr(ours, "handlers", [caplog.handler])
    monkeypatch.setattr(ours, "level", logging.WARNING)
    play(store, "a", READY)
    assert store.get(JOB_ARN, "a").state == "ready"
    assert "totals were not written: Unavailable" in caplog.text


def test_totals_expire_as_rows_do(store):
    play(store, "a", READY)
    rows = boto3.client("dynamodb", REGION).scan(TableName="rollouts")["Items"]
    kinds = {row["pk"]["S"].split("#")[0] for row in rows}
    assert kinds == {"jobs", "totals", "groups", "rollout"}
    assert all("expires_at" in row for row in rows)


def test_the_series_of_a_job_of_any_age_has_a_few_hundred_buckets():
    for age in (60, 1_000, 7_000, 80_000, 1_000_000, 60_000_000):
        buckets, at = set(), 0.0
        while at < age:
            width = width_at(at)
            buckets.add((at // width, width))
            at += width
        assert len(buckets) < 1_500
        assert age / width_at(age) > 50


def test_finer_buckets_sum_up_to_the_widest():
    rows = [
        {"start": 119, "width": 1, "ended": 2, "reward_sum": 5, "fault_tool": 1},
        {"start": 110, "width": 10, "ended": 3, "reward_sum": 7, "fault_tool": 2},
        {"start": 120, "width": 10, "ended": 1, "failed": 1},
    ]
    first, second = rebin([Totals.of(row) for row in rows])
    assert (first.start, first.width, first.ended, first.reward_sum) == (110, 10, 5, 12)
    assert first.faults == {"tool": 3}
    assert (second.start, second.ended, second.failed) == (120, 1, 1)
