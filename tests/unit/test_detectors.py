"""Each planted fault is found, each control is left in peace, and what is found is shown with an example."""

from __future__ import annotations

import pytest

from benchmarks.truth.__main__ import compare, figures, table
from benchmarks.truth.zoo import CASES, Case
from devkit.detectors.bench import Bench
from devkit.detectors.detect import detect
from rollout import Outcome

BY_NAME = {case.name: case for case in CASES}


def faults_of(case: Case):
    return detect(Bench(case.agent, case.rows, case.gold))


@pytest.mark.parametrize("case", [case for case in CASES if case.fault], ids=lambda case: case.name)
def test_a_planted_fault_is_found(case):
    found = {fault.code: fault for fault in faults_of(case)}
    assert case.fault in found
    fault = found[case.fault]
    assert fault.rows
    assert fault.example
    assert fault.do


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.fault], ids=lambda case: case.name
)
def test_a_healthy_environment_is_left_in_peace(case):
    assert faults_of(case) == []


def test_nothing_is_proved_where_gold_fails():
    """A probe that earns what gold earns is no news where gold itself has no reward."""

    def broken(episode):
        episode.sample([{"role": "user", "content": "?"}])
        raise ValueError("broken")

    case = BY_NAME["exact"]
    (fault,) = detect(Bench(broken, case.rows, case.gold))
    assert (fault.code, fault.measured) == ("gold-fails", 1.0)


def test_a_behaviour_that_is_right_here_can_be_allowed():
    case = BY_NAME["abstaining-pays"]
    bench = Bench(case.agent, case.rows, case.gold)
    assert detect(bench, allow=["abstain"]) == []


def test_one_row_won_by_luck_is_no_fault():
    """The reply that lists all answers ends on one of them, which is that row's own."""

    def last_number(episode):
        said = episode.sample([{"role": "user", "content": episode.instance["question"]}]).text
        words = said.split()
        return Outcome(float(bool(words) and words[-1] == episode.instance["answer"]))

    case = BY_NAME["exact"]
    assert detect(Bench(last_number, case.rows, case.gold)) == []


def test_an_instance_that_an_agent_changes_does_not_reach_the_next_rollout():
    def greedy(episode):
        said = episode.sample([{"role": "user", "content": episode.instance["question"]}]).text
        return Outcome(float(said == episode.instance.pop("answer")))

    case = BY_NAME["exact"]
    assert detect(Bench(greedy, case.rows, case.gold)) == []


def test_a_duplicate_row_is_named():
    case = BY_NAME["exact"]
    found = detect(Bench(case.agent, [*case.rows, case.rows[2]], case.gold))
    assert [(fault.code, fault.rows) for fault in found] == [("duplicate-rows", (len(case.rows),))]


def test_what_is_said_is_held_to_what_training_makes_of_it():
    compared = [compare(BY_NAME[name], steps=40) for name in ("exact", "length-pays")]
    assert [each.outcome.shown for each in compared] == ["learned", "hacked"]
    assert figures(compared) == {
        "faulty": 1, "caught": 1, "controls": 1, "false_alarms": 0, "controls_learned": 1,
    }  # fmt: skip
    assert "| length-pays | better-than-gold |" in table(compared)
