"""What a rehearsal reads and keeps: rows as a stream, runs that go on, turns as differences."""

from __future__ import annotations

import hashlib
import json

import pytest

from devkit.emulator.job_runtime import CapturedTurn, Trajectory
from devkit.rehearsal import captured
from devkit.rehearsal.dataset import survey
from devkit.rehearsal.play import tasks_of
from devkit.rehearsal.reconcile import reconcile
from devkit.rehearsal.resume import OtherRun, begin, cut_tail
from devkit.rehearsal.run_files import (
    ROLLOUTS,
    Manifest,
    RolloutRecord,
    append_rollout,
    read_rollouts,
)


def manifest(**changed):
    known = {
        "name": "r", "agent": "a:a", "dataset": "d", "dataset_sha256": "0", "rows": 2,
        "group_size": 2, "policy": "scripted", "mode": "inline", "temperature": 1.0, "top_p": 1.0,
        "max_tokens": 1, "seed": 0, "rollout_timeout": 600, "started_at": "now",
    }  # fmt: skip
    return Manifest(**{**known, **changed})


def record(trajectory_id="r-000000-00", **changed):
    known = {
        "trajectory_id": trajectory_id, "group": 0, "member": 0, "instance": {}, "status": "ready",
        "reward": 1.0, "rewards": [1.0], "http_status": 200, "seconds": 0.1, "sampled": 0,
        "turns_answered": 0, "reports": ["CompleteRollout 200", "UpdateReward 200"],
    }  # fmt: skip
    return RolloutRecord(**{**known, **changed})


@pytest.fixture
def ten(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"n": n}) + "\n\n" for n in range(10)))
    return path


def test_rows_are_counted_hashed_and_chosen(ten):
    dataset = survey(ten, instances=True)
    assert (dataset.rows, dataset.sha256) == (10, hashlib.sha256(ten.read_bytes()).hexdigest())
    assert [n for n, _ in dataset.choose()] == list(range(10))
    assert list(dataset.choose(limit=3)) == [(n, {"n": n}) for n in range(3)]
    assert [n for n, _ in dataset.choose(limit=99)] == list(range(10))
    sample = list(dataset.choose(sample=4, seed=1))
    assert len(sample) == 4
    assert all(row == {"n": n} for n, row in sample)
    assert (
        sample == list(dataset.choose(sample=4, seed=1)) != list(dataset.choose(sample=4, seed=2))
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"prompt": "1"}\n[1]\n', "2 is not a JSON"),
        ("\n", "no rows"),
        (
            '{"prompt": "1"}\n{"question": "1", "prompt_id": 1}\n',
            "2 has no column prompt: .*'question'",
        ),
        ("{}\n", "1 has no column prompt: .* nothing"),
    ],
)
def test_a_dataset_that_cannot_be_played_names_the_line(tmp_path, text, said):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        survey(path)


def test_rows_without_a_prompt_are_played_as_they_are_where_that_is_said(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "1 + 1?"}\n{"prompt": "{\\"question\\": \\"2\\"}"}\n')
    dataset = survey(path, instances=True)
    assert [row for _, row in dataset.choose()] == [{"question": "1 + 1?"}, {"question": "2"}]


def test_a_row_is_read_when_somebody_is_free_to_play_it():
    read = []

    def rows():
        for n in range(1_000_000):
            read.append(n)
            yield n, {}

    tasks = tasks_of(rows(), 2, name="r", done={"r-000000-01"})
    assert [next(tasks).trajectory_id for _ in range(3)] == [
        "r-000000-00",
        "r-000001-00",
        "r-000001-01",
    ]
    assert read == [0, 1]


def test_a_run_goes_on_and_another_is_refused_by_the_field_that_differs(tmp_path):
    begun, done = begin(tmp_path / "run", manifest())
    assert done == set()
    append_rollout(tmp_path / "run", record("r-000000-00"))
    again, done = begin(tmp_path / "run", manifest(name="other", started_at="later"))
    assert (again, done) == (begun, {"r-000000-00"})
    with pytest.raises(OtherRun, match=r"begun with temperature 1\.0, not 0\.5"):
        begin(tmp_path / "run", manifest(temperature=0.5))


def test_a_line_cut_short_is_dropped_before_the_next_is_written(tmp_path):
    begin(tmp_path, manifest())
    append_rollout(tmp_path, record("r-000000-00"))
    append_rollout(tmp_path, record("r-000000-01", output="x" * 200_000))
    path = tmp_path / ROLLOUTS
    path.write_bytes(path.read_bytes()[:-7])
    _, done = begin(tmp_path, manifest())
    assert done == {"r-000000-00"}
    append_rollout(tmp_path, record("r-000000-02"))
    kept = [found.trajectory_id for found in read_rollouts(tmp_path)]
    assert kept == ["r-000000-00", "r-000000-02"]


def test_a_file_of_nothing_but_a_broken_line_becomes_empty(tmp_path):
    path = tmp_path / ROLLOUTS
    path.write_text('{"half')
    cut_tail(path)
    assert path.read_bytes() == b""


def turn(messages, said, **more):
    answer = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}], "usage": None}
    return CapturedTurn({"messages": messages, **more}, answer, {}, 0.0, 0.5)


def test_turns_are_kept_as_what_each_added():
    one = {"role": "user", "content": "1"}
    two = {"role": "assistant", "content": "a"}
    three = {"role": "user", "content": "2"}
    trajectory = Trajectory("job", "t", {})
    trajectory.turns = [
        turn([one], "a", temperature=1),
        turn([one, two, three], "b"),
        turn([three], "c"),
    ]
    turns = captured.turns_of(trajectory)
    assert [(t.repeated, t.messages) for t in turns] == [
        (0, [one]),
        (1, [two, three]),
        (0, [three]),
    ]
    assert (turns[0].params, turns[0].seconds) == ({"temperature": 1}, 0.5)
    whole = record(turns=turns[:2], sampled=2).messages()
    assert [message["content"] for message in whole] == ["1", "a", "2", "b"]


def test_a_reply_that_is_no_completion_is_kept_too():
    trajectory = Trajectory("job", "t", {})
    trajectory.turns = [CapturedTurn({"messages": []}, {"choices": []}, {}, 0.0)]
    assert captured.turns_of(trajectory)[0].message == {"role": "assistant", "content": None}


def test_what_did_not_survive_is_counted():
    turns = captured.turns_of(
        Trajectory("j", "t", {}, turns=[turn([{"role": "user", "content": "x"}], "a")] * 2)
    )
    error = {
        "type": "urn:rollout:problem:sample-failed",
        "slug": "sample-failed",
        "title": "t",
        "boundary": "policy",
        "detail": "",
    }
    lost = {"status": "failed", "reward": None, "rewards": None, "error": error}
    found = reconcile(
        [
            record("well"),
            record("twice", turns=turns, turns_answered=1),
            record("possibly_captured", turns=turns, turns_answered=1, **{**lost, "reports": ["CompleteRollout 200"]}),
            record("silent", reports=["CompleteRollout 200"]),
            record("fought", reports=["CompleteRollout 200", "UpdateReward 200", "UpdateReward 409"]),
        ]
    )  # fmt: skip
    assert found.turn_twice == ["twice"]
    assert found.unreported == ["silent"]
    assert found.in_conflict == ["fought"]
    assert found.results == {"ready": 4, "sample-failed": 1}
    assert not found.clean
    assert "turns captured twice   1  twice" in list(found.lines())


@pytest.mark.parametrize(
    "line",
    [
        '{"question": "q", "answer": NaN}',
        '{"question": "\\ud800"}',
        '{"prompt": "{\\"answer\\": NaN}"}',
        '{"prompt": "{\\"answer\\": \\"\\\\ud800\\"}"}',
        '{"a": 1, "a": 2}',
        "[1]",
        '{"question": ',
    ],
)
def test_a_row_no_job_could_send_is_named_by_its_line_or_skipped(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"question": "1"}}\n\n{line}\n{{"question": "2"}}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl:3 "):
        survey(path, instances=True)
    dataset = survey(path, skip_bad=True, instances=True)
    assert dataset.rows == 2
    assert len(dataset.bad) == 1
    assert dataset.bad[0].startswith(f"{path}:3 ")
    assert [row["question"] for _, row in dataset.choose()] == ["1", "2"]
