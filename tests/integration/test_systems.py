"""Environments of other systems, each played with the system's real package in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.building import ROOT

PYTHON = ROOT / ".tools/environments/bin/python"


def found_by(program, tmp_path_factory):
    """What a program under ``systems`` printed."""
    assert PYTHON.exists(), "run make setup: the other systems have an environment of their own"
    places = ("examples", "", "layers/rollout/python", "functions/rollout", "functions/console")
    path = os.pathsep.join(str(ROOT / place) for place in places)
    scratch = str(tmp_path_factory.mktemp(program))
    done = subprocess.run(
        [PYTHON, "-W", "ignore", f"tests/integration/systems/{program}_program.py"],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": scratch, "MPLCONFIGDIR": scratch},
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_played_everywhere(found, reward):
    """An example came to the same by every way in, and its trainer heard of it."""
    assert (found["inline"]["http"], found["inline"]["reward"]) == (200, reward)
    for way in ("durable", "job"):
        assert found[way]["state"] == "ready", found[way]
        assert found[way]["result"]["reward"] == reward
    assert found["job"]["answer"] == {}
    assert (found["job"]["trainer"], found["job"]["rewards"]) == ("rewarded", [reward])


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


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    return found_by("games", tmp_path_factory)


def test_gymnasiums_games_give_their_rewards_by_turn_in_all_or_at_the_end(games):
    found = games["gymnasium"]
    assert found["lake"]["rewards"] == [0.0] * 5 + [1.0]
    assert found["lake"]["metrics"] == {"finished": 1.0, "steps": 6.0}
    assert found["sum"]["rewards"] == [1.0]
    assert found["same by seed"]
    assert found["cards"].startswith("cards (")
    assert "[S]FFF" in found["map"]
    assert "\x1b" not in found["map"]


def test_a_reply_that_is_no_action_is_told_and_counted_and_costs_its_turn(games):
    found = games["gymnasium"]
    assert found["wrong"]["rewards"] == [0.0] * 4
    assert found["wrong"]["metrics"] == {"finished": 0.0, "steps": 3.0, "invalid_actions": 1.0}
    assert "left, down, right, up" in found["said"]
    assert found["taxi"]["metrics"] == {"finished": 0.0, "steps": 2.0, "invalid_actions": 2.0}
    assert found["taxi"]["rewards"] == [-11.0]


def test_a_game_that_breaks_is_closed_and_on_the_right_boundary(games):
    found = games["gymnasium"]
    assert found["outage"]["boundary"] == "tool"
    assert found["unknown"]["boundary"] == found["unreadable space"]["boundary"] == "agent"
    assert found["late"]["boundary"] == "deadline"
    assert found["budget"]["rewards"] == [3.0]
    assert found["budget"]["metrics"]["finished"] == 0.0
    assert found["options"] == "options {'a': 1}"
    assert found["closed"] == 4


def test_games_that_draw_from_one_generator_are_kept_apart(games):
    found = games["textarena"]
    assert found["kept apart"]
    assert found["different games"] > 10


def test_textarenas_games_reward_the_policys_player_at_the_end(games):
    found = games["textarena"]
    assert found["won"]["rewards"] == [1.0]
    assert found["turns"]["rewards"] == [0.0, 0.0, 0.0, 1.0]
    assert found["lost"]["rewards"][0] < 1.0
    assert [each["rewards"] for each in found["nim"]] == [[1.0], [1.0]]
    assert found["players seen"] == [False, True]
    assert found["no such player"]["boundary"] == "agent"
    assert found["nobody moves"] == "agent-error"


def test_skyrls_rows_are_played_with_their_own_turns_and_rewards(games):
    found = games["skyrl"]
    assert found["turns"]["rewards"] == [pytest.approx(0.2 / 3), 0.0, 1.0]
    assert found["turns"]["metrics"]["steps"] == 3.0
    assert "tentative numeric answer" in found["told"]
    assert found["sum"]["rewards"] == [1.0]
    assert found["cut off"]["rewards"] == [pytest.approx(0.2)]
    assert found["no row"]["boundary"] == "agent"


def test_the_games_of_the_examples_play_everywhere_and_replay(games):
    for name, turns in (("lake", 6), ("guess", 4)):
        found = games[name]
        assert found["durable"]["invocations"] >= 2, name
        assert found["durable"]["captured"] == turns
        assert found["job"]["answer"] == {}
        for way in ("durable", "job"):
            assert found[way]["result"]["reward"] == 1.0
    assert games["lake"]["job"]["rewards"] == [0.0] * 5 + [1.0]
    assert_played_everywhere(games["guess"], 1.0)


def test_a_game_of_chance_is_found_out_when_it_replays_and_plays_in_one_step(games):
    assert games["dice"]["durable"]["result"]["error"]["type"].endswith("replay-mismatch")
    assert games["dice"]["inline"]["reward"] == 4.0
    assert_played_everywhere(games["dice in one"], 4.0)
