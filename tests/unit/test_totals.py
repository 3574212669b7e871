"""A job's running totals say what its rows say, and never stand in a rollout's way."""

from __future__ import annotations

import logging
import random
from dataclasses import replace

import boto3
import pytest

from rollout.results import Report, Result
from rollout.storage import keys
from rollout.storage.archive import Archive, rebin
from rollout.storage.totals import is_flat, width_at
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
    store.withdraw(decision)
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
            raise self.exceptions.ClientError({"Error": {"Code": "AccessDenied"}}, operation)
        return original(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    # Powertools keeps what "rollout" is logged to itself, once a test has made its logger.
    ours = logging.getLogger("rollout.storage.totals")
    monkeypatch.setattr(ours, "handlers", [caplog.handler])
    monkeypatch.setattr(ours, "level", logging.WARNING)
    play(store, "a", READY)
    assert store.get(JOB_ARN, "a").state == "ready"
    assert "totals were not written: Unavailable" in caplog.text


def refusing(monkeypatch, code, times, *, after=False):
    """Every addition to a row of totals is answered so, ``times`` of them; what was asked is listed."""
    from botocore.client import BaseClient

    original, asked = BaseClient._make_api_call, []

    def call(self, operation, parameters):
        pk = parameters["Key"]["pk"]["S"] if operation == "UpdateItem" else ""
        if not pk.startswith(("totals#", "groups#")):
            return original(self, operation, parameters)
        asked.append(pk)
        if len(asked) > times:
            return original(self, operation, parameters)
        if after:
            original(self, operation, parameters)
        raise self.exceptions.ClientError({"Error": {"Code": code}}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return asked


def test_a_bucket_that_is_throttled_goes_on_in_another_partition_and_nothing_is_lost(
    store, monkeypatch
):
    play(store, "a", FAILED)
    asked = refusing(monkeypatch, "ProvisionedThroughputExceededException", 2)
    play(store, "b", FAILED)
    assert len(set(asked)) == 3
    assert {pk.rpartition("#")[0] for pk in asked} == {f"totals#{JOB_ARN}"}
    assert (totals().ended, totals().failed) == (2, 2)


def test_a_group_that_is_throttled_is_counted_after_all(store, monkeypatch):
    asked = refusing(monkeypatch, "ThrottlingException", 3)
    play(store, "a", READY)
    assert len(asked) == 5
    play(store, "b", READY)
    assert (totals().rewarded, totals().groups, totals().flat) == (2, 1, 1)


@pytest.mark.parametrize("code", ["InternalServerError", "RequestTimeout"])
def test_an_addition_whose_answer_was_lost_is_not_made_twice(store, monkeypatch, code):
    asked = refusing(monkeypatch, code, 1, after=True)
    play(store, "a", FAILED)
    assert len(asked) == 1
    assert totals().ended == 1


def test_a_rollout_taken_back_leaves_the_moment_it_was_counted_in(store, monkeypatch):
    from rollout.storage import totals as module

    play(store, "a", FAILED)
    later = module.time.time() + 10_000
    monkeypatch.setattr(module, "time", type("Clock", (), {"time": lambda: later}))
    assert accept(store, trajectory_id="a", instance={"n": 0}).lease.attempt == 2
    (bucket,) = Archive(make_settings()).series(JOB_ARN)
    assert (bucket.ended, bucket.failed, bucket.faults) == (0, 0, {})


def test_a_job_is_listed_once_by_each_process(store, monkeypatch):
    from botocore.client import BaseClient

    original, listed = BaseClient._make_api_call, []

    def call(self, operation, parameters):
        if operation == "UpdateItem" and parameters["Key"]["pk"]["S"] == "jobs":
            listed.append(parameters)
        return original(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    for name in "abc":
        play(store, name, READY)
    assert len(listed) == 1
    assert totals().rollouts == 3


def test_groups_are_listed_by_key_whatever_partition_they_are_in(store):
    for number in range(40):
        play(store, f"t-{number}", READY, number)
    archive = Archive(make_settings())
    seen, cursor = [], ""
    while True:
        rows, cursor = archive.groups(JOB_ARN, limit=7, cursor=cursor)
        seen += [row["sk"] for row in rows]
        assert len(rows) == 7 or not cursor
        if not cursor:
            break
    assert seen == sorted(set(seen))
    assert len(seen) == 40
    assert len({row[0] for row in seen}) > 4


def test_what_is_in_flight_is_counted_by_job(store):
    other = JOB_ARN.replace("job/AgentRFT/", "job/AgentRFT/other-")
    for number in range(3):
        accept(store, trajectory_id=f"t-{number}")
    accept(store, trajectory_id="t-0", job_arn=other)
    assert Archive(make_settings()).in_flight() == {JOB_ARN: 3, other: 1}
    assert keys.job_in(keys.rollout("", "t-9")) == "evaluation"


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
    first, second = rebin(rows)
    assert (first.start, first.width, first.ended, first.reward_sum) == (110, 10, 5, 12)
    assert first.faults == {"tool": 3}
    assert (second.start, second.ended, second.failed) == (120, 1, 1)
