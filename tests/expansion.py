"""The template as AWS deploys it: SAM's expansion with conditions decided and references filled in."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import lru_cache
from typing import Any

from devkit.emulator.template import load_template
from tests.building import ROOT
from tests.processes import SAM

ACCOUNT, STACK_ID = "123456789012", "51af3dc0-da77-11e4-872e-1234567db123"
_GONE = object()


@lru_cache(maxsize=8)
def expand(*given: str, region: str = "us-west-2") -> str:
    """SAM's expansion, as JSON, for parameters given as ``NAME=VALUE``."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [SAM / "bin/python", ROOT / "tests/scan/expand.py", ROOT / "template.yaml", *given],
        cwd=ROOT,
        env={**environ, "AWS_DEFAULT_REGION": region},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


class Deployed:
    """The resources of a stack with the given parameters, with text where the template has references.

    Args:
        given: parameters that are not their defaults.
    """

    def __init__(self, region: str = "us-west-2", **given: str) -> None:
        self._template = json.loads(
            expand(*(f"{n}={v}" for n, v in sorted(given.items())), region=region)
        )
        declared = load_template()["Parameters"]
        self._scope = {name: str(one["Default"]) for name, one in declared.items()} | given
        self._scope |= {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": region,
            "AWS::Partition": "aws",
            "AWS::StackName": "rollout-dev",
            "AWS::StackId": f"arn:aws:cloudformation:{region}:{ACCOUNT}:stack/rollout-dev/{STACK_ID}",
            "AWS::URLSuffix": "amazonaws.com",
        }
        self._region = region
        self.resources: dict[str, Any] = {
            name: self.value(resource)
            for name, resource in self._template["Resources"].items()
            if self._holds(resource.get("Condition"))
        }

    def of_type(self, kind: str) -> dict[str, Any]:
        """Properties of the resources of a type, by logical id."""
        return {
            name: resource["Properties"]
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def role_of(self, function: str) -> dict[str, Any]:
        """A function's role: ``managed`` ARNs of AWS's policies, ``statements`` of all others."""
        properties = self.resources[function]["Properties"]
        role = self.resources[properties["Role"].rsplit("/", 1)[-1]]["Properties"]
        documents = [policy["PolicyDocument"] for policy in role.get("Policies", ())]
        managed = []
        for policy in role["ManagedPolicyArns"]:
            if policy in self.resources:
                documents.append(self.resources[policy]["Properties"]["PolicyDocument"])
            else:
                managed.append(policy)
        return {"managed": managed, "statements": [s for d in documents for s in d["Statement"]]}

    def arn(self, name: str) -> str:
        """The ARN of a resource."""
        resource = self._template["Resources"][name]
        service, rest = {
            "AWS::DynamoDB::Table": ("dynamodb", f"table/{name}"),
            "AWS::SQS::Queue": ("sqs", name),
            "AWS::Logs::LogGroup": ("logs", f"log-group:{name}:*"),
            "AWS::Events::Rule": ("events", f"rule/{name}"),
            "AWS::Lambda::Function": ("lambda", f"function:{self._function(resource, name)}"),
        }.get(resource["Type"], ("", ""))
        if resource["Type"] == "AWS::S3::Bucket":
            return f"arn:aws:s3:::{name.lower()}"
        if resource["Type"] == "AWS::IAM::Role":
            return f"arn:aws:iam::{ACCOUNT}:role/{name}"
        return f"arn:aws:{service}:{self._region}:{ACCOUNT}:{rest}"

    def _function(self, resource: dict[str, Any], name: str) -> str:
        return self.value(resource["Properties"].get("FunctionName", name))

    def _holds(self, condition: Any) -> bool:
        if condition is None:
            return True
        if isinstance(condition, str):
            return self._holds(self._template["Conditions"][condition])
        ((function, argument),) = condition.items()
        if function == "Condition":
            return self._holds(argument)
        if function == "Fn::Not":
            return not self._holds(argument[0])
        if function in ("Fn::And", "Fn::Or"):
            return (all if function == "Fn::And" else any)(self._holds(one) for one in argument)
        assert function == "Fn::Equals", function
        left, right = (str(self.value(side)) for side in argument)
        return left == right

    def value(self, value: Any) -> Any:
        """A part of the template with its intrinsic functions worked out."""
        if isinstance(value, list):
            return [kept for item in value if (kept := self.value(item)) is not _GONE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref":
                return self._referred(argument)
            if function.startswith("Fn::"):
                return self._call(function, argument)
        worked = {name: self.value(item) for name, item in value.items()}
        return {name: item for name, item in worked.items() if item is not _GONE}

    def _referred(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _GONE
        if self._template["Resources"].get(name, {}).get("Type") == "AWS::Lambda::LayerVersion":
            return f"arn:aws:lambda:{self._region}:{ACCOUNT}:layer:{name}:1"
        return self._scope.get(name, name)

    def _call(self, function: str, argument: Any) -> Any:
        if function == "Fn::If":
            return self.value(argument[1] if self._holds(argument[0]) else argument[2])
        if function == "Fn::GetAtt":
            name, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
            return self.arn(name) if attribute == "Arn" else f"{name}.{attribute}"
        if function == "Fn::Sub":
            text, names = argument if isinstance(argument, list) else (argument, {})
            known = {**self._scope, **self.value(names)}

            def fill(match: re.Match[str]) -> str:
                name, _, attribute = match[1].partition(".")
                return self.arn(name) if attribute == "Arn" else str(known.get(match[1], match[1]))

            return re.sub(r"\$\{([^}!]+)\}", fill, text)
        if function == "Fn::FindInMap":
            return "mapped"
        first, second = (self.value(side) for side in argument)
        if function == "Fn::Join":
            return first.join(second)
        if function == "Fn::Split":
            return second.split(first)
        assert function == "Fn::Select", function
        return second[int(first)]
