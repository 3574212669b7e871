"""Tasksets of the real verifiers, in an environment of its own."""

from __future__ import annotations

import pytest

from tests.integration.systems.programs import assert_played_everywhere, found_by


@pytest.fixture(scope="module")
def tasksets(tmp_path_factory):
    return found_by("verifiers", tmp_path_factory)


def test_a_tasksets_data_is_the_instance_and_its_rewards_and_metrics_are_ours(tasksets):
    rows = tasksets["rows"]
    assert len({row["answer"] for row in rows}) == 8
    assert set(rows[0]) == {"idx", "prompt", "system_prompt", "answer"}
    assert tasksets["again"]
    assert tasksets["proof"] == [[1.0, 0.5]] * 2
    inline = tasksets["capitals"]["inline"]
    assert inline["metrics"] == {"right": 1.0, "words": 1.0}
    assert_played_everywhere(tasksets["capitals"], 1.0)


def test_the_errors_of_a_verifiers_rollout_land_on_their_boundaries(tasksets):
    boundaries = {name: found["boundary"] for name, found in tasksets["errors"].items()}
    assert boundaries == {
        "RaisingReward": "agent", "RaisingSetup": "agent", "Unrewarded": "agent", "no task": "agent",
        "no taskset": "agent", "BrokenSandbox": "tool", "BrokenTools": "agent", "provider": "policy",
        "a tool that is none": None, "out of turns": None, "stopped": None,
    }  # fmt: skip
    assert "canary" not in str(tasksets["errors"])
    assert tasksets["errors"]["no taskset"]["detail"].count("no-such-taskset")


def test_what_was_reached_is_scored_when_turns_run_out_or_a_task_stops(tasksets):
    errors = tasksets["errors"]
    assert errors["a tool that is none"]["rewards"] == [1.0]
    assert (errors["out of turns"]["rewards"], errors["out of turns"]["turns"]) == ([0.0], 1)
    assert (errors["stopped"]["turns"], errors["stopped"]["output"]["stop"]) == (2, "enough")


def test_two_hundred_verifiers_rollouts_at_once_are_kept_apart(tasksets):
    assert tasksets["at once"] == [True] * 200


def test_a_tasksets_tool_server_serves_a_rollout_and_its_death_is_an_outage(tasksets):
    job = tasksets["stock"]["job"]
    assert (job["answer"], job["trainer"], job["rewards"]) == ({}, "rewarded", [1.0])
    assert job["result"]["turns"] == 3
    assert (tasksets["killed"]["boundary"], tasksets["killed"]["turns"]) == ("tool", 1)
