"""Exports, each read back by the package it is written for (.tools/exports)."""

from __future__ import annotations

import json
import sys
from array import array

import pytest

from devkit.__main__ import main
from devkit.exports.figures import figures_of_job, figures_of_run
from devkit.rehearsal.run_files import read_rollouts
from rollout.storage.totals import Totals
from tests.building import JOB_ARN
from tests.other_packages import python_in, rollout_in
from tests.rehearsed import failure, played, record, turn, write


def export(*arguments):
    done = rollout_in("exports", "export", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(code, *arguments):
    done = python_in("exports", code, *arguments, MLFLOW_ALLOW_FILE_STORE="true")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """A rehearsal with criteria, metrics whose names no file could have, and failures."""
    folder = tmp_path_factory.mktemp("runs")
    rehearsed = played(folder / "desk", "support_desk", rows=4)
    records = [
        r.model_copy(update={"metrics": {**r.metrics, "odd: a@1/b": 2.0}})
        for r in read_rollouts(rehearsed)
    ]
    records.append(record(0, 4, None, error=failure("tool")))
    agent = "environments.support_desk:support_desk"
    return write(folder / "run", records, name="desk-1", agent=agent, rows=4, group_size=5)


@pytest.fixture(scope="module")
def figures(rehearsal):
    return figures_of_run(rehearsal, step=7)


def close(found, figures):
    wanted = figures.points[0].values
    assert found.keys() == wanted.keys()
    assert found == pytest.approx(wanted, rel=1e-6)


def test_tensorboard_reads_figures_spreads_and_what_was_played(rehearsal, figures, tmp_path):
    said = export(rehearsal, tmp_path, "--to", "tensorboard", "--step", 7)
    assert "tensorboard --logdir" in said
    found = read(
        """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util
events = EventAccumulator(sys.argv[1], size_guidance={"tensors": 0})
events.Reload()
tags = events.Tags()
scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
histogram = events.Histograms("spread/reward")[0].histogram_value
about = tensor_util.make_ndarray(events.Tensors("about")[0].tensor_proto).item().decode()
print(json.dumps([scalars, [histogram.num, histogram.sum], about, sorted(tags["histograms"])]))
""",
        tmp_path / "desk-1",
    )
    scalars, (count, total), about, spreads = found
    assert {step for points in scalars.values() for step, _ in points} == {7}
    close({tag: points[0][1] for tag, points in scalars.items()}, figures)
    assert (count, total) == (16, pytest.approx(sum(figures.spreads["reward"])))
    assert "environments.support_desk:support_desk" in about
    assert spreads == ["spread/reward", "spread/seconds", "spread/tokens", "spread/turns"]


def test_mlflow_reads_figures_and_parameters(rehearsal, figures, tmp_path):
    export(rehearsal, tmp_path / "store", "--to", "mlflow", "--step", 7)
    metrics, params, name, steps, status = read(
        """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1])
runs = client.search_runs([client.get_experiment_by_name("rollout").experiment_id])
run = runs[0]
steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "reward/mean")]
print(json.dumps([run.data.metrics, run.data.params, run.info.run_name, steps, run.info.status]))
""",
        tmp_path / "store",
    )
    assert metrics.pop("metrics/odd_ a_1/b") == 2.0
    wanted = {k: v for k, v in figures.points[0].values.items() if "odd" not in k}
    assert metrics == pytest.approx(wanted)
    assert (params["agent"], name) == ("environments.support_desk:support_desk", "desk-1")
    assert (steps, status) == ([7], "FINISHED")


def test_weights_and_biases_reads_an_offline_run(rehearsal, figures, tmp_path):
    said = export(rehearsal, tmp_path, "--to", "wandb", "--step", 7)
    assert "wandb sync" in said
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    # Its file is LevelDB's log of protobuf records; the package has the records' types.
    rows, config, name = read(
        """
import json, struct, sys
from wandb.proto.wandb_internal_pb2 import Record
data = open(sys.argv[1], "rb").read()
assert data[:4] == b":W&B"
place, whole, rows, config, name = 7, b"", [], {}, ""
while place + 7 <= len(data):
    if 32768 - place % 32768 < 7:
        place += 32768 - place % 32768
        continue
    _, size, kind = struct.unpack("<IHB", data[place:place + 7])
    whole += data[place + 7:place + 7 + size]
    place += 7 + size
    if kind in (1, 4):
        record = Record.FromString(whole)
        whole = b""
        if record.HasField("history"):
            rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item})
        if record.HasField("run"):
            name = record.run.display_name
            config |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
print(json.dumps([rows, config, name]))
""",
        file,
    )
    (row,) = rows
    assert row["_step"] == 7
    close({name: row[name] for name in figures.points[0].values}, figures)
    assert row["spread/reward/_type"] == "histogram"
    assert (config["agent"], name) == ("environments.support_desk:support_desk", "desk-1")


def test_opentelemetry_reads_a_trace_for_each_rollout(rehearsal, tmp_path):
    assert main(["export", str(rehearsal), str(tmp_path / "traces.json"), "--to", "otel"]) == 0
    spans = read(
        """
import json, sys
from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
def plain(value):
    return getattr(value, value.WhichOneof("value"))
found = []
for line in open(sys.argv[1]):
    data = json_format.Parse(line, TracesData())
    for span in data.resource_spans[0].scope_spans[0].spans:
        known = {a.key: str(plain(a.value)) if a.value.HasField("array_value") else plain(a.value) for a in span.attributes}
        found.append([span.name, span.kind, bool(span.parent_span_id), span.status.code,
                      (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9, known])
print(json.dumps(found))
""",
        tmp_path / "traces.json",
    )
    records = list(read_rollouts(rehearsal))
    roots = [span for span in spans if not span[2]]
    assert len(roots) == len(records)
    assert len(spans) - len(roots) == sum(len(r.turns) for r in records)
    for span, played_ in zip(roots, records, strict=True):
        name, _, _, status, seconds, known = span
        assert name == "invoke_agent environments.support_desk:support_desk"
        assert known["gen_ai.conversation.id"] == played_.trajectory_id
        assert known.get("rollout.reward") == played_.reward
        assert seconds == pytest.approx(played_.seconds)
        assert (status == 2) == (played_.error is not None) == ("error.type" in known)
    chats = [span for span in spans if span[2]]
    assert {span[0].split()[0] for span in chats} == {"chat"}
    assert all(span[5]["gen_ai.operation.name"] == "chat" for span in chats)
    text = (tmp_path / "traces.json").read_text()
    assert "GOODBYE" not in text  # no content


def test_a_jobs_figures_have_the_names_of_a_rehearsals(figures):
    bucket = Totals(
        start=1_000.0, width=60, in_flight=0, ended=10, failed=2, rewarded=8, passed=4,
        reward_sum=4_000_000, reward_squares=4_000_000 * 1_000_000, turns=30, milliseconds=20_000,
        tokens=5_000, groups=4, flat=1, faults={"tool": 2},
    )  # fmt: skip
    job = figures_of_job(JOB_ARN, [bucket])
    ours = {k for k in figures.points[0].values if not k.startswith(("criteria/", "metrics/"))}
    assert set(job.points[0].values) == ours
    assert job.points[0].values == pytest.approx(
        {
            "reward/mean": 0.5, "reward/deviation": 0.5, "passed": 0.5, "groups/flat": 0.25,
            "turns/mean": 3.0, "seconds/mean": 2.0, "tokens/mean": 500.0, "failed/all": 0.2,
            "failed/tool": 0.2, "rollouts": 10.0,
        }
    )  # fmt: skip
    with pytest.raises(ValueError, match="has ended"):
        figures_of_job(JOB_ARN, [])


def test_a_rehearsals_figures_are_those_of_its_rollouts(tmp_path):
    run_ = write(
        tmp_path / "run",
        [record(0, 0, 1.0, metrics={"a": 1.0, "rubric/right": 1.0}), record(0, 1, 0.0, metrics={"a": 3.0}),
         record(1, 0, 0.5, turns=[turn(), turn()]), record(1, 1, None, error=failure("tool"))],
    )  # fmt: skip
    found = figures_of_run(run_, step=2)
    assert found.points[0].values == pytest.approx(
        {
            "reward/mean": 0.5, "reward/deviation": 0.408248, "passed": 1 / 3, "groups/flat": 0.0,
            "turns/mean": 1.25, "seconds/mean": 1.0, "tokens/mean": 37.5, "failed/all": 0.25,
            "failed/tool": 0.25, "rollouts": 4.0, "criteria/right": 1.0, "metrics/a": 2.0,
        }
    )  # fmt: skip
    assert found.spreads["reward"] == array("d", [1.0, 0.0, 0.5])


def test_a_missing_package_and_wrong_calls_are_named(rehearsal, tmp_path, capsys, monkeypatch):
    for package in ("tensorboard", "mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, package, None)
        assert main(["export", str(rehearsal), str(tmp_path / "x"), "--to", package]) == 2
        assert f"serverless-rollout[{package}]" in capsys.readouterr().err.replace("\n", "")
    assert main(["export", str(tmp_path), str(tmp_path / "x"), "--to", "tensorboard"]) == 2
    assert main(["export", JOB_ARN, str(tmp_path / "x.json"), "--to", "otel", "--stack", "s"]) == 2
    assert list(tmp_path.iterdir()) == []
