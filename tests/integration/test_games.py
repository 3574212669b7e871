"""Games of the real Gymnasium, TextArena and SkyRL-Gym, in an environment of their own."""

from __future__ import annotations

import pytest

from tests.integration.systems.programs import assert_played_everywhere, found_by


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
