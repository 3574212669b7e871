"""Where things are: this project, and the folder of the user's environments."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def dataset_of(agent: str) -> Path:
    """The dataset that comes with an environment.

    Args:
        agent: ``environments.NAME:FUNCTION``.
    """
    name = agent.partition(":")[0].rsplit(".", 1)[-1]
    return ROOT / "environments" / name / "dataset.jsonl"
