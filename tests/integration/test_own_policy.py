"""A policy of the user's own, by module and name: run, rehearse and train take it."""

from __future__ import annotations

import json
import textwrap

import pytest

from devkit.__main__ import main
from devkit.places import dataset_of
from devkit.rehearsal.run_files import read_manifest, read_rollouts

WORDLE = "environments.wordle:wordle"
WORDS = str(dataset_of(WORDLE))
CODE = '''
    import random

    def said(asked):
        return "<guess>%s</guess>" % asked.instance["word"]

    def knows(asked):
        """The word, as text alone."""
        return said(asked)

    async def knows_later(asked):
        return {"content": said(asked)}

    def half(asked):
        """A chat completion that lacks all but its message."""
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": said(asked)}}]}

    def breaks(asked):
        raise LookupError("no weights for turn %d" % asked.turn)

    def answers_nothing(asked):
        return 7

    NAME = "nobody"

    def two(asked, more): ...

    class Learns:
        """Says the word more often, the more it was worth."""

        def __init__(self):
            self.chance, self.said, self.dice = 0.2, {}, random.Random(1)

        def sample(self, asked):
            if asked.trajectory_id not in self.said:
                self.said[asked.trajectory_id] = self.dice.random() < self.chance
            return said(asked) if self.said[asked.trajectory_id] else "no word"

        def learn(self, advantages):
            for each in advantages:
                step = each.value if self.said[each.trajectory_id] else -each.value
                self.chance = min(0.95, max(0.05, self.chance + 0.02 * step))

        def describe(self):
            return {"chance": self.chance}
'''


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """A module of the user's, importable under a name of its own."""
    name = f"mine_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(CODE))
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def rehearse(policy, run, *more):
    return main(
        ["rehearse", WORDS, "--agent", WORDLE, "--limit", "2", "--group-size", "2", "--policy", policy,
         "--mode", "inline", "--run", str(run), *more]
    )  # fmt: skip


@pytest.mark.parametrize("name", ["knows", "knows_later", "half"])
def test_a_rehearsal_asks_it(mine, tmp_path, name):
    rehearse(f"{mine}:{name}", tmp_path / "run")
    assert read_manifest(tmp_path / "run").policy == f"{mine}:{name}"
    played = list(read_rollouts(tmp_path / "run"))
    assert [record.reward for record in played] == [1.0] * 4
    assert all({"prompt_tokens", "total_tokens"} <= set(r.turns[0].usage) for r in played)


@pytest.mark.parametrize(
    ("name", "kind"), [("breaks", "LookupError"), ("answers_nothing", "TypeError")]
)
def test_what_it_raises_is_no_reward_and_is_shown(mine, tmp_path, capsys, name, kind):
    assert rehearse(f"{mine}:{name}", tmp_path / "run") == 1
    said = capsys.readouterr().out
    assert {record.error["boundary"] for record in read_rollouts(tmp_path / "run")} == {"policy"}
    assert "Traceback" in said
    assert kind in said


@pytest.mark.parametrize(
    ("name", "reason"), [("nobody", "nobody"), ("two", "one argument"), ("NAME", "method sample")]
)
def test_what_cannot_be_asked_is_a_wrong_call(mine, tmp_path, capsys, name, reason):
    assert rehearse(f"{mine}:{name}", tmp_path / "run") == 2
    assert reason in " ".join(capsys.readouterr().out.split())


def test_run_plays_it(mine, capsys):
    command = [
        "run",
        "--once",
        "--port",
        "0",
        "--agent",
        WORDLE,
        "--limit",
        "2",
        "--group-size",
        "1",
    ]
    assert main([*command, "--policy", f"{mine}:knows"]) == 0
    assert "mean reward  1.000" in capsys.readouterr().out


def test_train_lets_it_learn(mine, tmp_path, capsys):
    code = main(
        ["train", WORDS, "--agent", WORDLE, "--success", "won", "--steps", "8", "--batch-size", "3",
         "--group-size", "8", "--policy", f"{mine}:Learns", "--out", str(tmp_path), "--json"]
    )  # fmt: skip
    outcome = json.loads(capsys.readouterr().out)
    steps = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert (code, outcome["shown"], outcome["grew"]) == (0, "learned", None)
    assert steps[-1]["policy"]["chance"] > steps[0]["policy"]["chance"] == 0.2


def test_what_does_not_learn_cannot_be_trained(mine, tmp_path, capsys):
    command = ["train", WORDS, "--agent", WORDLE, "--out", str(tmp_path)]
    assert main([*command, "--policy", f"{mine}:knows"]) == 2
    assert "learn" in capsys.readouterr().out
