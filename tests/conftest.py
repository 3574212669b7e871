"""Fixtures of all tests; what is no fixture stands in tests/building.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# The project's tests are of its own environments, also where a user has named others.
os.environ.pop("ENVIRONMENTS", None)


@pytest.fixture(scope="session")
def gsm8k() -> Path:
    """The published rows; their place is named by ROLLOUT_DATA."""
    path = Path(os.environ["ROLLOUT_DATA"]) / "gsm8k" / "test_0000_0659.jsonl"
    assert path.is_file(), f"{path} is missing; set ROLLOUT_DATA to the folder that holds gsm8k/"
    return path
