"""A run of MLflow: in a folder, or on a server, by MLflow's own client."""

from __future__ import annotations

import os
import re
from typing import Any

from devkit.exports.figures import Figures
from devkit.extras import needed

# What one call of log_batch takes.
_MOST = 1_000
_LONGEST = 500


def write(figures: Figures, place: str, *, experiment: str = "rollout") -> str:
    """Write one run; where, and how to look at it.

    Args:
        place: a folder, or a tracking URI (``http(s)://…``, ``sqlite:///…``, an ARN).
        experiment: is made if it is not there.

    Raises:
        ValueError: MLflow is missing, or its store does not take the run.
    """
    if "://" not in place and not place.startswith("arn:"):
        # MLflow writes to folders only if it is told to; who gives a folder has told us.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = needed("mlflow", "mlflow")
    entities = needed("mlflow.entities", "mlflow")
    try:
        client = mlflow.MlflowClient(tracking_uri=place)
        known = client.get_experiment_by_name(experiment)
        number = known.experiment_id if known else client.create_experiment(experiment)
        tags = {"rollout.kind": figures.kind}
        began = int(figures.points[0].time * 1_000)
        run = client.create_run(number, start_time=began, run_name=figures.name, tags=tags)
        identifier = run.info.run_id
        for batch in _batches(
            [
                entities.Metric(_named(name), value, int(point.time * 1_000), point.step)
                for point in figures.points
                for name, value in point.values.items()
            ]
        ):
            client.log_batch(identifier, metrics=batch)
        params = [entities.Param(k, v[:_LONGEST]) for k, v in figures.about.items()]
        client.log_batch(identifier, params=params)
        client.set_terminated(identifier, end_time=int(figures.points[-1].time * 1_000))
    except mlflow.exceptions.MlflowException as error:
        raise ValueError(f"MLflow at {place} does not take the run: {error}") from None
    return (
        f"run {identifier} of {experiment} at {place}; look: mlflow ui --backend-store-uri {place}"
    )


def _named(name: str) -> str:
    """A metric's name of what MLflow takes; an agent's may have anything in it."""
    return re.sub(r"[^\w\-. /]", "_", name)[:250]


def _batches(items: list[Any]) -> list[list[Any]]:
    return [items[start : start + _MOST] for start in range(0, len(items), _MOST)]
