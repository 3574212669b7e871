"""Reads the stack's own template, so that the laptop's table and bucket are the deployed ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).resolve().parent.parent / "template.yaml"


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


_Loader.add_multi_constructor("!", _tag)


def load_template() -> dict[str, Any]:
    """The template as plain data."""
    return yaml.load(TEMPLATE.read_text(), Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader


def table_properties() -> dict[str, Any]:
    """What ``create_table`` takes, from the resource RolloutTable."""
    properties = load_template()["Resources"]["RolloutTable"]["Properties"]
    names = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    return {name: properties[name] for name in names}
