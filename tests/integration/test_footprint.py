"""What one durable rollout asks of AWS is what the forecasts say."""

from __future__ import annotations

from benchmarks.footprint import measure
from devkit.checks import cost
from devkit.checks.cost import Work


def test_a_rollout_asks_for_what_the_forecast_counts():
    found = measure(4, 1_000)
    calls, units = found["calls"], found["units"]
    work = Work(turns=4, reply_bytes=1_000, request_bytes=12)
    assert units["operations"] == work.operations
    assert {name: units[f"index {name}"] for name in cost.INDEX_WRITES} == cost.INDEX_WRITES
    # The environments of the job's function and of the worker list the job once each.
    assert units["job listed"] == 2
    assert units["totals"] == cost.TOTALS
    assert units["table"] + units["totals"] + sum(cost.INDEX_WRITES.values()) == work.writes
    # The first rollout of an environment also looks whether the stack drains.
    assert units["reads"] == work.reads + 1
    # A call for each checkpoint, or one for two that come close together: two are, on a machine that is
    # not busy.
    made = sum(count for name, count in calls.items() if name.startswith("checkpoint "))
    assert made == work.checkpoints + cost.MERGED
    assert work.checkpoints - 3 <= calls["lambda.CheckpointDurableExecution"] <= made
    assert abs(found["bytes"]["persisted"] - work.persisted) < 0.05 * work.persisted
    assert calls["s3.PutObject"] == work.puts
    assert calls["lambda.Invoke"] == 1


def test_an_inline_rollout_writes_six_times_to_the_table():
    found = measure(3, inline=True)
    writes = sum(found["calls"].get(f"dynamodb.{name}", 0) for name in ("PutItem", "UpdateItem"))
    # Accepted, about to sample, scored, reported; its group's totals and the moment's. An environment's
    # first rollout of a job lists the job as well.
    assert writes - found["units"]["job listed"] == 6
    assert found["units"]["totals"] == cost.TOTALS
