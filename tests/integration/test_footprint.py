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
    assert units["job totals"] == cost.JOB_TOTALS
    assert units["table"] + units["job totals"] + sum(cost.INDEX_WRITES.values()) == work.writes
    # The first rollout of an environment also looks whether the stack drains.
    assert units["reads"] == work.reads + 1
    # The SDK sends one call for two checkpoints where they come close together.
    assert work.checkpoints - 3 <= calls["lambda.CheckpointDurableExecution"] <= work.checkpoints
    assert abs(found["bytes"]["persisted"] - work.persisted) < 0.05 * work.persisted
    assert calls["s3.PutObject"] == work.puts
    assert calls["lambda.Invoke"] == 1
