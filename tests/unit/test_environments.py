"""What holds for every environment; what one environment does is tested in its folder."""

from __future__ import annotations

import json

import pytest

from devkit.places import dataset_of
from rollout.testing import check_order
from scripts.datasets import AGENTS


@pytest.mark.parametrize("name", AGENTS)
def test_a_dataset_has_the_column_the_platform_reads(name):
    for line in dataset_of(AGENTS[name]).read_text().splitlines():
        row = json.loads(line)
        assert list(row) == ["prompt"]
        assert isinstance(json.loads(row["prompt"]), dict)


def test_the_order_is_held_not_hoped_for():
    def silly(episode):
        episode.sample([{"role": "user", "content": "hi"}])
        return 1.0

    def say(*_):
        return {"content": "anything"}

    with pytest.raises(ValueError, match="'poor' earned 1, no less"):
        check_order(silly, {}, [("gold", say), ("poor", say)])
