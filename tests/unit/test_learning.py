"""The verdict says of rewards what training makes of them: docs/calibration.md in small."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.calibration.__main__ import calibrate, judged
from benchmarks.calibration.coverage import DIFFICULTIES, coverage
from benchmarks.calibration.worlds import World
from devkit.verdict.job import Job
from devkit.verdict.learning import forecast, scale_of
from devkit.verdict.readiness import judge
from tests.rehearsed import groups, write

JOB = {"batch_size": 128, "group_size": 8, "max_steps": 50}


def levels(world, played, times=10):
    return Counter(verdict.level for verdict in judged(world, played, times))


@pytest.mark.parametrize("world", [World(0.04), World(0.3), World(0.9), World(0.2, levels=3)])
def test_the_forecast_is_what_training_takes(world):
    row = calibrate(world, 8)
    assert row.forecast == pytest.approx(row.simulated, rel=0.5)


def test_success_of_two_and_four_percent_is_learned_and_never_called_not_ready():
    assert calibrate(World(0.04), 8).after > 0.9
    for success in (0.02, 0.04):
        assert not levels(World(success), 20).keys() & {"not ready", "ready"}
    assert levels(World(0.04), 100, 5)["costly"] >= 4


def test_what_training_would_not_learn_in_time_is_not_ready():
    assert levels(World(0.0005), 400, 2) == {"not ready": 2}
    assert calibrate(World(0.001), 8).after < 0.002


@pytest.mark.parametrize("success", [0.2, 0.5, 0.8])
def test_a_middling_environment_is_ready_each_time(success):
    assert levels(World(success), 20) == {"ready": 10}


def test_more_steps_make_a_hard_environment_learnable(tmp_path):
    hard = [
        tuple(map(float, group))
        for group in World(0.005).rehearse(300, 8, np.random.default_rng(1))
    ]
    run = write(tmp_path / "run", groups(*hard))
    assert judge(run, Job(max_steps=20)).level == "not ready"
    verdict = judge(run, Job(max_steps=500))
    assert verdict.level == "costly"
    assert "$" in verdict.findings[0].says


def test_one_group_is_never_enough(tmp_path):
    for count, level in ((1, "too few to tell"), (4, "too few to tell"), (20, "ready")):
        run = write(tmp_path / str(count), groups(*[(0.0, 1.0) * 4] * count))
        assert judge(run).level == level


@pytest.mark.parametrize(
    ("reward", "played", "level"),
    [
        (0.0, 20, "too few to tell"),
        (1.0, 20, "too few to tell"),
        (0.0, 200, "not ready"),
        (0.3, 20, "not ready"),
    ],
)
def test_a_reward_that_never_differs(tmp_path, reward, played, level):
    verdict = judge(write(tmp_path / "run", groups(*[(reward,) * 8] * played)))
    assert verdict.level == level
    assert verdict.findings[0].code == "flat-reward"


def test_problems_that_are_always_or_never_solved_teach_nothing(tmp_path):
    run = write(tmp_path / "run", groups(*[(0.0,) * 8, (1.0,) * 8] * 150))
    verdict = judge(run)
    assert (verdict.level, verdict.findings[0].code) == ("not ready", "no-spread")


def test_rounding_is_no_spread(tmp_path):
    rewards = [(0.1 + 0.2, 0.3) * 4, (0.7 + 0.1, 0.8) * 4] * 150
    found = forecast(rewards, **JOB)
    assert (found.informative.value, found.signal.value, found.steps.value) == (0.0, 0.0, None)


def test_one_outlier_is_not_too_hard(tmp_path):
    rewards = [[0.0, 1.0, 0.5, 1.0] * 2 for _ in range(20)]
    rewards[3][1] = 500.0
    verdict = judge(write(tmp_path / "run", groups(*map(tuple, rewards))))
    assert verdict.level == "ready"
    assert [finding.code for finding in verdict.findings] == ["outlier"]
    assert verdict.learning.success > 0.5


def test_rare_success_and_rare_failure_are_no_outliers():
    rest = [0.0, 0.05, 0.1] * 60
    assert scale_of([*rest, 1.0], 1.0).high == 1.0
    assert scale_of([1.0] * 159 + [0.0], 1.0).low == 0.0
    assert scale_of([*rest, 5.0], 1.0) == scale_of([*rest, 1.0], 1.0).__class__(0.0, 1.0, 1)


def test_graded_rewards_are_learned_from_as_well():
    dice = np.random.default_rng(2)
    graded = forecast(dice.random((40, 8)).tolist(), **JOB)
    assert graded.informative.value == 1.0
    assert graded.steps.high < 50
    moved = forecast((dice.random((40, 8)) * 20 - 7).tolist(), pass_at=13.0, **JOB)
    assert moved.steps.value == pytest.approx(graded.steps.value, rel=0.3)


@given(st.integers(1, 7))
def test_the_signal_of_success_and_failure_is_their_standard_deviation(passed):
    group = [1.0] * passed + [0.0] * (8 - passed)
    found = forecast([group] * 10, **JOB)
    assert found.signal.value == pytest.approx(math.sqrt(passed / 8 * (1 - passed / 8)))


@pytest.mark.parametrize("size", [4, 16, 32])
def test_groups_of_another_size_differ_as_often_as_reckoned(size):
    success = 0.1
    alike = World(success).rehearse(1_000, 8, np.random.default_rng(4))
    found = forecast([list(group) for group in alike], **JOB | {"group_size": size})
    expected = 1 - success**size - (1 - success) ** size
    assert found.informative.value == pytest.approx(expected, abs=0.03)


def test_the_same_run_gets_the_same_forecast():
    alike = [list(group) for group in World(0.1, 3).rehearse(30, 8, np.random.default_rng(0))]
    assert forecast(alike, **JOB) == forecast(alike, **JOB)


def test_groups_without_two_rewards_are_no_forecast():
    assert forecast([[1.0], []], **JOB) is None


@pytest.mark.parametrize("policy", ["scripted skill=0.75", "scripted:gold", "probe:silence"])
def test_a_script_shows_that_the_plumbing_holds(tmp_path, policy):
    run = write(tmp_path / "run", groups(*[(0.0, 1.0) * 4] * 20), policy=policy)
    verdict = judge(run)
    assert (verdict.level, verdict.learning) == ("plumbing holds", None)


def test_gold_and_poor_that_earn_the_same_are_not_ready(tmp_path):
    flat = groups(*[(0.5,) * 8] * 20)
    mixed = write(tmp_path / "mixed", flat, policy="scripted skill=0.75")
    assert (judge(mixed).level, judge(mixed).findings[0].code) == ("not ready", "flat-reward")
    alone = write(tmp_path / "alone", flat, policy="scripted skill=1")
    assert judge(alone).level == "plumbing holds"


@pytest.mark.parametrize("difficulty", DIFFICULTIES[:3], ids=lambda each: each.name)
def test_five_groups_have_an_honest_interval(difficulty):
    """Of pass@4 it was 70 % where 95 % was claimed."""
    for name, share in coverage(difficulty, 5, 8, repeats=60).items():
        assert share >= 0.85, name
