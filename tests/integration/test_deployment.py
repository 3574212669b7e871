"""What a deployment does to the functions' aliases: SAM's own translator says it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from devkit.emulator.template import load_template
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
PARAMETERS = load_template()["Parameters"]
# What only alarms, the API, CodeDeploy or a role know, and what Lambda keeps of a function, not of its versions.
OF_NO_VERSION = {
    "AgentPolicies", "AgentSecretArns", "AlarmTopic", "Alarms", "AllowedAccountId", "ApiAccessLogs", "DeploymentType", "FailedShare",
    "GradualDeployment", "JobConcurrency", "JobKmsKeyArn", "JudgeModels",
    "WorkerConcurrency",
}  # fmt: skip
KEY = "arn:aws:kms:us-west-2:123456789012:key/1234abcd"
OTHERS = {
    "Agent": "environments.mine:mine",
    "AgentPolicies": "arn:aws:iam::123456789012:policy/shop",
    "AgentSecretArns": "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop-AbCdEf",
    "AgentVariables": "SHOP_URL=https://shop.example",
    "AlarmTopic": "arn:aws:sns:us-west-2:123456789012:alarms",
    "AllowedAccountId": "123456789012",
    "CheckpointKmsKeyArn": KEY,
    "FailurePolicy": "floor:0",
    "JobEndpoint": "https://example.org",
    "JobKmsKeyArn": KEY,
    "OtelLayer": "arn:aws:lambda:us-west-2:123456789012:layer:otel:1",
    "VpcSecurityGroups": "sg-0a1b2c3d",
    "VpcSubnets": "subnet-0a1b2c3d,subnet-4e5f6a7b",
}


def another(name):
    """A value of a parameter that is not its default."""
    declared = PARAMETERS[name]
    if "AllowedValues" in declared:
        values = [str(value) for value in declared["AllowedValues"]]
        return next(value for value in values if value != str(declared["Default"]))
    if declared["Type"] == "Number":
        return str(int(declared["Default"]) + 1 if name != "TimeLimit" else 60)
    return OTHERS.get(name) or {"PassReward": "0.5"}.get(name, "other-1")


ASKED = {
    "as it is": (None, {}),
    **{name: (None, {name: another(name)}) for name in PARAMETERS},
    "the code": (["CodeUri: functions/rollout\n", "CodeUri: functions/other\n"], {}),
    "the library": (["ContentUri: layers/rollout\n", "ContentUri: layers/other\n"], {}),
    "the packages": (["ContentUri: layers/dependencies\n", "ContentUri: layers/other\n"], {}),
    "the environments": (["ContentUri: environments\n", "ContentUri: others\n"], {}),
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


def versions(template, parameters=()):
    """The version that each function's alias points to: what CloudFormation makes anew if it differs.

    A version is replaced when its logical id or its description changes (its createOnlyProperties).
    """
    values = {name: str(one["Default"]) for name, one in PARAMETERS.items()} | dict(parameters)
    found = {}
    for name in ALIASED:
        alias = template["Resources"][f"{name}Aliaslive"]["Properties"]
        place = alias["FunctionVersion"]["Fn::GetAtt"][0]
        version = template["Resources"][place]
        assert version["DeletionPolicy"] == version["UpdateReplacePolicy"] == "Retain"
        found[name] = (place, resolved(version["Properties"]["Description"], values))
    return found


def resolved(value, values):
    """Text of a description: parameters by value, resources by logical id."""
    if isinstance(value, list):
        return [resolved(item, values) for item in value]
    if isinstance(value, dict):
        if set(value) == {"Ref"}:
            return values.get(value["Ref"], value["Ref"])
        return {name: resolved(item, values) for name, item in value.items()}
    return value


@pytest.mark.parametrize("change", ["the code", "the library", "the packages", "the environments"])
def test_what_changes_is_published(translated, change):
    before, after = versions(translated["as it is"]), versions(translated[change])
    assert all(before[name] != after[name] for name in ALIASED)


@pytest.mark.parametrize("name", sorted(set(PARAMETERS) - OF_NO_VERSION))
def test_a_parameter_that_a_function_sees_is_published_for_all_that_see_it(translated, name):
    before, after = translated["as it is"], translated[name]
    published = [
        f for f in ALIASED if versions(before)[f] != versions(after, {name: another(name)})[f]
    ]
    # Only these two have the layer, and only the worker has checkpoints.
    few = {
        "OtelLayer": ["ApiFunction", "WorkerFunction"],
        "ApiSnapStart": ["ApiFunction"],
        "CheckpointKmsKeyArn": ["WorkerFunction"],
    }
    assert published == few.get(name, list(ALIASED))


@pytest.mark.parametrize("name", sorted(OF_NO_VERSION))
def test_a_parameter_that_no_version_holds_publishes_none(translated, name):
    """Lambda refuses to publish a version that differs in nothing from the last one."""
    assert versions(translated["as it is"]) == versions(translated[name], {name: another(name)})


def test_a_version_is_never_equal_to_the_one_before_it(translated):
    """Whatever changes the layer of the settings changes every function."""
    for name in ALIASED:
        function = translated["as it is"]["Resources"][name]["Properties"]
        settings = function["Environment"]["Variables"]["STACK_SETTINGS"]["Ref"]
        layer = translated["as it is"]["Resources"][settings]
        assert layer["Type"] == "AWS::Lambda::LayerVersion"
        changed = translated["Revision"]["Resources"][name]["Properties"]
        assert changed["Environment"]["Variables"]["STACK_SETTINGS"]["Ref"] != settings


def test_the_functions_names_are_short_enough_whatever_the_stack_is_called(translated):
    functions = of_type(translated["as it is"], "AWS::Lambda::Function")
    named = {name: f["FunctionName"] for name, f in functions.items() if "FunctionName" in f}
    assert set(named) == {"JobFunction", "WorkerFunction"}
    for name in named.values():
        text, values = name["Fn::Sub"]
        assert list(values) == ["Id"]  # the last twelve characters of the stack's id
        assert len(text.replace("${Id}", "1234567db123")) <= 64
    assert "SageMaker" in named["JobFunction"]["Fn::Sub"][0]


def test_one_stage_and_no_access_log_unless_it_is_asked_for(translated):
    stages = of_type(translated["as it is"], "AWS::ApiGateway::Stage")
    assert [stage["StageName"] for stage in stages.values()] == ["v1", "v1"]
    deployments = of_type(translated["as it is"], "AWS::ApiGateway::Deployment")
    assert not any("StageName" in deployment for deployment in deployments.values())
    for stage in stages.values():
        condition, _, otherwise = stage["AccessLogSetting"]["Fn::If"]
        assert (condition, otherwise) == ("LogsAccess", {"Ref": "AWS::NoValue"})


def test_a_first_deployment_that_fails_leaves_nothing_behind(translated):
    for kind in ("AWS::DynamoDB::Table", "AWS::S3::Bucket"):
        (kept,) = [r for r in translated["as it is"]["Resources"].values() if r["Type"] == kind]
        assert kept["DeletionPolicy"] == "RetainExceptOnCreate"
        assert kept["UpdateReplacePolicy"] == "Retain"


def of_type(template, kind):
    return {n: r["Properties"] for n, r in template["Resources"].items() if r["Type"] == kind}


def test_the_entry_points_move_step_by_step_and_back_on_alarm_and_the_worker_at_once(translated):
    groups = of_type(translated["gradual"], "AWS::CodeDeploy::DeploymentGroup")
    assert set(groups) == {"ApiFunctionDeploymentGroup", "JobFunctionDeploymentGroup"}
    for group in groups.values():
        assert (
            group["DeploymentConfigName"]["Fn::Sub"][1]["ConfigName"] == "Canary10Percent5Minutes"
        )
        condition, watched, _ = group["AlarmConfiguration"]["Fn::If"]
        assert condition == "GradualAndWatched"
        assert watched["Alarms"] == [
            {"Name": {"Ref": "DeploymentAlarm"}},
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
    entry_points = [
        p for p in permissions
        if p["Principal"] == "apigateway.amazonaws.com" and p["FunctionName"] != console
    ]  # fmt: skip
    assert entry_points
    assert all(p["FunctionName"] == {"Ref": "ApiFunctionAliaslive"} for p in entry_points)


def test_tracing_brings_its_permission_and_its_absence_takes_it(translated):
    def permitted(name):
        roles = of_type(translated[name], "AWS::IAM::Role")
        return "XrayWriteOnlyAccess" in json.dumps(roles["JobFunctionRole"]).replace("XRay", "Xray")

    assert permitted("traced")
    assert not permitted("as it is")
    assert (
        "TracingConfig"
        not in of_type(translated["as it is"], "AWS::Lambda::Function")["ApiFunction"]
    )
