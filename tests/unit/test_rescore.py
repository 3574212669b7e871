"""A changed reward changes the scores it should, and an agent that went another way is named."""

from __future__ import annotations

import json

import pytest

from devkit.__main__ import main
from devkit.rehearsal.rescoring import DIVERGED, rescore
from devkit.rehearsal.run_files import read_manifest, read_rollouts
from devkit.rehearsal.score_changes import ScoreChanges
from devkit.verdict.readiness import judge
from rollout import Outcome
from rollout.agent import Agent
from tests.rehearsed import failure, played, record, turn, write


def again(run, function, out=None):
    """Score a run again by a function; what moved, and the new records."""
    out = out or run.with_name(f"{run.name}-rescored")
    changes = ScoreChanges(str(run), str(out), "test")
    records = list(rescore(run, Agent("test:agent", function), out, changes))
    assert list(read_rollouts(out)) == records
    return changes.document(), records


def asks(episode):
    """Asks what the made-up records were asked."""
    return episode.sample([{"role": "user", "content": "?"}])


@pytest.mark.parametrize("name", ["calculator", "wordle", "sql", "support_desk"])
def test_the_same_agent_moves_nothing(tmp_path, name, capsys):
    run = played(tmp_path / "run", name, rows=3)
    assert main(["rescore", str(run), "--json"]) == 0
    moved = json.loads(capsys.readouterr().out)
    assert (moved["rollouts"], moved["moved"], moved["diverged"]) == (12, 0, 0)
    before = [(r.trajectory_id, r.reward, r.metrics, r.output) for r in read_rollouts(run)]
    new = tmp_path / "run-rescored"
    assert [(r.trajectory_id, r.reward, r.metrics, r.output) for r in read_rollouts(new)] == before
    assert read_manifest(new).rescored_from == str(run)


def test_a_changed_reward_moves_what_it_should(tmp_path):
    run = write(
        tmp_path / "run",
        [record(0, 0, 0.0, turns=[turn("short")]), record(0, 1, 0.0, turns=[turn("longer")]),
         record(1, 0, 1.0, turns=[turn("short")]), record(1, 1, 1.0, turns=[turn("short")])],
    )  # fmt: skip

    def generous(episode):
        return Outcome(1.0 if asks(episode).text == "short" else 0.0, {"new": 1.0})

    moved, records = again(run, generous)
    assert [r.reward for r in records] == [1.0, 0.0, 1.0, 1.0]
    assert records[0].metrics == {"new": 1.0}
    assert records[0].turns == next(iter(read_rollouts(run))).turns
    assert (moved["moved"], moved["diverged"]) == (1, 0)
    assert (moved["mean_before"], moved["mean_after"]) == (0.5, 0.75)
    assert moved["groups_without_spread_before"] == 2
    assert moved["groups_without_spread_after"] == 1
    assert moved["groups"][0] == {
        "group": 0,
        "before": {"mean": 0.0, "deviation": 0.0, "flat": True},
        "after": {"mean": 0.5, "deviation": 0.5, "flat": False},
        "moved": 1,
    }
    assert moved["top_moves"] == [
        {"trajectory_id": "r-0000-0", "group": 0, "before": 0.0, "after": 1.0}
    ]
    assert judge(tmp_path / "run-rescored").numbers.reward.value == 0.75


def more(episode):
    asks(episode)
    asks(episode)
    asks(episode)
    return 1.0


def swallowing(episode):
    try:
        more(episode)
    except Exception:  # noqa: BLE001 - what some frameworks do
        return 1.0


def less(episode):
    asks(episode)
    return 1.0


def otherwise(episode):
    asks(episode)
    episode.sample([{"role": "user", "content": "!"}])
    return 1.0


def colder(episode):
    episode.sample([{"role": "user", "content": "?"}], stop=["."])
    return 1.0


@pytest.mark.parametrize(
    ("function", "number", "why"),
    [
        (more, 3, "asked for turn 3, which was not recorded"),
        (swallowing, 3, "asked for turn 3, which was not recorded"),
        (less, 2, "ended after turn 1 of 2"),
        (otherwise, 2, "message 1 of the request is another"),
        (colder, 1, "the request's stop differ"),
    ],
)
def test_an_agent_that_goes_another_way_is_named_and_not_scored(tmp_path, function, number, why):
    run = write(
        tmp_path / "run", [record(0, 0, 1.0, turns=[turn(), turn(messages=[], repeated=1)])]
    )
    moved, (new,) = again(run, function)
    assert (moved["moved"], moved["diverged"]) == (0, 1)
    found = moved["divergences"][0]
    assert (found["trajectory_id"], found["turn"]) == ("r-0000-0", number)
    assert why in found["why"]
    assert (new.status, new.reward, new.error["type"]) == ("failed", None, DIVERGED)


def test_failures_that_are_not_the_agents_stay_and_the_agents_can_be_mended(tmp_path):
    kept = record(0, 0, None, error=failure("policy"))
    mended = record(0, 1, None, error=failure("agent"))
    moved, records = again(write(tmp_path / "run", [kept, mended]), less)
    assert records[0] == kept
    assert records[1].reward == 1.0
    assert records[1].error is None
    assert (moved["kept"], moved["moved"]) == (1, 1)


def test_the_dice_fall_as_they_fell(tmp_path):
    def gamble(episode):
        asks(episode)
        return episode.random.random()

    run = write(tmp_path / "run", [record(0, 0), record(0, 1)])
    _, first = again(run, gamble)
    _, second = again(run, gamble)
    assert [r.reward for r in first] == [r.reward for r in second]
    assert first[0].reward != first[1].reward


def test_the_trainers_parameters_are_the_runs(tmp_path):
    turns = [turn(params={"temperature": 0.7, "max_tokens": 64})]
    run = write(tmp_path / "run", [record(turns=turns)], temperature=0.7, max_tokens=64)

    def reading(episode):
        asks(episode)
        return episode.inference_params["temperature"]

    moved, (new,) = again(run, reading)
    assert (moved["diverged"], new.reward) == (0, 0.7)


def test_an_agent_that_breaks_is_counted(tmp_path, capsys):
    run = played(tmp_path / "run", "wordle", rows=1, group_size=1)
    moved, _ = again(run, lambda episode: asks(episode) and 1 / 0)
    assert moved["diverged"] == 1  # it asked something else before it broke
    run = write(tmp_path / "other", [record()])
    moved, (new,) = again(run, lambda episode: asks(episode) and 1 / 0)
    assert (moved["broken"], new.error["boundary"]) == (1, "agent")


def test_only_an_earlier_rescore_of_the_same_run_is_replaced(tmp_path):
    run = write(tmp_path / "run", [record()])
    again(run, less)
    assert len(again(run, less)[1]) == 1
    other = write(tmp_path / "other", [record()])
    with pytest.raises(ValueError, match="name another with --out"):
        again(other, less, tmp_path / "run-rescored")
    with pytest.raises(ValueError, match="name another with --out"):
        again(run, less, other)
    assert len(list(read_rollouts(other))) == 1


def test_the_exit_code_says_that_some_diverged(tmp_path, capsys):
    run = str(played(tmp_path / "run", "wordle", rows=2))
    other = ["--agent", "environments.calculator:calculator"]
    # Wordle's rows are no problems for the calculator: it fails before it samples.
    assert main(["rescore", run, *other]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "8 diverged" in said
    assert "r-0000-0 turn 1: the agent ended after turn 0" in said
    assert "The instance has no 'question' text" in said
    assert main(["rescore", run, *other, "--allow-diverged"]) == 0


def test_a_table_tells_group_by_group(tmp_path, capsys, monkeypatch):
    from environments import wordle

    run = played(tmp_path / "run", "wordle", rows=4)
    monkeypatch.setattr(wordle, "score", lambda **facts: 0.5 * facts["won"])
    assert main(["rescore", str(run)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "rollouts moved" in said
    assert "groups that moved" in said
    assert "New run: " in said


def test_an_agent_that_cannot_be_loaded_is_a_wrong_call(tmp_path, capsys):
    run = str(write(tmp_path / "run", [record()]))
    assert main(["rescore", run, "--agent", "environments.nobody:nobody"]) == 2
    assert "environments.nobody" in capsys.readouterr().err


def test_the_same_agent_that_gives_another_reward_is_an_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "noisy.py").write_text(
        "import itertools\n"
        "from rollout import agent\n"
        "counted = itertools.count()\n"
        "@agent\n"
        "def noisy(episode):\n"
        "    episode.sample([{'role': 'user', 'content': episode.instance['question']}])\n"
        "    return float(next(counted))\n"
        "def gold(instance, messages):\n"
        "    return {'content': 'x'}\n"
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "{\\"question\\": \\"?\\"}"}\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    run = str(tmp_path / "run")
    play = ["rehearse", str(rows), "--agent", "noisy:noisy", "--policy", "scripted:gold"]
    main([*play, "--group-size", "3", "--no-detectors", "--run", run])
    capsys.readouterr()
    assert main(["rescore", run, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["same_agent"], told["moved"], told["diverged"]) == (True, 3, 0)
    with (tmp_path / "noisy.py").open("a") as source:
        source.write("# changed\n")
    assert main(["rescore", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same_agent"] is False
