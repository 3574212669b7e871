"""docs/rehearsal-format.md names every field, its example works, and the export is what it says."""

from __future__ import annotations

import json
import re
from statistics import stdev

import pytest

from devkit.__main__ import main
from devkit.rehearsal.run_files import Manifest, RolloutRecord, TurnRecord
from devkit.rehearsal.trainer_rows import is_linear
from tests.building import ROOT
from tests.rehearsed import groups, played, record, turn, write

PAGE = (ROOT / "docs/rehearsal-format.md").read_text()


def named(section):
    """The fields in the first column of a section's tables."""
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_field_is_documented_and_none_that_is_not_there():
    _, manifest, rest = re.split(r"^## run.json|^## rollouts.jsonl", PAGE, flags=re.MULTILINE)
    rollout, rest = rest.split("\nA turn:\n")
    turns, exported = rest.split("## The export")
    for section, model in ((manifest, Manifest), (rollout, RolloutRecord), (turns, TurnRecord)):
        assert named(section) == {f.alias or name for name, f in model.model_fields.items()}
    assert "`messages`" in exported


def test_the_example_reads_a_run(tmp_path):
    run = write(tmp_path / "run", groups((1.0, 0.0), (None, 0.5)))
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    seen = {"RUN": str(run)}
    exec(code, seen)
    assert seen["means"] == {0: 0.5, 1: 0.5}
    assert seen["manifest"]["group_size"] == 2


def exported(tmp_path, run, capsys):
    out = tmp_path / "out.jsonl"
    assert main(["export", str(run), str(out)]) == 0
    assert "rollouts in" in capsys.readouterr().out
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_an_export_has_the_documented_columns(tmp_path, capsys):
    rows = exported(tmp_path, played(tmp_path / "run", "calculator", rows=2), capsys)
    assert len(rows) == 8
    assert {name for row in rows for name in row} == named(PAGE.split("## The export")[1])


def test_an_export_holds_prompt_and_completion_of_a_tool_conversation(tmp_path, capsys):
    rows = exported(tmp_path, played(tmp_path / "run", "calculator", rows=2, skill=1), capsys)
    for row in rows:
        assert [m["role"] for m in row["prompt"]] == ["system", "user"]
        assert row["prompt"] + row["completion"] == row["messages"]
        roles = [m["role"] for m in row["completion"]]
        assert roles == ["assistant", "tool"] * (row["turns"] - 1) + ["assistant"]
        assert row["tools"][0]["function"]["name"] == "evaluate"
        assert row["linear"] is True


def test_an_advantage_is_the_groups(tmp_path, capsys):
    rows = exported(
        tmp_path, write(tmp_path / "run", groups((1.0, 0.0, 0.5, None), (1.0, 1.0))), capsys
    )
    deviation = stdev([1.0, 0.0, 0.5])
    expected = [0.5 / deviation, -0.5 / deviation, 0.0, None, 0.0, 0.0]
    assert [row["advantage"] for row in rows] == pytest.approx(expected)


def test_a_conversation_that_was_rewritten_is_no_single_sequence(tmp_path, capsys):
    first = turn("one")
    going_on = [first.message, {"role": "user", "content": "and?"}]
    assert is_linear(record(turns=[first, turn("two", messages=going_on, repeated=1)]))
    assert not is_linear(record(turns=[first, turn("two", messages=going_on, repeated=0)]))
    said_otherwise = [{"role": "assistant", "content": "ONE"}, going_on[1]]
    rewritten = record(turns=[first, turn("two", messages=said_otherwise, repeated=1)])
    row = exported(tmp_path, write(tmp_path / "run", [rewritten]), capsys)[0]
    assert (row["linear"], row["completion"]) == (False, None)


def test_only_json_lines_are_written(tmp_path, capsys):
    run = write(tmp_path / "run", groups((1.0, 0.0)))
    assert main(["export", str(run), str(tmp_path / "out.parquet")]) == 2
    assert "to_parquet" in capsys.readouterr().err
