"""``rollout train`` through the contract: POST /rollout, Sample, CompleteRollout, UpdateReward."""

from __future__ import annotations

import json

from devkit.__main__ import main
from devkit.places import dataset_of

WORDLE = "environments.wordle:wordle"


def test_a_course_is_played_kept_and_judged(tmp_path, capsys):
    code = main(
        ["train", str(dataset_of(WORDLE)), "--agent", WORDLE, "--success", "won", "--steps", "8",
         "--batch-size", "2", "--group-size", "6", "--behaviours", "gold,poor,silent", "--skill", "0.3",
         "--rate", "4", "--out", str(tmp_path), "--json"]
    )  # fmt: skip
    outcome = json.loads(capsys.readouterr().out)
    steps = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert (code, outcome["shown"], outcome["grew"][0]) == (0, "learned", "gold")
    assert [step["step"] for step in steps] == list(range(8))
    assert all(step["rollouts"] == 12 and step["failed"] == 0 for step in steps)
    assert json.loads((tmp_path / "outcome.json").read_text()) == outcome


def test_a_behaviour_there_is_not_is_a_wrong_call(tmp_path, capsys):
    arguments = ["train", str(dataset_of(WORDLE)), "--agent", WORDLE, "--behaviours", "gold,nobody"]
    assert main([*arguments, "--out", str(tmp_path)]) == 2
    assert "nobody" in capsys.readouterr().out
