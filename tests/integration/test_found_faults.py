"""A rehearsal is looked over before it is judged, and what is found is part of its verdict."""

from __future__ import annotations

import json
import textwrap

import pytest

from devkit.__main__ import main

CODE = """
    import itertools
    from rollout import Outcome, agent

    counted = itertools.count()

    def ask(episode, text):
        return episode.sample([{"role": "user", "content": text}]).text

    @agent
    def noisy(episode):
        said = ask(episode, episode.instance["question"])
        return float(said == episode.instance["answer"]) + 0.1 * (next(counted) % 7)

    @agent
    def swallowing(episode):
        ask(episode, "Say ready.")
        try:
            return float(ask(episode, episode.instance["question"]) == episode.instance["answer"])
        except Exception:
            return 0.25

    @agent
    def sound(episode):
        said = ask(episode, episode.instance["question"])
        solved = float(said == episode.instance["answer"])
        return Outcome(solved, {"success": solved})

    def gold(instance, messages):
        return {"content": instance["answer"]}

    def poor(instance, messages):
        return {"content": "no idea"}
"""


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    name = f"found_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(CODE))
    rows = [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in range(4)]
    lines = (json.dumps({"prompt": json.dumps(row)}) for row in rows)
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.fixture
def findings(mine, tmp_path, capsys):
    """Codes and severities that the report of a rehearsal tells, beside its exit code."""

    def rehearse(agent, *more):
        run = str(tmp_path / "run")
        code = main(
            ["rehearse", str(tmp_path / "rows.jsonl"), "--agent", f"{mine}:{agent}",
             "--group-size", "4", "--skill", "0.5", "--run", run, *more]
        )  # fmt: skip
        capsys.readouterr()
        main(["report", run, "--json"])
        told = json.loads(capsys.readouterr().out)["findings"]
        return code, {finding["code"]: finding["severity"] for finding in told}

    return rehearse


def test_chance_is_found_and_shown_with_both_transcripts(findings, tmp_path):
    code, found = findings("noisy")
    assert (code, found["same-words-another-reward"]) == (1, "not ready")
    faults = json.loads((tmp_path / "run/faults.json").read_text())["faults"]
    fault = next(each for each in faults if each["code"] == "same-words-another-reward")
    first, again = fault["evidence"]
    assert first["messages"] == again["messages"]
    assert first["rewards"] != again["rewards"]


def test_an_outage_that_is_scored_is_found_under_faults(findings):
    _, found = findings("swallowing", "--faults", "Sample@2:status=500")
    assert found["scored-outage"] == "not ready"


def test_a_sound_environment_is_left_in_peace(findings, tmp_path):
    _, found = findings("sound")
    assert not {code for code, severity in found.items() if severity == "not ready"}
    assert json.loads((tmp_path / "run/faults.json").read_text())["faults"] == []


def test_nothing_is_played_again_where_that_is_not_wanted(findings, tmp_path):
    _, found = findings("noisy", "--no-detectors")
    assert "same-words-another-reward" not in found
    assert not (tmp_path / "run/faults.json").exists()


def test_probe_reads_the_whole_dataset_and_a_validation_set(mine, tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    command = ["probe", str(rows), "--agent", f"{mine}:sound", "--json", "--limit", "1"]
    assert main(command) == 0
    capsys.readouterr()
    assert main([*command, "--validation", str(rows)]) == 1
    found = json.loads(capsys.readouterr().out)["faults"]
    assert [(fault["code"], fault["rows"]) for fault in found] == [
        ("trained-on-validation", [0, 1, 2, 3])
    ]
