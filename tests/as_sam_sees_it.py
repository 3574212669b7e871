"""What SAM CLI itself makes of a template, as JSON; runs in .tools/sam, where SAM CLI is.

``layers TEMPLATE [NAME=VALUE …]``: the layers that ``sam local`` would give each function.
``versions TEMPLATE [RESOURCE …]``: the versions an expansion publishes, once as it is and once with
each of the resources' content changed.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

VERSION = "AWS::Lambda::Version"


def layers(template: str, *parameters: str) -> dict[str, list[dict[str, str]]]:
    """Name and place of each function's layers."""
    overrides = dict(parameter.split("=", 1) for parameter in parameters)
    stacks, _ = SamLocalStackProvider.get_stacks(template, parameter_overrides=overrides)
    return {
        function.name: [
            {"name": layer.arn, "place": str(Path(layer.codeuri or "").resolve())}
            for layer in function.layers
        ]
        for function in SamFunctionProvider(stacks).get_all()
    }


class _Policies:
    """Names of managed policies, which the translator would ask IAM for."""

    def load(self) -> dict[str, str]:
        return {}


def versions(template: str, *changed: str) -> dict[str, dict[str, str]]:
    """Logical id of each function's version; empty: as the template stands."""
    return {name: _versions(Path(template), name) for name in ("", *changed)}


def _versions(template: Path, changed: str) -> dict[str, str]:
    source: Any = yaml_parse(template.read_text())
    for name, resource in source["Resources"].items():
        for place in {"CodeUri", "ContentUri"} & set(resource.get("Properties", {})):
            key = "new" if name == changed else "key"  # the translator takes no local path
            resource["Properties"][place] = f"s3://bucket/{name}/{key}"
    parameters = {name: value["Default"] for name, value in source["Parameters"].items()}
    expanded = transform(copy.deepcopy(source), parameters, _Policies())
    return {
        resource["Properties"]["FunctionName"]["Ref"]: name
        for name, resource in expanded["Resources"].items()
        if resource["Type"] == VERSION
    }


if __name__ == "__main__":
    command = {"layers": layers, "versions": versions}[sys.argv[1]]
    json.dump(command(*sys.argv[2:]), sys.stdout, indent=1)
