"""What a deployment does to the functions' aliases: SAM's own translator says it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.building import ROOT
from tests.processes import SAM

# Runs in SAM's environment: translates the template with each set of changes and parameters.
TRANSLATE = """
import json, logging, sys
import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse
logging.disable()
text, asked = open("template.yaml").read(), json.load(sys.stdin)
def translate(change, parameters):
    template = yaml_parse(text.replace(*change) if change else text)
    for resource in template["Resources"].values():
        for key in {"CodeUri", "ContentUri"} & set(resource["Properties"]):
            resource["Properties"][key] = "s3://bucket/" + resource["Properties"][key]
    session = boto3.Session(region_name="us-west-2")
    return Translator({}, Parser(), boto_session=session).translate(template, parameters)
print(json.dumps({name: translate(*how) for name, how in asked.items()}))
"""
ASKED = {
    "as it is": (None, {}),
    "a parameter": (None, {"MaxTurns": "7"}),
    "a revision": (None, {"MaxTurns": "7", "Revision": "1795536000"}),
    "the code": (["CodeUri: functions/rollout\n", "CodeUri: functions/other\n"], {}),
    "the library": (["ContentUri: layers/rollout\n", "ContentUri: layers/other\n"], {}),
    "gradual": (None, {"GradualDeployment": "true", "DeploymentType": "Canary10Percent5Minutes"}),
    "traced": (None, {"Tracing": "Active"}),
}
ALIASED = ("ApiFunction", "JobFunction", "WorkerFunction")


@pytest.fixture(scope="module")
def translated():
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(SAM / "bin/python"), "-c", TRANSLATE],
        input=json.dumps(ASKED),
        cwd=ROOT,
        env={**environ, "AWS_DEFAULT_REGION": "us-west-2"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def versions(template):
    """Which version resource each function's alias points to."""
    return {
        name: template["Resources"][f"{name}Aliaslive"]["Properties"]["FunctionVersion"][
            "Fn::GetAtt"
        ][0]
        for name in ALIASED
    }


@pytest.mark.parametrize("change", ["the code", "the library", "a revision"])
def test_what_changes_is_published(translated, change):
    before, after = versions(translated["as it is"]), versions(translated[change])
    assert all(before[name] != after[name] for name in ALIASED)


def test_a_parameter_alone_is_not_published_as_the_page_says(translated):
    assert versions(translated["as it is"]) == versions(translated["a parameter"])
    assert "changing only parameters or dependencies changes nothing" in (
        ROOT / "docs/operations.md"
    ).read_text().replace("\n  ", " ")


def of_type(template, kind):
    return {n: r["Properties"] for n, r in template["Resources"].items() if r["Type"] == kind}


def test_the_doors_move_step_by_step_and_back_on_alarm_and_the_worker_at_once(translated):
    groups = of_type(translated["gradual"], "AWS::CodeDeploy::DeploymentGroup")
    assert set(groups) == {"ApiFunctionDeploymentGroup", "JobFunctionDeploymentGroup"}
    for group in groups.values():
        assert (
            group["DeploymentConfigName"]["Fn::Sub"][1]["ConfigName"] == "Canary10Percent5Minutes"
        )
        alarms = group["AlarmConfiguration"]["Fn::If"][1]["Alarms"]
        assert alarms == [
            {"Name": {"Ref": "FunctionErrorsAlarm"}},
            {"Name": {"Ref": "FailedShareAlarm"}},
        ]
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert not of_type(translated["as it is"], "AWS::CodeDeploy::DeploymentGroup")
    for name in ("as it is", "gradual"):
        assert "UpdatePolicy" not in translated[name]["Resources"]["WorkerFunctionAliaslive"]


def test_callers_use_the_alias(translated):
    template = translated["as it is"]
    assert template["Outputs"]["JobLambdaArn"]["Value"] == {"Ref": "JobFunctionAliaslive"}
    api = of_type(template, "AWS::ApiGateway::RestApi")["Api"]["Body"]["paths"]
    for path in api.values():
        for method in path.values():
            uri = json.dumps(method["x-amazon-apigateway-integration"]["uri"])
            assert "ApiFunctionAliaslive" in uri or "ApiFunction.Alias" in uri
    permissions = of_type(template, "AWS::Lambda::Permission").values()
    console = {"Ref": "ConsoleFunction"}  # reads only; it has no alias
    doors = [
        p for p in permissions
        if p["Principal"] == "apigateway.amazonaws.com" and p["FunctionName"] != console
    ]  # fmt: skip
    assert doors
    assert all(p["FunctionName"] == {"Ref": "ApiFunctionAliaslive"} for p in doors)


def test_tracing_brings_its_permission_and_its_absence_takes_it(translated):
    def permitted(name):
        roles = of_type(translated[name], "AWS::IAM::Role")
        return "XrayWriteOnlyAccess" in json.dumps(roles["ApiFunctionRole"]).replace("XRay", "Xray")

    assert permitted("traced")
    assert not permitted("as it is")
    assert (
        "TracingConfig"
        not in of_type(translated["as it is"], "AWS::Lambda::Function")["ApiFunction"]
    )
