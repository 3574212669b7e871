"""What a rollout costs, against the worked example that AWS publishes and by its own relations."""

from __future__ import annotations

import pytest

from devkit.checks.cost import Job, Work, cost_of_job, cost_of_rollout, cost_of_thousand
from devkit.checks.prices import PRICES, QUOTAS, dollars


def test_the_prices_give_the_bill_of_the_published_example():
    # aws.amazon.com/lambda/pricing, "Lambda Durable Functions Pricing": a million claims a month.
    claims = 1_000_000
    bill = {
        "compute": dollars("lambda-arm64", claims * 32 - 400_000),
        "requests": dollars("lambda-requests", 2 * claims - 1_000_000),
        "operations": dollars("durable-operations", 4 * claims),
        "written": dollars("durable-written", 104),
        "retained": dollars("durable-retained", 104 * 7 / 30 + 104 * 14 / 30),
    }
    assert {name: round(amount, 2) for name, amount in bill.items()} == {
        "compute": 421.34,
        "requests": 0.20,
        "operations": 32.00,
        "written": 26.00,
        "retained": 10.92,
    }


def test_every_price_and_quota_names_its_page():
    for entry in (*PRICES.values(), *QUOTAS.values()):
        assert entry.source.startswith("https://")


def test_waiting_for_the_policy_is_most_of_the_bill_and_scales_with_memory():
    lines = cost_of_rollout(Work())
    assert lines["Lambda, waiting for the policy"] > 0.7 * sum(lines.values())
    small = cost_of_rollout(Work(memory=512))
    key = "Lambda, waiting for the policy"
    assert small[key] == pytest.approx(lines[key] / 2)


def test_x86_costs_a_quarter_more_compute():
    key = "Lambda, waiting for the policy"
    ratio = cost_of_rollout(Work(architecture="x86_64"))[key] / cost_of_rollout(Work())[key]
    assert ratio == pytest.approx(1.25, rel=1e-3)


def test_a_transcript_too_large_for_a_checkpoint_moves_to_the_bucket():
    small, large = Work(turns=10, reply_bytes=1_000), Work(turns=10, reply_bytes=20_000)
    assert (small.puts, large.puts) == (1, 2)
    assert large.persisted < large.turns * large.reply_bytes * 1.1


def test_a_job_costs_its_rollouts():
    job, work = Job(max_steps=10), Work()
    assert job.rollouts == 10_240
    assert cost_of_job(job, work) == pytest.approx(10.24 * cost_of_thousand(work))
