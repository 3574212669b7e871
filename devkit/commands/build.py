"""``rollout build``: SAM CLI builds the stack with your environments."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console

from devkit.checks.stack_plan import from_samconfig
from devkit.commands.messages import wrong
from devkit.emulator import sam_cli

_BOTH = ("arm64", "x86_64")


def register(commands: Any) -> None:
    """Add ``build`` to the command line."""
    building = commands.add_parser("build", help="sam build with your environments")
    building.add_argument(
        "--architecture",
        choices=[*_BOTH, "both"],
        help="of the functions (default: what the profile deploys)",
    )
    building.add_argument("--config-env", default="default", help="profile of samconfig.toml")
    building.set_defaults(command=_build)


def _build(options: argparse.Namespace, console: Console) -> int:
    del console
    try:
        parameters = from_samconfig(options.config_env)[1]
        asked = options.architecture or parameters["Architecture"]
        for architecture in _BOTH if asked == "both" else (asked,):
            if failed := sam_cli.build(architecture):
                return failed
    except ValueError as error:
        return wrong(error)
    return 0
