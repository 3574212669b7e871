"""Parquet and saved datasets, held to pyarrow and Hugging Face's ``datasets`` (.tools/data)."""

from __future__ import annotations

import json

import pytest

from rollout.service.job_event import instance_of
from tests.other_packages import python_in, rollout_in

MAKE = """
import datetime, decimal, json, sys
import datasets, pyarrow as pa, pyarrow.parquet as pq
to = sys.argv[1]
rows = [{"question": f"q{n}", "answer": n, "extra": {"tags": ["a", str(n)], "ratio": n / 4}} for n in range(2500)]
both = datasets.DatasetDict(train=datasets.Dataset.from_list(rows), test=datasets.Dataset.from_list(rows[:10]))
both.save_to_disk(f"{to}/both")
both["train"].save_to_disk(f"{to}/shards", num_shards=3)
both["train"].to_parquet(f"{to}/rows.parquet")
both["train"].select([5, 3, 1]).save_to_disk(f"{to}/chosen")
odd = {"when": datetime.date(2026, 1, 2), "price": decimal.Decimal("1.50"), "raw": b"\\xff\\xfe", "none": None}
pq.write_table(pa.Table.from_pylist([odd]), f"{to}/odd.parquet")
"""
READ = """
import json, sys
import datasets
found = datasets.load_from_disk(sys.argv[1])
parquet = datasets.load_dataset("parquet", data_files=sys.argv[2], split="train", cache_dir=sys.argv[3])
print(json.dumps({"features": list(found.features), "rows": found.to_list(), "prompts": parquet["prompt"][:]}))
"""


def run(code, *arguments):
    return python_in("data", code, *arguments, HF_HUB_OFFLINE="1")


def data(*arguments):
    return rollout_in("data", "data", *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    done = run(MAKE, folder)
    assert done.returncode == 0, done.stderr
    return folder


def instances(folder):
    lines = (folder / "train.jsonl").read_text().splitlines()
    return [instance_of(json.loads(line)["prompt"]) for line in lines]


def wanted(numbers):
    return [
        {"question": f"q{n}", "answer": n, "extra": {"tags": ["a", str(n)], "ratio": n / 4}}
        for n in numbers
    ]


@pytest.mark.parametrize(
    ("source", "arguments", "numbers"),
    [
        ("both", ["--split", "train"], range(2500)),
        ("both", ["--split", "test"], range(10)),
        ("shards", [], range(2500)),
        ("rows.parquet", [], range(2500)),
        ("both/test/data-00000-of-00001.arrow", [], range(10)),
        ("chosen", [], (5, 3, 1)),
    ],
)
def test_what_datasets_wrote_is_packed(source, arguments, numbers, made, tmp_path):
    done = data("pack", made / source, *arguments, "--validation", "0", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert instances(tmp_path) == wanted(numbers)


def test_datasets_reads_what_was_written(made, tmp_path):
    pack = data(
        "pack", made / "rows.parquet", "--limit", "40", "--parquet", "--out", tmp_path / "out"
    )
    assert pack.returncode == 0, pack.stderr
    back = data("unpack", tmp_path / "out/train.parquet", tmp_path / "saved")
    assert back.returncode == 0, back.stderr
    done = run(READ, tmp_path / "saved", tmp_path / "out/train.parquet", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["features"] == ["question", "answer", "extra"]
    assert [instance_of(prompt) for prompt in read["prompts"]] == read["rows"]
    numbers = [row["answer"] for row in read["rows"]]
    assert len(numbers) > 30
    assert read["rows"] == wanted(numbers)


@pytest.mark.parametrize(
    ("source", "arguments", "says"),
    [
        ("both", [], "train, test"),
        ("odd.parquet", [], "odd.parquet row 1"),
    ],
)
def test_what_cannot_be_packed_is_named(source, arguments, says, made, tmp_path):
    done = data("pack", made / source, *arguments, "--out", tmp_path)
    assert done.returncode == 2
    assert says in done.stderr.replace("\n", "")


def test_dates_and_decimals_are_packed_as_json(made, tmp_path):
    done = data("pack", made / "odd.parquet", "--columns", "when,price,none", "--validation", "0", "--out", tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert instances(tmp_path) == [{"when": "2026-01-02", "price": 1.5, "none": None}]


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing more")
    done = data("pack", tmp_path / "a.parquet", "--out", tmp_path / "out")
    assert (done.returncode, "a.parquet" in done.stderr) == (2, True)
