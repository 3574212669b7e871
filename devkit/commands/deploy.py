"""``rollout deploy``: build, see that no rollout is in flight, and let SAM CLI deploy."""

from __future__ import annotations

import argparse
import os
from typing import Any

from rich.console import Console

from devkit.aws_session import look_for_credentials
from devkit.checks.stack_plan import from_samconfig, given_parameters, settings_of
from devkit.commands.drain import guard
from devkit.commands.messages import wrong
from devkit.emulator import sam_cli
from devkit.places import samconfig
from rollout.errors import ConfigurationError


def register(commands: Any) -> None:
    """Add ``deploy`` to the command line."""
    deploying = commands.add_parser(
        "deploy",
        help="build, see that nothing is in flight, and sam deploy",
        epilog="What stands after -- goes to sam deploy: rollout deploy -- --no-confirm-changeset",
    )
    deploying.add_argument("--config-env", default="default", help="profile of samconfig.toml")
    deploying.add_argument("--stack", help="its name (default: the profile's)")
    deploying.add_argument("--force", action="store_true", help="also while rollouts are in flight")
    deploying.add_argument("--no-build", action="store_true", help="deploy what was built last")
    deploying.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter; repeatable"
    )
    deploying.add_argument("sam", nargs="*", metavar="-- ARGUMENT", help="for sam deploy")
    deploying.set_defaults(command=_deploy)


def _deploy(options: argparse.Namespace, console: Console) -> int:
    try:
        given = given_parameters(options.config_env)
        given |= {name: value for name, _, value in (one.partition("=") for one in options.set)}
        stack, parameters, region = from_samconfig(options.config_env, given)
        stack = options.stack or stack
        if region:
            os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = region
        settings_of(parameters, stack, region or "us-west-2")  # or the functions would not start
        look_for_credentials()
        architecture = parameters["Architecture"]
        if not options.no_build and (failed := sam_cli.build(architecture)):
            return failed
        if guard(stack, console, refuse=not options.force):
            return 1
        # What is not named keeps the value of the last deployment, and these are what was built.
        given |= {"Agent": parameters["Agent"], "Architecture": architecture}
        return sam_cli.run(
            "deploy",
            *("--template-file", str(sam_cli.build_folder() / architecture / "template.yaml")),
            *("--config-file", str(samconfig())),
            *("--config-env", options.config_env),
            *("--stack-name", stack),
            *options.sam,
            *("--parameter-overrides", *(f"{name}={value}" for name, value in given.items())),
        )
    except (ValueError, ConfigurationError) as error:
        return wrong(error)
