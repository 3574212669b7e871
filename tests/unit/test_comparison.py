"""Two runs are compared problem by problem, and what differs between them is named."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from devkit.__main__ import main
from devkit.verdict.comparison import compare, permutation
from tests.rehearsed import groups, record, turn, write

LOW, HIGH = [(0.0, 0.0, 1.0, 0.0)] * 20, [(1.0, 0.0, 1.0, 1.0)] * 20


def differences(found):
    return {each.name: each for each in found.differences}


def test_a_run_against_itself_has_not_moved(tmp_path):
    run = write(tmp_path / "run", groups(*LOW))
    found = compare(run, run)
    assert (found.verdict, found.settings, found.moves) == ("no difference", [], [])
    assert all(each.p == 1.0 and each.change == 0.0 for each in found.differences)


def test_what_rose_on_every_problem_is_better_and_the_other_way_worse(tmp_path):
    low, high = write(tmp_path / "low", groups(*LOW)), write(tmp_path / "high", groups(*HIGH))
    found = compare(low, high)
    reward = differences(found)["reward"]
    assert (found.verdict, reward.before, reward.after, reward.change) == (
        "better",
        0.25,
        0.75,
        0.5,
    )
    assert reward.p < 0.001
    assert compare(high, low).verdict == "worse"


def test_chance_is_not_called_a_difference(tmp_path):
    dice = np.random.default_rng(0)
    verdicts = []
    for number in range(40):
        runs = [
            write(
                tmp_path / f"{number}-{side}",
                groups(*map(tuple, dice.integers(0, 2, (12, 4)).astype(float))),
            )
            for side in "ab"
        ]
        verdicts.append(compare(*runs).verdict)
    assert verdicts.count("no difference") >= 34  # of 40, with a twentieth expected to err


def test_pairing_sees_what_the_means_alone_would_not(tmp_path):
    """Problems differ a lot, each rose a little: unpaired this is nothing."""
    before = [(place / 20, place / 20) for place in range(20)]
    after = [(one + 0.02, two + 0.03) for one, two in before]
    runs = [write(tmp_path / name, groups(*each)) for name, each in (("a", before), ("b", after))]
    reward = differences(compare(*runs))["reward"]
    assert reward.p < 0.001
    assert stats.ttest_ind([a for a, _ in before], [b for b, _ in after]).pvalue > 0.5
    assert reward.low == pytest.approx(0.025, abs=1e-9)


def test_problems_are_paired_by_what_they_ask_not_by_their_place(tmp_path):
    def run(name, order):
        records = [
            record(place, 0, float(problem), instance={"question": f"problem {problem}"})
            for place, problem in enumerate(order)
        ]
        return write(tmp_path / name, records)

    found = compare(run("a", [0, 1, 2, 3]), run("b", [3, 2, 1, 7]))
    assert (found.only_before, found.only_after) == (1, 1)
    assert differences(found)["reward"].change == 0.0
    assert differences(found)["reward"].problems == 3
    with pytest.raises(ValueError, match="in common"):
        compare(run("c", [1]), run("d", [2]))


def test_a_row_that_stands_there_twice_is_two_problems(tmp_path):
    twice = [record(place, 0, float(place), instance={"question": "same"}) for place in range(2)]
    run = write(tmp_path / "run", twice)
    assert differences(compare(run, run))["reward"].problems == 2


def test_what_differs_between_the_runs_is_named(tmp_path):
    one = write(tmp_path / "a", groups(*LOW), agent_sha256="a" * 64, temperature=1.0)
    other = write(
        tmp_path / "b", groups(*LOW), agent_sha256="b" * 64, temperature=0.7, policy="bedrock:x"
    )
    settings = {
        setting.name: (setting.before, setting.after) for setting in compare(one, other).settings
    }
    assert settings.keys() == {"agent_sha256", "temperature", "policy"}
    assert settings["agent_sha256"] == ("a" * 12, "b" * 12)


def test_everything_that_was_counted_is_compared(tmp_path):
    short = [record(g, m, 1.0, metrics={"won": 1.0}) for g in range(14) for m in range(2)]
    long = [
        record(g, m, 1.0, metrics={"won": 1.0}, turns=[turn(finish_reason="length"), turn()])
        for g in range(14)
        for m in range(2)
    ]
    found = differences(compare(write(tmp_path / "a", short), write(tmp_path / "b", long)))
    assert {name for name, each in found.items() if each.sure} == {
        "turns", "completion tokens", "policy seconds", "cut off",
    }  # fmt: skip
    assert found["metric won"].p == 1.0


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8))
def test_few_problems_are_tried_with_every_sign(changes):
    moved = [change for change in changes if abs(change) > 1e-12]
    sums = [
        abs(sum(s * c for s, c in zip(signs, moved, strict=True)))
        for signs in product((1, -1), repeat=len(moved))
    ]
    expected = (
        sum(value >= abs(sum(moved)) * (1 - 1e-9) for value in sums) / len(sums) if moved else 1.0
    )
    assert permutation(np.array(changes)) == pytest.approx(expected, abs=2 / len(sums))


def test_the_commands_answers(tmp_path, capsys):
    low, high = (str(write(tmp_path / n, groups(*g))) for n, g in (("low", LOW), ("high", HIGH)))
    assert main(["compare", low, high, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "better"
    assert main(["compare", high, low]) == 0
    assert "WORSE" in capsys.readouterr().out
    assert main(["compare", high, low, "--strict"]) == 1
    assert main(["compare", low, str(tmp_path)]) == 2
    assert "is no rehearsal" in capsys.readouterr().err


def test_the_page_loads_nothing_and_shows_what_a_model_wrote_as_text(tmp_path):
    hostile = "</td><script>alert(1)</script><img src=//x.example/y>"
    one, other = (
        write(tmp_path / n, [record(0, 0, r, instance={"question": hostile})], policy=hostile + n)
        for n, r in (("a", 0.0), ("b", 1.0))
    )
    assert main(["compare", str(one), str(other)]) == 0
    tags = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append((tag, dict(attrs)))

    Reader().feed((other / "comparison.html").read_text())
    assert not {"script", "img", "iframe"} & {tag for tag, _ in tags}
    assert [tag for tag, _ in tags].count("circle") == 1
    assert not [attrs for _, attrs in tags if "src" in attrs]


def test_rows_are_listed_by_difficulty(tmp_path):
    run = write(
        tmp_path / "run", groups((0.0,) * 8, (1.0,) * 8, (1.0, 0.0) * 4, (1.0,) + (0.0,) * 7)
    )
    out = tmp_path / "rows.jsonl"
    main(["report", str(run), "--curriculum", str(out)])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["row"] for row in rows] == [1, 2, 3, 0]
    assert [row["informative"] for row in rows] == [0.0, 1.0, 1.0, 0.0]
    assert rows[1]["signal"] == 0.5
