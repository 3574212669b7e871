"""An author sees what an agent raised, though no result and no log of the stack has it."""

from __future__ import annotations

import pytest

from devkit.raised import Raised
from rollout.agent import Agent, observing_errors
from rollout.errors import SampleFailed
from rollout.run import play
from rollout.steps import InlineSteps
from rollout.testing import check_order, says
from tests.building import ScriptedPolicy, completion, make_rollout, make_settings


def played(function, *lines):
    settings = make_settings()
    errors = Raised()
    with observing_errors(errors.note):
        result = play(
            make_rollout(settings),
            agent=Agent("environments.mine:run", function),
            policy=ScriptedPolicy(*lines),
            steps=InlineSteps(lambda: None, 0.0),
            limits=settings.limits,
            deadline=4e9,
        )
    return result, errors


def raises(episode):
    raise LookupError("no row 7")


async def raises_later(episode):
    raise LookupError("no row 7")


@pytest.mark.parametrize("function", [raises, raises_later])
def test_what_an_agent_raised_is_counted_by_message_and_place(function):
    result, errors = played(function)
    ((said, count),) = errors.items()
    assert count == 1
    assert said.startswith("LookupError: ")
    assert "no row 7" in said
    assert "(test_agent_errors.py:" in said
    assert "no row 7" not in str(result)


def test_what_the_episode_raised_is_in_the_result_alone():
    result, errors = played(
        lambda episode: episode.sample([]), SampleFailed("cut off", captured="unknown")
    )
    assert result.status == "failed"
    assert not errors


def test_nobody_is_told_once_the_block_is_over():
    _, errors = played(lambda episode: float(episode.sample([]).text), completion("1"))
    played(raises)
    assert not errors


def inner(episode):
    return {}["wanted"]


def test_the_first_traceback_of_each_kind_is_kept_from_the_agents_own_frames_on():
    _, errors = played(inner)
    (text,) = errors.tracebacks.values()
    assert text.startswith("Traceback")
    assert 'return {}["wanted"]' in text
    assert "rollout/run.py" not in text


def test_a_proof_that_fails_is_raised_from_what_the_agent_raised():
    with pytest.raises(ValueError, match="no row 7") as told:
        check_order(raises, {}, [("gold", says("x"))])
    assert isinstance(told.value.__cause__, LookupError)
