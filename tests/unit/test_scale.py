"""The simulated step agrees with arithmetic where arithmetic has an answer."""

from __future__ import annotations

import json
import random

import pytest

from benchmarks.scale.__main__ import main
from benchmarks.scale.paper import erlang_wait, on_paper, residence
from benchmarks.scale.simulation import Bucket, Scenario, simulate

FREE = {"cold_seconds": 0.0, "call_seconds": 0.0, "turn_seconds": 0.0, "start_seconds": 0.0}


def test_without_chance_a_step_takes_whole_waves():
    scenario = Scenario(
        rollouts=60, turns=5, concurrency=20, sample_mean=2.0, sample_sigma=0, **FREE
    )
    result = simulate(scenario)
    assert result.seconds == pytest.approx(3 * 5 * 2.0)
    assert result.seconds == pytest.approx(on_paper(scenario).seconds)
    assert result.mean_running == pytest.approx(20)


def test_a_queue_for_environments_waits_as_erlang_says():
    # One turn whose length is exponential, Poisson arrivals, three environments: M/M/3.
    dice = random.Random(1)
    service, arrivals = 1.0, 2.1
    scenario = Scenario(
        rollouts=20_000, turns=1, concurrency=20_000, environments=1_003, job_environments=1_000,
        latencies=[dice.expovariate(1 / service) for _ in range(20_000)], deadline=1e9,
        arrivals=arrivals, queue="fifo", **FREE,
    )  # fmt: skip
    result = simulate(scenario)
    waited = sum(result.waits) / len(result.waits)
    assert result.mean_running == pytest.approx(arrivals * service, rel=0.03)
    assert waited == pytest.approx(erlang_wait(arrivals, service, 3), rel=0.1)


def test_littles_law_holds_for_a_step_with_chance():
    scenario = Scenario(rollouts=600, turns=10, concurrency=40)
    result = simulate(scenario)
    paper = on_paper(scenario)
    mean = sum(result.residence) / len(result.residence)
    assert mean == pytest.approx(residence(scenario) + scenario.start_seconds, rel=0.05)
    assert result.seconds == pytest.approx(paper.seconds, rel=0.15)
    # The same demand, spread over the whole step with its tail.
    share = paper.seconds / result.seconds
    for name, mean in paper.mean.items():
        assert result.use[name]["mean"] == pytest.approx(mean * share, rel=0.1), name


def test_a_burst_above_the_rate_of_starts_is_refused_and_repeated():
    result = simulate(Scenario(rollouts=400, turns=1, concurrency=400, starts=20))
    assert result.played == 400
    assert result.use["durable-starts"]["peak"] > 1
    assert result.refused > 0


def test_too_few_environments_make_rollouts_late():
    result = simulate(
        Scenario(rollouts=60, turns=10, concurrency=60, environments=10, deadline=60.0)
    )
    assert result.throttled > 0
    assert result.use["lambda-concurrency"]["peak"] == 1
    assert result.late > 0


def test_one_jobs_totals_take_two_thousand_rollouts_a_second_and_one_partition_does_not():
    many = {"rollouts": 6_000, "turns": 1, "concurrency": 6_000, "arrivals": 2_000.0}
    free = {"environments": 1e5, "starts": 1e5, "table_units": 1e6, "sample_mean": 0.1, **FREE}
    assert simulate(Scenario(**many, **free)).uncounted == 0
    assert simulate(Scenario(**many, **free, totals_parts=1)).uncounted > 600


def test_a_bucket_gives_its_burst_at_once_and_its_rate_after():
    bucket = Bucket(10, burst=5)
    assert [bucket.take(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert bucket.reserve(0.0) == pytest.approx(0.1)
    assert bucket.take(10.0)


def test_the_command_writes_figures_and_plots(tmp_path, capsys):
    small = ["--rollouts", "60", "--turns", "3", "--concurrency", "8", "30"]
    assert main([*small, "--json", "--plots", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["concurrency"] for row in printed["rows"]] == [8, 30]
    assert printed["rows"][0]["nearest"] == "durable-starts"
    assert printed["breaks"] == {}
    for plot in ("scale-use.svg", "scale-time.svg"):
        assert (tmp_path / plot).read_text().startswith("<?xml")
        assert (tmp_path / plot).stat().st_size < 150_000
