"""Each planted fault is found, each control is left in peace, and what is found is shown with an example."""

from __future__ import annotations

import pytest

from benchmarks.truth import more
from benchmarks.truth.__main__ import SHOWN, behaviours_of, compare, rehearsed
from benchmarks.truth.tables import detectors, figures, table
from benchmarks.truth.zoo import Case
from devkit.detectors.bench import Bench
from devkit.detectors.data import search_rows
from devkit.detectors.detect import detect
from rollout import Outcome

BY_NAME = {case.name: case for case in SHOWN}
# Found only beside a model's rollouts.
IN_A_RUN = ("knows-nothing", "gold-doubted")
FAULTY = [case for case in SHOWN if case.fault]


def faults_of(case: Case):
    rows, validation = enumerate(case.rows), enumerate(case.validation)
    return [*detect(Bench(case.agent, case.rows, case.gold)), *search_rows(rows, validation)]


def run_faults(case: Case):
    """What a rehearsal of the case shows, with the level of its verdict."""
    bench = Bench(case.agent, case.rows, case.gold)
    return rehearsed(case, bench, behaviours_of(case, bench))


@pytest.mark.parametrize(
    "case", [case for case in FAULTY if case.fault in IN_A_RUN], ids=lambda case: case.name
)
def test_a_planted_fault_is_found_in_a_run(case):
    _, found = run_faults(case)
    fault = next(fault for fault in found if fault.code == case.fault)
    assert fault.rows
    assert fault.example
    assert fault.do


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("by-chance", "same-words-another-reward"),
        ("shared-state", "same-words-another-reward"),
        ("asks-by-clock", "same-words-another-reward"),
        ("quitting-pays", "better-than-gold"),
        ("quitting-pays", "knows-nothing"),
        ("worse-is-better", "success-costs"),
        ("shorter", "other-parameters"),
    ],
)
def test_a_run_shows_what_is_wrong_with_its_environment(name, code):
    level, found = run_faults(BY_NAME[name])
    fault = next(fault for fault in found if fault.code == code)
    assert level != "ready"
    if code == "same-words-another-reward":
        first, again = fault.evidence
        assert first["messages"]
        assert first["rewards"] != again["rewards"]


@pytest.mark.parametrize("name", ["exact", "guess", "patient", "search", "shuffled"])
def test_a_healthy_run_shows_nothing(name):
    _, found = run_faults(BY_NAME[name])
    assert [fault.code for fault in found if fault.weight != "note"] == []


@pytest.mark.parametrize(
    "case", [case for case in FAULTY if case.fault not in IN_A_RUN], ids=lambda case: case.name
)
def test_a_planted_fault_is_found(case):
    found = {fault.code: fault for fault in faults_of(case)}
    assert case.fault in found
    fault = found[case.fault]
    assert fault.rows
    assert fault.example
    assert fault.do


@pytest.mark.parametrize(
    "case", [case for case in SHOWN if not case.fault], ids=lambda case: case.name
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


def test_rows_on_which_gold_earns_nothing_are_named_and_blame_nobody_else():
    """Everything earns what gold earns there; on the other rows the reward is sound."""

    def agent(episode):
        said = episode.sample([{"role": "user", "content": episode.instance["question"]}]).text
        broken = episode.instance["answer"] in broken_answers
        return Outcome(0.0 if broken else float(said == episode.instance["answer"]))

    case = BY_NAME["exact"]
    broken_answers = {case.rows[2]["answer"], case.rows[7]["answer"]}
    bench = Bench(agent, case.rows, case.gold, numbers=range(100, 112))
    assert [(f.code, f.rows) for f in detect(bench)] == [("gold-earns-nothing", (102, 107))]


def test_the_clock_of_an_agents_modules_is_put_back():
    before = more.dt
    case = BY_NAME["weekday"]
    assert "chance" in {fault.code for fault in faults_of(case)}
    assert more.dt is before


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (
            [{"question": "A?", "answer": "1"}, {"question": "a ?", "answer": "1"}],
            "near-duplicates",
        ),
        (
            [{"question": "A?", "answer": "1"}, {"question": "a", "answer": "2"}],
            "contradicting-gold",
        ),
        ([{"q": n, "a": 1} for n in range(9)] + [{"q": 9, "a": ""}], "missing-field"),
    ],
)
def test_a_dataset_is_read(rows, code):
    assert [fault.code for fault in search_rows(enumerate(rows))] == [code]


@pytest.mark.parametrize(
    "rows",
    [
        [
            {"question": f"What is {n} plus 2 in this long sum of two numbers here?"}
            for n in range(9)
        ],
        [{"word": "crane"}, {"word": "slate"}],
        [{"key": "hall", "answer": "1"}, {"key": "hall", "answer": "2"}],
        [
            {"question": "A?", "tables": "x", "answer": 1},
            {"question": "A?", "tables": "y", "answer": 2},
        ],
    ],
)
def test_rows_that_only_look_alike_are_left_in_peace(rows):
    assert search_rows(enumerate(rows)) == []


def test_a_duplicate_row_is_named():
    case = BY_NAME["exact"]
    found = search_rows(enumerate([*case.rows, case.rows[2]]))
    assert [(fault.code, fault.rows) for fault in found] == [("duplicate-rows", (len(case.rows),))]


def test_what_is_said_is_held_to_what_training_makes_of_it():
    compared = [compare(BY_NAME[name], steps=40) for name in ("exact", "length-pays")]
    assert [each.outcome.shown for each in compared] == ["learned", "hacked"]
    assert figures(compared) == {
        "faulty": 1, "caught": 1, "faulty_called_ready": 0,
        "controls": 1, "false_alarms": 0, "controls_called_ready": 1, "controls_learned": 1,
    }  # fmt: skip
    assert "| length-pays | better-than-gold |" in table(compared)
    assert "| better-than-gold | 1 | 1 | 0 | 0 |" in detectors(compared)
