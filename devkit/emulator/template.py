"""Reads the stack's own template, so that the laptop's table and bucket are the deployed ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import yaml

from devkit.places import TEMPLATE


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short tags (!Ref, !Sub …) as one-key mappings."""


def _tag(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


cast("Any", _Loader).add_multi_constructor("!", _tag)


@lru_cache(maxsize=1)
def load_template() -> dict[str, Any]:
    """The template as plain data, to be read only: it is parsed once, which takes a while."""
    return read_template(TEMPLATE)


def read_template(path: Path) -> dict[str, Any]:
    """A template as plain data, its short tags as CloudFormation's long functions."""
    return yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader


def table_properties() -> dict[str, Any]:
    """What ``create_table`` takes, from the resource RolloutTable."""
    properties = load_template()["Resources"]["RolloutTable"]["Properties"]
    names = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {name: properties[name] for name in names}


def parameters(overrides: Mapping[str, str]) -> dict[str, str]:
    """Every parameter of the template with its default, or what ``overrides`` says instead.

    Raises:
        ValueError: naming a parameter that does not exist, or whose value the template refuses.
    """
    declared = load_template()["Parameters"]
    unknown = sorted(set(overrides) - set(declared))
    if unknown:
        raise ValueError(f"the template has no parameter {', '.join(unknown)}")
    values = {name: str(one["Default"]) for name, one in declared.items()} | dict(overrides)
    for name, one in declared.items():
        if (why := _refused(values[name], one)) is not None:
            raise ValueError(f"{name}={values[name]!r}: {why}")
    return values


def environment(
    values: Mapping[str, str], *, account: str, region: str, stack: str
) -> dict[str, str]:
    """The environment variables of the functions, for parameters as :func:`parameters` gives them."""
    template = load_template()
    scope = _scope(values, account=account, region=region, stack=stack)
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    return {name: str(_resolve(value, scope, template)) for name, value in variables.items()}


def settings_layer(values: Mapping[str, str]) -> dict[str, str]:
    """Description and licence of the layer that holds the parameters; Lambda bounds their length."""
    template = load_template()
    scope = _scope(values, account="", region="", stack="")
    properties = template["Resources"]["Settings"]["Properties"]
    names = ("Description", "LicenseInfo")
    return {name: str(_resolve(properties[name], scope, template)) for name in names}


def _scope(values: Mapping[str, str], *, account: str, region: str, stack: str) -> dict[str, str]:
    """What the template's references stand for in a stack."""
    return {
        **values,
        "AWS::AccountId": account,
        "AWS::Region": region,
        "AWS::StackName": stack,
        "AWS::Partition": "aws",
        "RolloutTable": f"{stack}-table",
        "TrajectoryBucket": f"{stack}-bucket",
        "Settings": f"arn:aws:lambda:{region}:{account}:layer:Settings:1",
        "AWS::StackId": f"arn:aws:cloudformation:{region}:{account}:stack/{stack}/0-0-0-0-0",
    }


def _refused(value: str, declared: Mapping[str, Any]) -> str | None:
    allowed = [str(choice) for choice in declared.get("AllowedValues", ())]
    if allowed and value not in allowed:
        return f"use one of {', '.join(allowed)}"
    if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], value):
        return f"it must match {declared['AllowedPattern']}"
    if declared["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            return "it must be a number"
        low, high = declared.get("MinValue", number), declared.get("MaxValue", number)
        if not low <= number <= high:
            return f"it must be {low} to {high}"
    return None


def _resolve(value: Any, scope: Mapping[str, str], template: Mapping[str, Any]) -> Any:
    """The intrinsic functions that the template's variables use."""
    if not isinstance(value, dict):
        return value
    ((function, argument),) = cast("dict[str, Any]", value).items()
    if function == "Ref":
        return scope[argument]
    if function == "Fn::Sub":
        parts: list[Any] = (
            [*cast("list[Any]", argument)] if isinstance(argument, list) else [argument]
        )
        names: dict[str, Any] = parts[1] if len(parts) > 1 else {}
        values = {**scope, **{n: _resolve(v, scope, template) for n, v in names.items()}}
        return re.sub(r"\$\{([^}]+)\}", lambda match: values[match[1]], str(parts[0]))
    if function == "Fn::If":
        name, yes, no = argument
        chosen = yes if _resolve(template["Conditions"][name], scope, template) else no
        return _resolve(chosen, scope, template)
    first, second = (_resolve(side, scope, template) for side in argument)
    simple = {
        "Fn::Split": lambda: second.split(first),
        "Fn::Select": lambda: second[first],
        "Fn::Equals": lambda: str(first) == str(second),
    }
    if function not in simple:
        raise ValueError(f"the template uses {function}, which is not read here")
    return simple[function]()
