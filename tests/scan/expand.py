"""Expands a SAM template to the CloudFormation that AWS makes of it, as JSON; runs in .tools/sam.

``expand.py TEMPLATE [NAME=VALUE …]``; parameters that are not named have their defaults.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform


class _Policies:
    """Names of managed policies, which the translator would ask IAM for."""

    def load(self) -> dict[str, str]:
        return {}


template = yaml_parse(Path(sys.argv[1]).read_text())
parameters = {name: value["Default"] for name, value in template["Parameters"].items()}
parameters |= dict(given.split("=", 1) for given in sys.argv[2:])
for resource in template["Resources"].values():
    for place in {"CodeUri", "ContentUri"} & set(resource.get("Properties", {})):
        resource["Properties"][place] = "s3://bucket/key"  # the translator takes no local path
json.dump(transform(template, parameters, _Policies()), sys.stdout, indent=1)
