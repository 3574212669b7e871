from __future__ import annotations

import gzip
import json
import time
from dataclasses import replace

import boto3
import pytest

from rollout.errors import AlreadyRunning, BodyMismatch, NotFound
from rollout.results import Report, Result
from rollout.storage.records import (
    Answer,
    Close,
    Deliver,
    Play,
    Records,
    Start,
    Wait,
)
from tests.building import JOB_ARN, REGION, make_rollout, make_settings
from tests.storing import FAILURE, accept, accept_durable, begin, lease_of

READY = Result(
    status="ready", rewards=[0.5], output={"x": 1}, turns=2, transcript=[{"messages": []}]
)


def test_a_rollout_is_accepted_once(store):
    assert isinstance(accept(store), Play)
    with pytest.raises(AlreadyRunning) as caught:
        accept(store)
    assert 1 <= caught.value.retry_after <= 30


def test_another_body_is_refused(store):
    accept(store)
    with pytest.raises(BodyMismatch):
        accept(store, instance={"question": "other"})


def test_the_result_is_answered_from_the_row_and_kept_in_the_bucket(store):
    lease = accept(store).lease
    lease.sampling()
    lease.scored(READY)
    lease.keep(READY)
    lease.reported(READY, Report("pending"))
    again = accept(store)
    assert isinstance(again, Deliver)
    assert again.record.result() == replace(READY, transcript=[])
    again.lease.reported(READY, Report("delivered"))
    answer = accept(store)
    assert isinstance(answer, Answer)
    assert answer.record.result() == replace(READY, transcript=[])
    key = answer.record.row["content"]
    body = boto3.client("s3", REGION).get_object(Bucket="trajectories", Key=key)["Body"].read()
    document = json.loads(gzip.decompress(body))
    assert document["result"]["reward"] == 0.5
    assert document["turns"] == [{"messages": []}]


def test_one_at_a_time_reports_a_result(store):
    lease = accept(store).lease
    lease.sampling()
    lease.scored(READY)
    with pytest.raises(AlreadyRunning):  # whoever scored it is reporting it
        accept(store)
    lease.reported(READY, Report("pending"))  # and has given up
    assert isinstance(accept(store), Deliver)
    with pytest.raises(AlreadyRunning):  # it is the next one's now
        accept(store)


def test_nothing_but_numbers_is_kept_where_privacy_asks_for_it(store):
    private = Records(make_settings(record_content="numbers"))
    lease = private.accept(make_rollout(), lease_seconds=60, entry_point="api").lease
    lease.scored(READY)
    lease.keep(READY)
    row = private.get(JOB_ARN, "t-1").row
    assert "output" not in row
    assert "content" not in row
    assert "Contents" not in boto3.client("s3", REGION).list_objects_v2(Bucket="trajectories")


def test_a_failure_before_any_turn_is_played_again_and_one_after_is_not(store):
    lease = accept(store).lease
    failed = Result(status="failed", rewards=None, failure=FAILURE)
    lease.scored(failed)
    lease.reported(failed, Report("delivered"))
    again = accept(store)
    assert isinstance(again, Play)
    assert again.lease.attempt == 2
    touched = replace(failed, possibly_captured=1)
    again.lease.scored(touched)
    again.lease.reported(touched, Report("delivered"))
    answer = accept(store)
    assert isinstance(answer, Answer)
    assert answer.record.result().failure == FAILURE


def test_a_dead_rollout_is_played_again_only_if_it_had_not_begun_to_sample(store):
    accept(store, lease=-31, trajectory_id="untouched")
    assert isinstance(accept(store, trajectory_id="untouched"), Play)
    accept(store, lease=-31, trajectory_id="sampling").lease.sampling()
    decision = accept(store, trajectory_id="sampling")
    assert isinstance(decision, Close)
    assert decision.lease.attempt == 2


def test_a_process_believed_dead_cannot_write_any_more(store):
    zombie = accept(store, lease=-31).lease
    accept(store)
    with pytest.raises(AlreadyRunning):
        zombie.sampling()
    with pytest.raises(AlreadyRunning):
        zombie.scored(READY)


def test_a_refused_report_makes_the_rollout_failed(store):
    lease = accept(store).lease
    lease.scored(READY)
    lease.reported(READY, Report("refused", "409"))
    record = store.get(JOB_ARN, "t-1")
    assert record.state == "failed"
    assert record.row["boundary"] == "trainer"


def test_open_rollouts_are_indexed_and_ended_ones_are_not(store):
    lease = accept(store).lease
    assert _open(store) == 1
    lease.scored(READY)
    assert _open(store) == 1
    lease.reported(READY, Report("delivered"))
    assert _open(store) == 0


def test_an_unknown_rollout(store):
    with pytest.raises(NotFound):
        store.get(JOB_ARN, "never")


def test_the_row_expires(store):
    accept(store)
    expires = store.get(JOB_ARN, "t-1").row["expires_at"]
    assert expires == pytest.approx(time.time() + 30 * 86_400, abs=60)


def _open(store) -> int:
    rows = boto3.client("dynamodb", REGION).scan(TableName="rollouts", IndexName="open")["Items"]
    return len(rows)


# --- durable rollouts -------------------------------------------------------------------------------


def test_a_durable_rollout_is_accepted_begun_and_begun_again_by_the_same_execution(store):
    decision = accept_durable(store)
    assert isinstance(decision, Start)
    assert decision.acceptance.attempt == 1
    first = begin(store)
    assert first["request"]["instance"] == make_rollout().request.instance
    assert abs(first["accepted"] - time.time()) < 5
    assert begin(store) == first
    assert begin(store, attempt=2) is None
    assert store.get(JOB_ARN, "t-1").state == "running"
    assert accept_durable(store) == Wait(decision.acceptance)


def test_an_acceptance_is_withdrawn_unless_somebody_has_joined(store):
    first = accept_durable(store)
    store.withdraw(first)
    with pytest.raises(NotFound):
        store.get(JOB_ARN, "t-1")
    first = accept_durable(store)
    again = accept_durable(store)  # a repeat that may have started it
    assert again == Start(first.acceptance, again.caller, repeated=True)
    assert again.caller != first.caller
    store.withdraw(first)
    assert store.get(JOB_ARN, "t-1").state == "accepted"


def test_what_was_withdrawn_or_closed_is_not_begun(store):
    withdrawn = accept_durable(store)
    store.withdraw(withdrawn)
    assert begin(store) is None
    accept_durable(store)
    taken = store.take(store.get(JOB_ARN, "t-1"))
    assert isinstance(taken, Close)
    assert taken.lease.attempt == 2
    assert begin(store, attempt=1) is None
    taken.lease.scored(replace(READY, status="failed", rewards=None))
    assert begin(store, attempt=2) is None


def test_a_write_that_is_repeated_after_a_crash_changes_nothing(store):
    accept_durable(store)
    lease = lease_of(store)
    begin(store)
    for _ in range(2):
        lease.sampling()
        lease.scored(READY)
    for _ in range(2):
        lease.reported(READY, Report("delivered"))
    lease.scored(READY)
    row = store.get(JOB_ARN, "t-1")
    assert (row.state, row.result().rewards) == ("ready", [0.5])
    assert "request" not in row.row


def test_whoever_was_taken_from_cannot_write_any_more(store):
    accept_durable(store)
    lease = lease_of(store)
    begin(store)
    store.take(store.get(JOB_ARN, "t-1"))
    for write in (lease.sampling, lambda: lease.scored(READY)):
        with pytest.raises(AlreadyRunning):
            write()


def test_a_rollout_that_failed_before_any_turn_gets_another_attempt(store):
    accept_durable(store)
    lease = lease_of(store)
    begin(store)
    failed = replace(READY, status="failed", rewards=None, turns=0)
    lease.scored(failed)
    lease.reported(failed, Report("delivered"))
    again = accept_durable(store)
    assert isinstance(again, Start)
    assert again.acceptance.attempt == 2
    assert begin(store, attempt=2) is not None


def test_open_rollouts_are_counted_and_claimed_once(store):
    accept_durable(store)
    assert store.count_open() == 1
    (record,) = store.due(time.time() + 1_000, 10)
    assert list(store.due(time.time(), 10)) == []
    assert store.claim(record, 300)
    assert not store.claim(record, 300)


def test_an_execution_that_gave_up_its_report_leaves_it_to_the_sweep_at_once(store):
    accept_durable(store)
    begin(store)
    lease = store.lease(make_rollout(), 1, report_due_seconds=14_400)
    lease.scored(READY)
    assert list(store.due(time.time() + 120, 10)) == []  # the execution is at it
    lease.reported(READY, Report("pending", "the trainer is out"))
    (record,) = store.due(time.time() + 120, 10)
    assert record.state == "scored"
