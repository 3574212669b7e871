from __future__ import annotations

from pathlib import Path

from devkit.rehearsal.play import read_rows
from environments.support_desk import problems, scripts, support_desk
from rollout.testing import calls, rehearse

ROWS = read_rows(Path(__file__).with_name("dataset.jsonl"), 1_000)


def test_gold_earns_the_most_and_the_order_holds_on_every_row():
    assert len(ROWS) >= 12
    for row in ROWS:
        rewards = scripts.validate(row)
        assert rewards[0] == 1.0
        assert rewards == sorted(rewards, reverse=True)


def test_the_dataset_is_as_generated():
    assert problems.instances() == ROWS


def test_changing_before_verifying_breaks_the_procedure():
    row = next(r for r in ROWS if r["request"] == "refund" and r["expected"] != r["orders"])
    amount = row["expected"][row["order_id"]]["refunded"]

    def hasty(instance, messages):
        if messages[-1]["role"] == "tool":
            return {"content": "GOODBYE"}
        return calls("refund", {"order_id": instance["order_id"], "amount": amount})

    result = rehearse(support_desk, row, hasty)
    assert (result.reward, result.metrics["rubric/verified_first"]) == (0.0, 0.0)
