"""``rollout export``: write a run for other trainers, or figures of a run or job for what teams watch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.commands.messages import wrong

_EPILOG = """\
--to          OUT is                                        what is written
rows          OUT.jsonl (the default)                       rollouts, for other trainers
tensorboard   a folder                                      figures and spreads; tensorboard --logdir OUT
mlflow        a folder, or a tracking URI                   one run with figures and parameters
wandb         a folder                                      an offline run; wandb sync sends it
otel          OUT.json                                      one trace a rollout, in OTLP's JSON

The figures of a job are those that the console draws: RUN is its ARN, --stack names the stack. A
rehearsal and a job have the same names (docs/environments/exports.md). Packages:
serverless-rollout[tensorboard], [mlflow], [wandb]. Exit codes: 0 written, 2 a wrong call.
"""


def register(commands: Any) -> None:
    """Add ``export`` to the command line."""
    export = commands.add_parser(
        "export",
        help="write a rehearsal for other trainers, TensorBoard, MLflow, W&B or OpenTelemetry",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument("run", help="the run's directory, or a job's ARN with --stack")
    export.add_argument("out", help="where to; see below")
    export.add_argument(
        "--to",
        choices=("rows", "tensorboard", "mlflow", "wandb", "otel"),
        default="rows",
        help="what for (rows)",
    )
    export.add_argument("--step", type=int, default=0, help="of the policy that was rehearsed (0)")
    export.add_argument("--pass-at", type=float, default=1.0, help="reward that passes (1.0)")
    export.add_argument(
        "--experiment", default="rollout", help="of MLflow, project of W&B (rollout)"
    )
    export.add_argument("--stack", help="name of the deployed stack that has the job")
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace, console: Console) -> int:
    from rollout.errors import RolloutError

    try:
        said = _written(options)
    except (OSError, ValueError) as error:
        return wrong(error)
    except RolloutError as error:
        return wrong(ValueError(error.detail))
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    return 0


def _written(options: argparse.Namespace) -> str:
    """Write what was asked for; what to say of it."""
    if options.to in ("rows", "otel"):
        from devkit.exports import otel
        from devkit.rehearsal import trainer_rows

        if options.stack:
            raise ValueError(
                f"--to {options.to} takes a rehearsal: a job's turns are in the console"
            )
        if options.to == "otel":
            return otel.write(Path(options.run), Path(options.out))
        out = Path(options.out)
        return f"{trainer_rows.export(Path(options.run), out)} rollouts in {out}"
    from devkit.exports import mlflow, tensorboard, wandb

    figures = _figures(options)
    if options.to == "mlflow":
        return mlflow.write(figures, options.out, experiment=options.experiment)
    if options.to == "wandb":
        return wandb.write(figures, Path(options.out), project=options.experiment)
    return tensorboard.write(figures, Path(options.out))


def _figures(options: argparse.Namespace) -> Any:
    from devkit.exports.figures import figures_of_job, figures_of_run

    if not options.stack:
        return figures_of_run(Path(options.run), step=options.step, pass_at=options.pass_at)
    from devkit.commands.stack_outputs import outputs_of, settings_of
    from rollout.storage.archive import Archive

    outputs = outputs_of(options.stack)
    if "Table" not in outputs:
        raise ValueError(f"{options.stack} is not deployed")
    return figures_of_job(options.run, Archive(settings_of(outputs)).series(options.run))
