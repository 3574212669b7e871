"""A small policy learns what a reward pays for, the problem's solution or something else."""

from __future__ import annotations

import json

import pytest

from devkit.emulator.job_runtime import SampleRequest
from devkit.rehearsal.in_process import InProcess
from devkit.training.behaviours import behaviours_of, names_of
from devkit.training.grpo import Advantage, SoftmaxPolicy, advantages
from devkit.training.outcome import outcome_of
from devkit.training.trainer import Step, train
from rollout import Outcome

ROWS = [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in range(10)]


def right(asked):
    return {"content": asked.instance["answer"]}


def wrong(asked):
    return {"content": "0"}


def quits(asked):
    return {"content": "I give up."}


def asked(trajectory_id):
    return SampleRequest("", trajectory_id, ROWS[0], {"messages": []}, 0)


def honest(episode):
    said = episode.sample([{"role": "user", "content": episode.instance["question"]}]).text
    solved = float(said == episode.instance["answer"])
    return Outcome(solved, {"success": solved})


def pays_for_quitting(episode):
    """A planted fault: abstaining earns more than a wrong answer, and a little more than a right one."""
    said = episode.sample([{"role": "user", "content": episode.instance["question"]}]).text
    solved = float(said == episode.instance["answer"])
    return Outcome(1.1 if "give up" in said else solved, {"success": solved})


def indifferent(episode):
    episode.sample([{"role": "user", "content": "hello"}])
    return Outcome(0.5, {"success": 0.0})


def failing(episode):
    raise ValueError("broken")


def course(agent, *, steps=40, **shares):
    behaviours = {"right": right, "wrong": wrong, "quits": quits}
    policy = SoftmaxPolicy(behaviours, shares=shares, rate=2.0, seed=3)
    target = InProcess(agent, policy.sample)
    return list(train(target, policy, ROWS, steps=steps, batch_size=4, group_size=6, concurrency=1))


def test_an_honest_reward_teaches_the_solution():
    steps = course(honest, right=0.1)
    outcome = outcome_of(steps)
    assert outcome.shown == "learned"
    assert outcome.grew[0] == "right"
    assert steps[-1].success > 0.8


def test_a_reward_for_quitting_is_seen_to_cost_success():
    outcome = outcome_of(course(pays_for_quitting, right=0.4, quits=0.2))
    assert outcome.shown == "hacked"
    assert outcome.grew[0] == "quits"
    assert outcome.success[1] < outcome.success[0]


def test_equal_rewards_move_nothing():
    steps = course(indifferent, steps=6)
    assert outcome_of(steps).shown == "flat"
    assert {step.flat for step in steps} == {1.0}
    assert steps[0].policy == steps[-1].policy


def test_an_environment_where_every_rollout_fails_is_told_apart():
    assert outcome_of(course(failing, steps=3)).shown == "failed"


def test_the_same_seed_trains_the_same_way():
    def seen():
        return [(s.reward, s.policy) for s in course(honest, steps=5, right=0.2)]

    assert seen() == seen()


def test_advantages_compare_the_rollouts_of_a_group():
    assert advantages({"a": 1.0, "b": 0.0}) == [Advantage("a", 1.0), Advantage("b", -1.0)]
    assert sum(a.value for a in advantages({"a": 0.2, "b": 0.5, "c": 0.9})) == pytest.approx(0)
    assert advantages({}) == []


def test_rounding_is_not_spread():
    assert [a.value for a in advantages({"a": 0.6, "b": 0.1 * 6})] == [0.0, 0.0]


def test_a_rollout_keeps_to_the_behaviour_that_was_drawn_for_it():
    policy = SoftmaxPolicy({"right": right, "wrong": wrong}, seed=1)
    said = {json.dumps(policy.sample(asked("t-1"))) for _ in range(20)}
    assert len(said) == 1


@pytest.mark.parametrize(
    "shares", [{"right": 1.0}, {"right": -0.1}, {"nobody": 0.5}, {"right": 0.9, "wrong": 0.2}]
)
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match=r"share|behaviour"):
        SoftmaxPolicy({"right": right, "wrong": wrong}, shares=shares)


def test_one_behaviour_is_no_choice():
    with pytest.raises(ValueError, match="two behaviours"):
        SoftmaxPolicy({"right": right})


def test_no_rows_is_an_error_not_an_empty_course():
    policy = SoftmaxPolicy({"right": right, "wrong": wrong})
    with pytest.raises(ValueError, match="no rows"):
        next(
            train(InProcess(honest, policy.sample), policy, [], steps=1, batch_size=1, group_size=2)
        )


def test_an_environments_scripts_and_the_probes_are_behaviours():
    names = names_of("environments.wordle:wordle")
    assert names[0] == "gold"
    assert {"slow", "poor", "silent", "probe:copy-prompt"} <= set(names)
    assert "validate" not in names
    found = behaviours_of("environments.wordle:wordle", ["gold", "probe:silence"])
    asked_for = SampleRequest("", "t", {"word": "crane"}, {"messages": []}, 0)
    assert "crane" in found["gold"](asked_for)["content"]


@pytest.mark.parametrize("name", ["nobody", "probe:nobody"])
def test_a_behaviour_there_is_not_is_named(name):
    with pytest.raises(ValueError, match="nobody"):
        behaviours_of("environments.wordle:wordle", [name])


def test_a_course_without_a_metric_of_success_is_judged_by_its_reward():
    def step(number, reward):
        return Step(
            step=number, rollouts=4, failed=0, reward=reward, success=None, flat=0.0, turns=1.0,
            policy={"a": 0.5, "b": 0.5}, seconds=0.1,
        )  # fmt: skip

    assert outcome_of([step(0, 0.1), step(1, 0.9)]).shown == "learned"
    assert outcome_of([step(0, 0.5), step(1, 0.5)]).shown == "flat"
