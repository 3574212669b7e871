"""What a run leaves behind: its result, the words of its errors, and what a replay may and may not."""

from __future__ import annotations

import json
import math
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rollout.agent import Agent, Outcome
from rollout.contract import InferenceParams
from rollout.errors import (
    Abandoned,
    ContractViolation,
    OutOfTime,
    ReportRefused,
    ReportUndelivered,
    SampleFailed,
    Unavailable,
)
from rollout.results import Result, abandoned
from rollout.run import deliver, run
from rollout.steps import InlineSteps, Sampled
from tests.building import ScriptedPolicy, completion, make_rollout, make_settings

QUESTION = [{"role": "user", "content": "hi"}]
AGAIN = [*QUESTION, {"role": "user", "content": "again"}]


class NamedSteps(InlineSteps):
    """Makes every effect at once, and remembers what each was called."""

    def __init__(self):
        super().__init__(lambda: None, 0.0)
        self.names = []

    def remember(self, name, write, **limits):
        self.names.append(name)
        return super().remember(name, write, **limits)

    def report(self, name, send, **limits):
        self.names.append(name)
        super().report(name, send, **limits)


class StrainedSteps(InlineSteps):
    """Storage does not answer for the writes of some names; each is noted with the seconds it is given."""

    def __init__(self, *unanswered):
        super().__init__(lambda: None, 0.0)
        self._unanswered = unanswered
        self.asked = []
        self.later = {}

    def remember(self, name, write, *, at_most=math.inf):
        self.asked.append((name, at_most))
        if name in self._unanswered:
            raise Unavailable("The table does not answer.")
        return write()

    def remember_later(self, name, write):
        self.later[name] = write


class ReplayedSteps(InlineSteps):
    """Has some turns on record and tells them again before it samples."""

    def __init__(self, *recorded):
        super().__init__(lambda: None, 0.0)
        self._recorded = list(recorded)

    def replaying(self):
        return bool(self._recorded)

    def turn(self, index, request, sample):
        return self._recorded.pop(0) if self._recorded else super().turn(index, request, sample)


class AbandonedSteps(InlineSteps):
    def __init__(self, error):
        super().__init__(lambda: None, 0.0)
        self._error = error

    def play(self, body):
        raise self._error


class Trainer:
    """Trainer and ledger at once: everything that was said, in order."""

    def __init__(self, refusal=None):
        self.said = []
        self._refusal = refusal

    def complete(self, status):
        self.said.append(status)
        if self._refusal:
            raise self._refusal

    def reward(self, rewards):
        self.said.append(rewards)
        if self._refusal:
            raise self._refusal

    def scored(self, result):
        self.said.append(("scored", result))

    def keep(self, result):
        pass

    def reported(self, result, report):
        self.said.append(("reported", result, report.delivery, report.detail))


class Witness(Trainer):
    """Remembers what storage was asked as well, where ``Trainer`` hears of the row alone."""

    def note(self, result):
        self.said.append(("noted", result))

    def keep(self, result):
        self.said.append(("trajectory", result))

    def kept(self):
        self.said.append("kept")


def played(
    function,
    *lines,
    steps=None,
    trainer=None,
    rollout=None,
    policy=None,
    deadline=None,
    **overrides,
):
    """Play an agent; its result, its report and what was said to trainer and ledger."""
    settings = make_settings(**overrides)
    trainer = trainer or Trainer()
    result, report = run(
        rollout or make_rollout(settings),
        agent=Agent("environments.mine:run", function),
        policy=policy or ScriptedPolicy(*lines),
        steps=steps or InlineSteps(lambda: None, 0.0),
        feedback=trainer,
        ledger=trainer,
        limits=settings.limits,
        deadline=time.time() + 5 if deadline is None else deadline,
    )
    return result, report, trainer.said


def ask(episode, messages=QUESTION):
    return float(episode.sample(messages).text)


def recorded(content="1"):
    reply = f'{{"choices": [{{"message": {{"role": "assistant", "content": "{content}"}}}}]}}'
    return Sampled(reply.encode(), 0.0)


# --- the result -------------------------------------------------------------------------------------


def test_a_result_holds_all_that_was_played(clock):
    def agent(episode):
        episode.metrics["mine"] = 2.0
        ask(episode)
        clock.sleep(1.23456)
        return Outcome(ask(episode, AGAIN), {"theirs": 3}, {"seen": [1]})

    result, report, said = played(agent, completion("0"), completion("0.5"))
    assert (result.status, result.rewards, result.failure) == ("ready", [0.5], None)
    assert result.metrics == {"mine": 2.0, "theirs": 3.0}
    assert result.output == {"seen": [1]}
    assert (result.turns, result.possibly_captured, result.seconds) == (2, 0, 1.235)
    assert result.usage == {"prompt_tokens": 20, "completion_tokens": 10}
    assert [turn["messages"] for turn in result.transcript] == [QUESTION, AGAIN[1:]]
    assert said == [
        ("scored", result),
        "ready",
        [0.5],
        ("reported", result, "delivered", ""),
    ]
    assert report.delivery == "delivered"


def test_the_caller_is_answered_with_the_result_and_no_transcript():
    ready = Result("ready", [0.5, 1.0], {"m": 1.0}, {"seen": 1}, None, turns=2)
    assert ready.answer("t-1") == {
        "trajectory_id": "t-1",
        "status": "ready",
        "reward": 1.5,
        "rewards": [0.5, 1.0],
        "turns": 2,
        "metrics": {"m": 1.0},
        "output": {"seen": 1},
    }
    failed = Result("failed", None, failure=OutOfTime("over").failure())
    assert failed.answer("t-2")["error"] == {
        "type": "urn:rollout:problem:out-of-time",
        "slug": "out-of-time",
        "title": "The rollout ran out of time",
        "boundary": "deadline",
        "detail": "over",
    }
    assert failed.answer("t-2")["reward"] is None


def test_an_agent_sees_the_problem_and_the_policy_the_model():
    rollout = make_rollout(instance={"question": "1+1?"})
    rollout.request.model_name = "my-model"
    policy = ScriptedPolicy(completion("1"))
    seen = []

    def agent(episode):
        seen.append(episode.instance)
        return ask(episode)

    settings, trainer = make_settings(), Trainer()
    run(
        rollout,
        agent=Agent("environments.mine:run", agent),
        policy=policy,
        steps=InlineSteps(lambda: None, 0.0),
        feedback=None,
        ledger=trainer,
        limits=settings.limits,
        deadline=time.time() + 5,
    )
    assert seen == [{"question": "1+1?"}]
    assert policy.requests == [{"messages": QUESTION, "model": "my-model"}]
    # An evaluation has nobody to report to; only the ledger hears of it.
    assert [what[0] for what in trainer.said] == ["scored", "reported"]


def test_a_hosted_endpoint_is_asked_for_no_model_by_name():
    rollout = make_rollout()
    rollout = replace(rollout, destination=replace(rollout.destination, model_endpoint="hosted"))
    policy = ScriptedPolicy(completion("1"))
    played(ask, rollout=rollout, policy=policy)
    assert policy.requests == [{"messages": QUESTION}]


@pytest.mark.parametrize(("shape", "sent"), [("last-turn", [0.0, 7.0]), ("every-turn", [3.5, 3.5])])
def test_a_reward_and_a_floor_are_shaped_over_the_turns_that_were_played(shape, sent):
    def score(episode):
        ask(episode)
        ask(episode, AGAIN)
        return 7

    def fail(episode):
        score(episode)
        raise RuntimeError

    lines = [completion("1"), completion("1")]
    assert played(score, *lines, reward_shape=shape)[0].rewards == sent
    floored = played(fail, *lines, reward_shape=shape, failure_policy="agent=floor:7")[0]
    assert floored.rewards == sent


def test_a_rollout_keeps_its_identity_from_one_deployment_to_the_next():
    # Records hold these: another hash for the same request would answer a repeat with a conflict.
    rollout = make_rollout(instance={"b": [1, 2.5], "a": "ä"})
    assert rollout.group == "5365cd93aa9a9f3e"
    assert rollout.fingerprint == "04ea5331d7b1973cf608ec90726d5fe8dde530d0e9beb55fbd2f9808c07f0dff"


def test_the_part_of_a_request_that_is_out_of_range_is_named():
    with pytest.raises(ContractViolation) as caught:
        make_rollout(instance={"x": float("inf")})
    assert "instance" in caught.value.detail
    rollout = make_rollout()
    rollout.request.inference_params = InferenceParams(temperature=float("inf"))
    with pytest.raises(ContractViolation) as caught:
        type(rollout).of(rollout.request, rollout.destination)
    assert "request" in caught.value.detail
    assert "instance" not in caught.value.detail


# --- what the user reads ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "slug", "named"),
    [
        (lambda e: 1.0, "never-sampled", ["episode.sample", "episode.converse"]),
        (lambda e: ask(e) and "good", "bad-reward", ["str", "float"]),
        (lambda e: ask(e) and [1.0, 2.0], "bad-reward", ["2 rewards", "1 turns"]),
        (
            lambda e: ask(e) and Outcome(1, output={"cells": [1, b"\xff"]}),
            "agent-error",
            ["output", "JSON", "$.cells[1]", "base64"],
        ),
        (lambda e: ask(e) and Outcome(1, output=float("nan")), "agent-error", ["output", "nan"]),
        (lambda e: ask(e) and Outcome(1, output="\ud800"), "agent-error", ["output", "surrogate"]),
    ],
)
def test_an_agent_that_answers_wrongly_is_told_what_to_return(function, slug, named):
    failure = played(function, completion("1"))[0].failure
    assert (failure.boundary, failure.slug) == ("agent", slug)
    assert [name for name in ["environments.mine:run", *named] if name not in failure.detail] == []


def test_an_agent_that_raises_is_shown_the_innermost_line():
    def deeper():
        raise LookupError("secret")

    def agent(episode):
        return deeper()

    failure = played(agent)[0].failure
    line = f"{Path(__file__).name}:{deeper.__code__.co_firstlineno + 1}"
    assert failure.slug == "agent-raised"
    assert f"environments.mine:run raised LookupError at {line}." in failure.detail


def test_an_agent_that_is_late_is_out_of_time_and_gets_no_more():
    def slow(episode):
        time.sleep(0.2)
        return 1.0

    failure = played(slow, deadline=time.time() - 10)[0].failure
    assert (failure.boundary, failure.slug) == ("deadline", "out-of-time")


def test_an_agent_that_hangs_does_not_hold_the_process():
    def agent(episode):
        thread = threading.current_thread()
        return Outcome(ask(episode), output=[thread.name, thread.daemon])

    assert played(agent, completion("1"))[0].output == ["agent", True]


def wrapped_as_cause(episode):
    try:
        ask(episode)
    except SampleFailed as error:
        raise ValueError from error


def wrapped_as_context(episode):
    try:
        ask(episode)
    except SampleFailed:
        raise ValueError  # noqa: B904 - frameworks do this


def wrapped_in_a_group_in_a_cause(episode):
    try:
        ask(episode)
    except SampleFailed as error:
        raise ValueError from ExceptionGroup("tasks", [KeyError(), error])


def wrapped_as_the_cause_of_a_group(episode):
    try:
        ask(episode)
    except SampleFailed as error:
        raise ExceptionGroup("tasks", [KeyError()]) from error


def wrapped_in_a_circle(episode):
    try:
        ask(episode)
    except SampleFailed as error:
        first, second = ValueError(), KeyError()
        first.__cause__, second.__cause__ = second, first
        second.__context__ = error
        raise first  # noqa: B904 - its cause is set


@pytest.mark.parametrize(
    "function",
    [
        wrapped_as_cause,
        wrapped_as_context,
        wrapped_in_a_group_in_a_cause,
        wrapped_as_the_cause_of_a_group,
        wrapped_in_a_circle,
    ],
)
def test_a_failure_that_a_framework_wrapped_keeps_its_boundary(function):
    result = played(function, SampleFailed("gone", captured="unknown"))[0]
    assert (result.failure.boundary, result.failure.detail) == ("policy", "gone")
    assert result.possibly_captured == 1


def test_an_agents_exceptions_in_a_circle_are_still_the_agents():
    def agent(episode):
        first, second = ValueError(), KeyError()
        first.__cause__, second.__cause__ = second, first
        raise first

    assert played(agent)[0].failure.slug == "agent-raised"


# --- the report -------------------------------------------------------------------------------------


def test_the_effects_of_a_rollout_are_told_apart_by_name():
    # A durable execution finds its records by these, also across a deployment.
    steps = NamedSteps()
    played(ask, completion("1"), steps=steps)
    assert steps.names == ["scored", "complete", "reward", "trajectory", "reported"]


@pytest.mark.parametrize(
    ("refusal", "delivery", "detail"),
    [
        (ReportRefused("409 it is sealed"), "refused", "409 it is sealed"),
        (ReportUndelivered("500", retry_after=0), "pending", "500"),
    ],
)
def test_why_a_report_was_not_delivered_is_remembered(refusal, delivery, detail):
    result, returned, said = played(ask, completion("1"), trainer=Trainer(refusal))
    assert (returned.delivery, returned.detail) == (delivery, detail)
    assert said[-1] == ("reported", result, delivery, detail)


def test_a_delivered_result_is_remembered_by_name():
    steps, trainer = NamedSteps(), Trainer()
    result = Result("ready", [1.0], turns=1)
    report = deliver(result, steps=steps, feedback=trainer, ledger=trainer)
    assert steps.names == ["complete", "reward", "reported"]
    assert trainer.said == ["ready", [1.0], ("reported", result, "delivered", "")]
    assert report.delivery == "delivered"


# --- storage that does not answer -------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "given"), [(20.0, 17.0), (4.0, 3.0)])
def test_a_table_that_does_not_answer_holds_the_report_up_for_seconds(clock, seconds, given):
    # The row is tried first, then the bucket in what is left but for those seconds; and the row once
    # more when the trainer has the report.
    steps, clock.now = StrainedSteps("scored"), time.time()
    result, report, said = played(
        ask, completion("1"), steps=steps, trainer=Witness(), deadline=clock.now + seconds
    )
    assert steps.asked == [
        ("scored", 3.0),
        ("noted", given),
        ("trajectory", 5.0),
        ("scored late", math.inf),
        ("reported", math.inf),
    ]
    assert said == [
        ("noted", result),
        "ready",
        [1.0],
        ("trajectory", result),
        ("scored", result),
        ("reported", result, "delivered", ""),
    ]
    assert (report.kept, steps.later) == (True, {})


def test_what_storage_did_not_take_in_time_is_written_when_all_else_is_done():
    steps = StrainedSteps("scored", "noted", "trajectory")
    result, report, said = played(ask, completion("1"), steps=steps, trainer=Witness())
    assert said == ["ready", [1.0], ("scored", result), ("reported", result, "delivered", "")]
    assert report.kept is False
    assert list(steps.later) == ["trajectory late"]
    steps.later["trajectory late"]()
    assert said[4:] == [("trajectory", result), "kept"]


# --- replays ----------------------------------------------------------------------------------------


def test_a_replay_gets_a_moment_to_tell_what_happened_though_its_time_is_over():
    def agent(episode):
        time.sleep(0.1)
        return ask(episode)

    result = played(agent, steps=ReplayedSteps(recorded()), deadline=time.time() - 60)[0]
    assert (result.status, result.rewards, result.possibly_captured) == ("ready", [1.0], 0)


def test_a_replay_that_ends_before_its_records_do_is_a_mismatch():
    result = played(ask, steps=ReplayedSteps(recorded(), recorded()))[0]
    assert (result.status, result.failure.slug) == ("failed", "replay-mismatch")
    for named in ("environments.mine:run", "turn 1,", "@agent(replay=False)"):
        assert named in result.failure.detail


def test_a_replay_that_fails_before_its_first_turn_may_not_be_played_again():
    result = played(lambda e: 1 / 0, steps=ReplayedSteps(recorded()))[0]
    assert (result.turns, result.possibly_captured, result.untouched) == (0, 1, False)


def test_a_rollout_whose_player_died_fails_and_may_not_be_played_again():
    error = Abandoned("The execution was stopped.")
    result, _, said = played(ask, steps=AbandonedSteps(error))
    assert result == Result("failed", None, failure=error.failure(), possibly_captured=1)
    assert said == [("scored", result), "failed", ("reported", result, "delivered", "")]
    died = abandoned()
    assert replace(died, failure=None) == Result("failed", None, possibly_captured=1)
    assert died.failure.slug == Abandoned.slug


@pytest.mark.parametrize(
    ("sent", "retries"), [({"complete": 1, "reward": 1}, 0), ({"complete": 3, "reward": 2}, 3)]
)
def test_a_report_tells_how_often_it_was_sent(sent, retries):
    class Unsteady(Trainer):
        """Takes each report at the last of its tries."""

        def __init__(self):
            super().__init__()
            self.left = dict(sent)

        def _take(self, name):
            self.left[name] -= 1
            if self.left[name]:
                raise ReportUndelivered("429", retry_after=0)

        def complete(self, status):
            self._take("complete")

        def reward(self, rewards):
            self._take("reward")

    steps = InlineSteps(lambda: None, time.time() + 60)
    _, report, _ = played(lambda e: float(e.sample(QUESTION) is not None), completion("hi"), steps=steps, trainer=Unsteady())  # fmt: skip
    assert (report.delivery, report.tries, report.retries) == ("delivered", sent, retries)


@pytest.mark.parametrize("failure", [None, OutOfTime("over").failure()])
def test_a_result_that_is_written_down_is_read_as_it_was(failure):
    result = Result(
        status="ready",
        rewards=[0.5, 0.25],
        metrics={"calls": 2.0},
        output={"seen": 1},
        failure=failure,
        turns=2,
        possibly_captured=1,
        usage={"prompt_tokens": 3},
        seconds=1.5,
        transcript=[{"messages": []}],
    )
    assert Result.load(json.loads(json.dumps(result.dump()))) == result
