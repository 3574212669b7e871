"""Generators and mixtures of the real reasoning-gym, in an environment of its own."""

from __future__ import annotations

import pytest

from tests.integration.systems.programs import assert_played_everywhere, found_by


@pytest.fixture(scope="module")
def reasoning(tmp_path_factory):
    return found_by("reasoning_gym", tmp_path_factory)


def test_the_own_answer_of_five_generators_scores_the_maximum(reasoning):
    assert len(reasoning["generators"]) == 5
    for name, scores in reasoning["generators"].items():
        assert scores["gold"] == [1.0] * 3, name
        assert max(scores["wrong"]) < 1.0, name
        assert scores["untagged"] == [0.0] * 3, name
        assert scores["answered"] == [1.0] * 3 + [0.0] * 3
        assert scores["again"], name
        assert scores["other seed"], name


def test_a_mixture_draws_by_weight_and_measures_each_generator(reasoning):
    mixture = reasoning["mixture"]
    assert sum(mixture["drawn"].values()) == 200
    assert 120 < mixture["drawn"]["chain_sum"] < 180
    assert mixture["terms"] == 2
    assert mixture["metrics"] == {"answered": 1.0, "mini_sudoku": 1.0}


def test_an_answer_that_is_code_is_not_run_by_any_scorer(reasoning):
    evaluated = reasoning["evaluated"]
    assert len(evaluated) == 9
    assert evaluated["binary_matrix"].pop("python form") == 0.1
    for name, found in evaluated.items():
        assert found["gold"] == 1.0, name
        assert max(found["hostile"]) < 0.1, name
        assert not found["ran"], name


def test_every_scorer_that_evaluates_is_known(reasoning):
    assert reasoning["listed"] == {"missing": [], "gone": []}


def test_what_reasoning_gym_does_not_know_is_the_agents_fault(reasoning):
    assert reasoning["refused"].pop("what the scorer raises on") == 0.0
    assert set(reasoning["refused"].values()) == {"agent-error"}
    assert len(reasoning["refused"]) == 7


def test_the_mixture_of_the_example_plays_everywhere(reasoning):
    example = reasoning["example"]
    assert_played_everywhere(example, 1.0)
    assert example["rows"], "the example's dataset is not what its agent generates"
    assert len(example["proof"]) == 12
    for gold, poor in example["proof"]:
        assert poor < gold == 1.0
