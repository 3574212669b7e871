"""A dataset is written from what an agent generates."""

from __future__ import annotations

import json

import pytest

from devkit.__main__ import main
from devkit.rehearsal.play import read_rows
from rollout import agent
from rollout.agent import load_agent


def made(size, seed):
    for number in range(size):
        yield {"question": f"{seed} + {number}", "tags": {"b", "a"}}


@agent(rows=made)
def generating(episode):
    return 1.0


@agent
def plain(episode):
    return 1.0


NAME = f"{__name__}:generating"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "rows.jsonl"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[made.__module__])
    load_agent.cache_clear()


def test_rows_pack_instances_as_a_job_reads_them(out):
    assert main(["rows", NAME, "--size", "3", "--seed", "7", "--out", str(out)]) == 0
    assert read_rows(out, 10)[2] == {"question": "7 + 2", "tags": ["a", "b"]}
    assert [set(json.loads(line)) for line in out.read_text().splitlines()] == [{"prompt"}] * 3


def test_what_is_there_is_written_over_only_by_force(out, capsys):
    out.write_text("mine\n")
    assert main(["rows", NAME, "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "mine\n"
    assert main(["rows", NAME, "--size", "2", "--out", str(out), "--force"]) == 0
    assert len(out.read_text().splitlines()) == 2


def test_an_agent_that_generates_nothing_says_how_it_would(out, capsys):
    assert main(["rows", f"{__name__}:plain", "--out", str(out)]) == 2
    assert "@agent(rows=" in capsys.readouterr().err
    assert not out.exists()
