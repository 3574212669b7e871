"""A real OpenEnv server, and sessions on it, in an environment of its own."""

from __future__ import annotations

import pytest

from tests.integration.systems.programs import assert_played_everywhere, found_by


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    return found_by("openenv", tmp_path_factory)


def test_an_episode_is_one_session_that_is_closed_however_it_ends(servers):
    ways = servers["ways"]
    assert ways["sessions"] == 8
    assert ways["noted"] == {"opened": 8, "closed": 8}
    assert ways["at once"] == [1.0] * 30


def test_an_openenv_servers_rewards_and_failures_come_through(servers):
    ways = servers["ways"]
    assert ways["won"]["rewards"][-1] == 1.0
    assert len(ways["won"]["rewards"]) == ways["won"]["turns"]
    assert (ways["lost"]["rewards"], ways["lost"]["metrics"]["finished"]) == ([0.0], 1.0)
    assert ways["out of turns"]["metrics"]["finished"] == 0.0
    assert ways["the policy fails"]["boundary"] == "policy"
    assert ways["the environment raises"]["boundary"] == "tool"
    assert ways["the environment is slow"]["boundary"] == "tool"
    assert ways["no such field"]["metrics"]["invalid_actions"] > 0
    assert "canary" not in str(ways)


def test_an_openenv_server_that_is_killed_is_an_outage_behind_a_tool(servers):
    killed = servers["killed"]
    assert (killed["in the middle"]["boundary"], killed["in the middle"]["turns"]) == ("tool", 2)
    assert (killed["before"]["boundary"], killed["before"]["turns"]) == ("tool", 0)


def test_the_served_example_plays_everywhere_and_replays_in_a_session_of_its_own(servers):
    assert_played_everywhere(servers["served"], 1.0)
    assert servers["served"]["durable"]["invocations"] >= 2
    assert servers["proof"] == [[1.0, 0.0]] * 3
