"""Steps inside a request; those of a durable execution are held to theirs by the integration tests."""

from __future__ import annotations

import threading

import pytest

from rollout.errors import ReportRefused, ReportUndelivered, Unavailable
from rollout.steps import InlineSteps, Sampled


def refused():
    return ReportRefused("404", operation="UpdateReward", answered=404)


def undelivered(retry_after=0):
    return ReportUndelivered("500", retry_after=retry_after)


def reported(clock, answers, *, retry_seconds, reported_before=False, **how):
    """Report to a trainer that answers in order; the times at which it heard of it."""
    heard = []

    def send():
        heard.append(round(clock.now - 1_000.0, 3))
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    steps = InlineSteps(lambda: None, 1_000.0 + retry_seconds, reported_before=reported_before)
    try:
        steps.report("complete", send, **how)
    except ReportUndelivered:
        heard.append("gave up")
    except ReportRefused:
        heard.append("refused")
    return heard


def written(clock, steps, **how):
    """Write to storage that does not answer; the times at which it was asked."""
    asked = []

    def write():
        asked.append(round(clock.now - 1_000.0, 3))
        raise Unavailable("no")

    with pytest.raises(Unavailable):
        steps.remember("scored", write, **how)
    return asked


def test_the_first_turn_alone_is_announced_and_before_it_is_sampled():
    order = []
    steps = InlineSteps(lambda: order.append("sampling"), 0)
    for index in range(3):
        sampled = steps.turn(index, b"", lambda: order.append("sampled") or b"reply")
        assert sampled.data == b"reply"
    assert order == ["sampling", "sampled", "sampled", "sampled"]
    assert steps.sampling is True


def test_a_turn_that_could_not_be_announced_is_not_sampled_and_is_announced_again():
    tries = []

    def announce():
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError

    steps = InlineSteps(announce, 0)
    assert steps.sampling is False
    with pytest.raises(ConnectionError):
        steps.turn(0, b"", lambda: pytest.fail("sampled a turn nobody knows of"))
    steps.turn(0, b"", lambda: b"")
    assert len(tries) == 2


def test_a_turn_tells_how_long_the_policy_took(clock):
    steps = InlineSteps(lambda: clock.sleep(5), 0)
    assert steps.turn(0, b"", lambda: clock.sleep(2) or b"reply") == Sampled(b"reply", 2.0)


def test_inline_nothing_is_ever_replayed_and_every_effect_is_made_at_once():
    steps = InlineSteps(lambda: None, 0)
    assert steps.replaying() is False
    assert steps.play(lambda: {"turns": 1}) == {"turns": 1}
    assert steps.step("write", lambda: 7, idempotent=False) == 7
    assert steps.remember("scored", lambda: 8) == 8


def test_a_report_that_gets_through_is_sent_once(clock):
    assert reported(clock, [None], retry_seconds=0) == [0]
    assert clock.slept == []


def test_a_report_is_repeated_at_growing_distances_up_to_two_seconds(clock):
    heard = reported(clock, [undelivered() for _ in range(6)] + [None], retry_seconds=60)
    assert heard == [0, 0.2, 0.6, 1.4, 3.0, 5.0, 7.0]
    assert clock.shortest == 0


def test_the_trainers_retry_after_is_kept_where_it_is_longer(clock):
    assert reported(clock, [undelivered(3), undelivered(1), None], retry_seconds=60) == [0, 3, 4]
    clock.now = 1_000.0
    assert reported(clock, [undelivered(None), None], retry_seconds=60) == [0, 0.2]


def test_a_repeat_that_would_come_too_late_is_not_waited_for(clock):
    assert reported(clock, [undelivered(3)], retry_seconds=3) == [0, "gave up"]
    assert clock.slept == []
    assert reported(clock, [undelivered(3), None], retry_seconds=3.001) == [0, 3]


def test_a_final_no_is_not_repeated(clock):
    def refuse():
        raise ReportRefused("409")

    with pytest.raises(ReportRefused):
        InlineSteps(lambda: None, 2_000.0).report("complete", refuse)
    assert clock.slept == []


def test_how_often_each_report_was_sent_is_counted_also_where_it_was_given_up(clock):
    answers = {"complete": [undelivered(), undelivered(), None], "reward": [undelivered()] * 9}

    def send(name):
        answer = answers[name].pop(0)
        if answer is not None:
            raise answer

    steps = InlineSteps(lambda: None, 1_000.0 + 2)
    assert steps.tries == {}
    steps.report("complete", lambda: send("complete"))
    assert steps.tries == {"complete": 3}
    with pytest.raises(ReportUndelivered):
        steps.report("reward", lambda: send("reward"))
    assert steps.tries == {"complete": 3, "reward": 9 - len(answers["reward"])}


# --- a no that is about a repeat, or that comes too early -------------------------------------------


def test_a_trainer_that_lags_behind_its_own_completion_is_asked_again_for_ten_seconds(clock):
    # A no that may be lag is no loss: the last one stands, and is not taken for a repeat's.
    heard = reported(clock, [refused() for _ in range(9)], retry_seconds=60, may_lag=True)
    assert heard == [0, 1, 2, 3, 4.6, 6.6, 8.6, 10.6, "refused"]


def test_a_trainer_that_still_lags_when_time_is_over_has_not_taken_the_report(clock):
    def send():
        raise refused()

    with pytest.raises(ReportUndelivered) as caught:
        InlineSteps(lambda: None, clock.now).report("reward", send, may_lag=True)
    assert (caught.value.retry_after, caught.value.possibly_taken) == (1, False)


def test_a_no_that_cannot_be_lag_stands_at_once(clock):
    assert reported(clock, [refused()], retry_seconds=60) == [0, "refused"]
    other = ReportRefused("400", operation="UpdateReward", answered=400)
    clock.now = 1_000.0
    assert reported(clock, [other], retry_seconds=60, may_lag=True) == [0, "refused"]


def test_a_no_that_comes_when_the_lag_is_over_stands(clock):
    def send():
        clock.sleep(10)
        raise refused()

    with pytest.raises(ReportRefused):
        InlineSteps(lambda: None, 2_000.0).report("reward", send, may_lag=True)
    assert clock.slept == [10]


@pytest.mark.parametrize("taken", [True, False])
def test_a_no_to_the_repeat_of_what_may_have_been_taken_counts_as_taken(clock, taken):
    first = ReportUndelivered("reset", retry_after=0, possibly_taken=taken)
    assert reported(clock, [first, refused()], retry_seconds=60) == (
        [0, 0.2] if taken else [0, 0.2, "refused"]
    )


def test_what_another_process_may_have_reported_counts_as_taken_until_one_is(clock):
    assert reported(clock, [refused()], retry_seconds=60, reported_before=True) == [0]
    steps = InlineSteps(lambda: None, 2_000.0, reported_before=True)
    steps.report("complete", lambda: None)  # so nobody had before

    def refuse():
        raise refused()

    with pytest.raises(ReportRefused):
        steps.report("reward", refuse)


# --- storage ----------------------------------------------------------------------------------------


def test_a_write_is_repeated_for_the_seconds_it_is_given(clock):
    steps = InlineSteps(lambda: None, 1_000.0 + 60)
    assert written(clock, steps, at_most=3.0) == [0, 0.2, 0.6, 1.4]


def test_a_write_is_repeated_until_a_moment_after_the_last_report(clock):
    assert written(clock, InlineSteps(lambda: None, 1_000.0)) == [0, 0.2, 0.6]


def test_a_write_goes_by_its_name():
    name = InlineSteps(lambda: None, 0).remember("scored", lambda: threading.current_thread().name)
    assert "scored" in name
