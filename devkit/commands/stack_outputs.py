"""A deployed stack as commands reach it: its outputs, and the settings to read its table and bucket."""

from __future__ import annotations

from devkit.aws_session import client, new_session
from rollout.settings import Settings, read_settings


def outputs_of(stack: str) -> dict[str, str]:
    """The outputs of a deployed stack; none if there is no such stack."""
    cloudformation = client("cloudformation")
    try:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except cloudformation.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return {}
        raise
    return {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", [])}


def settings_of(outputs: dict[str, str]) -> Settings:
    """The settings that reading a deployed stack's table and bucket needs."""
    names = {"ROLLOUT_TABLE": outputs["Table"], "ROLLOUT_BUCKET": outputs["Bucket"]}
    region = new_session().region_name or ""
    return read_settings({**names, "ROLLOUT_ACCOUNT_ID": "-", "AWS_REGION": region})
