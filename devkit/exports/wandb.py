"""An offline run of Weights & Biases: files that ``wandb sync`` sends when one wants it to."""

from __future__ import annotations

from pathlib import Path

from devkit.exports.figures import Figures
from devkit.extras import needed


def write(figures: Figures, folder: Path, *, project: str = "rollout") -> str:
    """Write an offline run into a folder; nothing is sent. Where, and how to send it.

    Raises:
        ValueError: wandb is missing.
    """
    wandb = needed("wandb", "wandb")
    folder.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(
        mode="offline",
        silent=True,
        console="off",
        disable_git=True,
        save_code=False,
        x_save_requirements=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
    )
    run = wandb.init(
        project=project,
        name=figures.name,
        dir=str(folder),
        job_type=figures.kind,
        config=figures.about,
        settings=settings,
        reinit="create_new",
    )
    for point in figures.points:
        values: dict[str, object] = {**point.values, "time": point.time}
        if point is figures.points[-1]:
            for name, spread in figures.spreads.items():
                values[f"spread/{name}"] = wandb.Histogram(list(spread))
        run.log(values, step=point.step)
    place = Path(run.dir).parent
    run.finish()
    return f"{place}; send: wandb sync {place}"
