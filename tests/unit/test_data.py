"""What is packed is what a job reads back; no problem is twice, and none on both sides."""

from __future__ import annotations

import json
import random
import sys

import pytest

from devkit.__main__ import main
from devkit.data import packing
from devkit.rehearsal.dataset import read, survey
from rollout.service.job_event import instance_of

ROWS = [
    {"question": f"What is {n} + {n}?", "answer": str(2 * n), "level": n % 3} for n in range(300)
]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def packed(folder, name):
    return [
        instance_of(json.loads(line)["prompt"]) for line in (folder / name).read_text().splitlines()
    ]


def sides(folder):
    return packed(folder, "train.jsonl"), packed(folder, "validation.jsonl")


def data(*arguments):
    return main(["data", *map(str, arguments)])


def test_rows_become_a_dataset_that_rehearse_reads(rows, tmp_path):
    assert data("pack", rows, "--out", tmp_path / "out") == 0
    train, validation = sides(tmp_path / "out")
    assert sorted(map(json.dumps, train + validation)) == sorted(map(json.dumps, ROWS))
    assert 10 < len(validation) < 60
    assert list(read(tmp_path / "out/train.jsonl")) == train
    assert survey(tmp_path / "out/validation.jsonl").rows == len(validation)


def test_no_row_is_on_both_sides_whatever_the_order_and_the_repeats(rows, tmp_path):
    lines = rows.read_text().splitlines()
    random.Random(1).shuffle(lines)
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join(lines + lines[:50]))
    data("pack", rows, "--out", tmp_path / "a")
    data("pack", other, rows, "--out", tmp_path / "b")
    as_sets = [
        [{json.dumps(row, sort_keys=True) for row in side} for side in sides(tmp_path / name)]
        for name in "ab"
    ]
    assert as_sets[0] == as_sets[1]
    assert not as_sets[0][0] & as_sets[0][1]
    card = json.loads((tmp_path / "b/card.json").read_text())
    assert (card["rows"], card["repeats"], card["read"]) == (300, 350, 650)


def test_a_dataset_that_grows_keeps_its_sides(rows, tmp_path):
    data("pack", rows, "--out", tmp_path / "all")
    data("pack", rows, "--out", tmp_path / "some", "--limit", 200)
    _, validation = sides(tmp_path / "all")
    train, some = sides(tmp_path / "some")
    assert len(train) + len(some) == 200
    assert all(row in validation for row in some)
    assert not any(row in validation for row in train)


def test_another_salt_is_another_split(rows, tmp_path):
    for salt in ("", "x"):
        data("pack", rows, "--out", tmp_path / f"out{salt}", "--salt", salt)
    assert sides(tmp_path / "out")[1] != sides(tmp_path / "outx")[1]


def test_rows_with_one_key_are_one_problem(tmp_path):
    source = tmp_path / "rows.jsonl"
    rows = [{"q": f"q{n % 40}", "a": "1" if n < 60 else "2"} for n in range(80)]
    source.write_text("\n".join(map(json.dumps, rows)))
    assert data("pack", source, "--key", "q", "--validation", 0.5, "--out", tmp_path / "out") == 0
    train, validation = sides(tmp_path / "out")
    assert not {row["q"] for row in train} & {row["q"] for row in validation}
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert (card["rows"], card["repeats"], card["conflicts"]) == (40, 20, 20)
    assert any("key" in warning for warning in card["warnings"])


def test_csv_is_text_unless_it_is_parsed(tmp_path):
    source = tmp_path / "rows.csv"
    source.write_bytes(
        '\ufeffquestion,answer,tags\n"two\nlines, one cell",007,"[1, {""a"": null}]"\n'.encode()
    )
    args = ["--parse", "tags", "--rename", "question=task", "--columns", "question,tags,answer"]
    assert data("pack", source, *args, "--validation", 0, "--out", tmp_path / "out") == 0
    assert packed(tmp_path / "out", "train.jsonl") == [
        {"task": "two\nlines, one cell", "tags": [1, {"a": None}], "answer": "007"}
    ]
    assert not (tmp_path / "out/validation.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("a.jsonl", '{"a": 1}\n\n{"a": NaN}\n', "a.jsonl:3"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "a.jsonl:2"),
        ("a.jsonl", '{"a": 1, "a": 2}\n', "a.jsonl:1"),
        ("a.jsonl", '{"a": "\\ud800"}\n', "a.jsonl:1"),
        ("a.json", '[{"a": 1}, 2]', "a.json row 2"),
        ("a.json", '{"a": 1}', "a.json"),
        ("a.csv", "a,b\n1,2\n3\n", "a.csv:3"),
        ("a.csv", 'a,b\n1,"2\n', "a.csv:2"),
        ("a.csv", "a,a\n1,2\n", "a.csv:1"),
        ("a.tsv", "a\tb\n1\t2\t3\n", "a.tsv:2"),
        ("a.jsonl", "", "a.jsonl"),
        ("a.txt", "x", "a.txt"),
    ],
)
def test_what_cannot_be_packed_is_named_with_its_line(name, text, place, tmp_path, capsys):
    (tmp_path / name).write_text(text)
    assert data("pack", tmp_path / name, "--out", tmp_path / "out") == 2
    assert place in capsys.readouterr().err.replace("\n", "")


def test_bad_rows_are_passed_over_and_counted_if_asked(tmp_path, capsys):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"a": 1}\nno\n{"a": 2}\n')
    assert data("pack", source, "--skip-bad", "--json", "--out", tmp_path / "out") == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["rows"], card["bad"]) == (2, 1)
    assert card["examples"][0].startswith(f"{source}:2 ")


@pytest.mark.parametrize(
    "arguments",
    [["--columns", "nope"], ["--key", "nope"], ["--rename", "level=answer"], ["--validation", "1"]],
)
def test_wrong_columns_and_shares_are_refused(arguments, rows, tmp_path, capsys):
    assert data("pack", rows, *arguments, "--out", tmp_path / "out") == 2
    assert "error" in capsys.readouterr().err


def test_what_the_platform_could_not_take_is_refused(rows, tmp_path, capsys, monkeypatch):
    source = tmp_path / "large.jsonl"
    source.write_text(json.dumps({"a": "x" * 1_500_000}) + "\n")
    assert data("pack", source, "--validation", 0, "--out", tmp_path / "out") == 0
    assert "asynchronous" in json.loads((tmp_path / "out/card.json").read_text())["warnings"][-1]
    source.write_text(json.dumps({"a": "ü" * 3_500_000}) + "\n")
    assert data("pack", source, "--out", tmp_path / "out") == 2
    assert "6 MB" in capsys.readouterr().err
    monkeypatch.setattr(packing, "MOST_FILE", 10_000)
    assert data("pack", rows, "--out", tmp_path / "out") == 2
    assert "1 GB" in capsys.readouterr().err


def test_the_card_says_what_is_in_it(rows, tmp_path):
    data("pack", rows, "--out", tmp_path / "out")
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert card["columns"]["level"] == {
        "rows": 300, "types": {"whole number": 300}, "longest": 1, "example": "0",
    }  # fmt: skip
    assert sum(side["rows"] for side in card["splits"].values()) == 300
    for side in card["splits"].values():
        assert side["bytes"] == (tmp_path / "out" / side["file"]).stat().st_size
        assert side["sha256"] == survey(tmp_path / "out" / side["file"]).sha256
    text = (tmp_path / "out/card.md").read_text()
    assert "| `question` | 300 | text |" in text


def test_a_card_shows_data_as_text(tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps({"a|b": "<script>|\n# x [l](javascript:1)`"}) + "\n")
    data("pack", source, "--out", tmp_path / "out")
    line = next(x for x in (tmp_path / "out/card.md").read_text().splitlines() if "script" in x)
    assert "\\<script\\>\\|" in line
    assert "\\[l\\]" in line


def test_there_and_back(rows, tmp_path):
    data("pack", rows, "--validation", 0, "--out", tmp_path / "out")
    for name in ("back.jsonl", "back.csv"):
        assert data("unpack", tmp_path / "out", tmp_path / name) == 0
    assert [json.loads(x) for x in (tmp_path / "back.jsonl").read_text().splitlines()] == ROWS
    data(
        "pack",
        tmp_path / "back.csv",
        "--parse",
        "level",
        "--validation",
        0,
        "--out",
        tmp_path / "again",
    )
    assert packed(tmp_path / "again", "train.jsonl") == ROWS
    data("pack", tmp_path / "out/train.jsonl", "--validation", 0, "--out", tmp_path / "repacked")
    assert (tmp_path / "repacked/train.jsonl").read_bytes() == (
        tmp_path / "out/train.jsonl"
    ).read_bytes()


def test_rows_that_are_no_jobs_are_not_unpacked(rows, tmp_path, capsys):
    assert data("unpack", rows, tmp_path / "back.jsonl") == 2
    assert "rows.jsonl:1" in capsys.readouterr().err.replace("\n", "")


def test_a_missing_package_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert data("pack", tmp_path / "a.parquet", "--out", tmp_path / "out") == 2
    assert "serverless-rollout[data]" in capsys.readouterr().err
