"""Expands a SAM template on stdin to the CloudFormation that AWS makes of it; runs in .tools/sam."""

from __future__ import annotations

import json
import sys

from samtranslator.translator.transform import transform


class _Policies:
    """Names of managed policies, which the translator would ask IAM for."""

    def load(self) -> dict[str, str]:
        return {}


template = json.load(sys.stdin)
parameters = {name: value["Default"] for name, value in template["Parameters"].items()}
for resource in template["Resources"].values():
    for place in {"CodeUri", "ContentUri"} & set(resource.get("Properties", {})):
        resource["Properties"][place] = "s3://bucket/key"  # the translator takes no local path
json.dump(transform(template, parameters, _Policies()), sys.stdout, indent=1)
