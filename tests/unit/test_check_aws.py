"""The doctor with AWS: what a stack, its roles and its quotas are made to say."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

from devkit.__main__ import main
from devkit.checks.deployed import reachable
from devkit.checks.roles import trusted
from devkit.emulator import template
from rollout.aws import clients
from rollout.storage.drain import switch
from tests.building import ACCOUNT, ENVIRON, REGION, make_settings

ROLE = f"arn:aws:iam::{ACCOUNT}:role/job"
JOB_LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:s-SageMaker-job:live"
TRUST = {
    "Effect": "Allow",
    "Principal": {"Service": "job.sagemaker.amazonaws.com"},
    "Action": ["sts:AssumeRole", "sts:TagSession"],
}


def trust(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


class Account:
    """What the account answers to the operations that moto does not have; an error by its code."""

    def __init__(self) -> None:
        place = {"account": ACCOUNT, "region": REGION, "stack": "s"}
        self.variables = template.environment(template.parameters({}), **place)
        function = {"State": "Active", "LastUpdateStatus": "Successful", "Role": ROLE}
        function["Environment"] = {"Variables": self.variables}
        self.job = {**function, "FunctionName": "s-SageMaker-job"}
        self.worker = {**function, "DurableConfig": {"ExecutionTimeout": 14_400}}
        self.free = 1_000
        self.simulated = []
        self.answers = {
            "GetFunctionConcurrency": {},
            "GetPolicy": "ResourceNotFoundException",
            "GetServiceQuota": {"Quota": {"Value": 300.0}},
            "SimulatePrincipalPolicy": {"EvaluationResults": [{"EvalDecision": "allowed"}]},
        }

    def answer(self, model, params, context, **_):
        del context
        answer = self.answers.get(model.name)
        if model.name == "SimulatePrincipalPolicy":
            self.simulated.append(params["body"])
        if model.name == "GetFunctionConfiguration":
            answer = self.worker if "s-worker" in params["url"] else self.job
        if model.name == "GetAccountSettings":
            limits = {"ConcurrentExecutions": 1_000, "UnreservedConcurrentExecutions": self.free}
            answer = {"AccountLimit": limits}
        if isinstance(answer, str):
            http = type("Answer", (), {"status_code": 400})
            return http, {"Error": {"Code": answer, "Message": ""}, "ResponseMetadata": {}}
        return answer if answer is None else (type("Answer", (), {"status_code": 200}), answer)


@pytest.fixture
def account(monkeypatch):
    """An account with the stack ``s`` and the role ``job``, at botocore's transport."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr("socket.create_connection", _refuse)
    known = Account()
    with mock_aws():
        boto3.client("iam").create_role(
            RoleName="job", AssumeRolePolicyDocument=json.dumps(trust(TRUST))
        )
        boto3.client("cloudformation", REGION).create_stack(
            StackName="s", TemplateBody=json.dumps(_stack())
        )
        boto3.setup_default_session()
        boto3.DEFAULT_SESSION.events.register("before-call", known.answer)
        clients.forget()
        yield known
    clients.forget()
    boto3.DEFAULT_SESSION = None


def _refuse(*_, **__):
    raise TimeoutError


@pytest.fixture
def report(capsys):
    """Exit code and the findings of the AWS group by check."""

    def run(*options):
        code = main(["check", "--region", REGION, "--json", "--built", "nowhere", *options])
        found = json.loads(capsys.readouterr().out)["findings"]
        return code, {f["check"]: f for f in found if f["group"].startswith("AWS")}

    return run


def _stack():
    parameters = {
        name: {"Type": "String", "Default": value}
        for name, value in template.parameters({}).items()
    }
    outputs = {
        "JobLambdaArn": {"Value": JOB_LAMBDA},
        "Table": {"Value": ENVIRON["ROLLOUT_TABLE"]},
        "WorkerName": {"Value": "s-worker"},
    }
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "t"}}
    return {"Parameters": parameters, "Resources": {"T": topic}, "Outputs": outputs}


BOTH = ("--stack", "s", "--job-role", ROLE)


def test_roles_are_asked_about_jobs_that_train_and_jobs_that_evaluate(account, report):
    report(*BOTH)
    asked = {
        (body["ActionNames.member.1"], body["ResourceArns.member.1"].rsplit(":", 1)[-1])
        for body in account.simulated
    }
    for kind in ("AgentRFT", "AgentRFTEvaluation"):
        assert ("sagemaker:Sample", f"job/{kind}/check") in asked


def test_a_sound_stack_and_role_are_all_well(account, report):
    code, found = report(*BOTH)
    assert code == 0
    unwell = {name for name, f in found.items() if f["level"] != "ok"}
    assert unwell == {"reachable"}  # no network here
    assert found["job-function"]["measured"] == JOB_LAMBDA
    assert set(found) >= {
        "identity",
        "stack",
        "worker",
        "worker-role",
        "concurrency",
        "job-role-trust",
    }


def test_what_is_denied_names_the_action_and_the_rest_is_checked(account, report):
    account.answers["SimulatePrincipalPolicy"] = "AccessDenied"
    account.answers["GetServiceQuota"] = "AccessDeniedException"
    code, found = report(*BOTH)
    assert code == 0
    assert "iam:SimulatePrincipalPolicy" in found["job-role"]["what"]
    assert "servicequotas:GetServiceQuota" in found["durable-starts"]["what"]
    assert found["durable-starts"]["level"] == "unchecked"
    assert found["concurrency"]["level"] == "ok"


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
def test_credentials_that_are_over_end_the_questions_not_the_report(account, report, code):
    account.answers["GetCallerIdentity"] = code
    exit_code, found = report("--stack", "s")
    assert exit_code == 0
    assert [f["level"] for f in found.values()] == ["unchecked"]


def test_without_credentials_the_rest_is_checked(report, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    code, found = report("--stack", "s")
    assert code == 0
    assert "no AWS credentials" in found["identity"]["what"]


@pytest.mark.parametrize(
    ("check", "level", "change"),
    [
        ("worker", "error", lambda a: a.worker.pop("DurableConfig")),
        ("worker", "error", lambda a: a.worker.update(DurableConfig={"ExecutionTimeout": 60})),
        ("published", "error", lambda a: a.variables.update(ROLLOUT_AGENT="environments.old:old")),
        ("published", "error", lambda a: a.variables.pop("ROLLOUT_MAX_TURNS")),
        ("job-function", "error", lambda a: a.job.update(State="Pending")),
        ("job-function", "warning", lambda a: a.job.update(FunctionName="s-job")),
        ("concurrency", "error", lambda a: setattr(a, "free", 115)),
        ("durable-starts", "warning",
         lambda a: a.answers.update(GetServiceQuota={"Quota": {"Value": 50.0}})),
        ("reserved", "warning",
         lambda a: a.answers.update(GetFunctionConcurrency={"ReservedConcurrentExecutions": 5})),
        ("resource-policy", "warning",
         lambda a: a.answers.update(GetPolicy={"Policy": '{"Statement": {"Effect": "Deny"}}'})),
        ("job-role", "error", lambda a: a.answers.update(SimulatePrincipalPolicy=_decided("implicitDeny"))),
        ("worker-role", "unchecked",
         lambda a: a.answers.update(SimulatePrincipalPolicy=_decided("implicitDeny", "aws:SourceVpc"))),
    ],
)  # fmt: skip
def test_what_a_job_would_stumble_over_is_named(account, report, check, level, change):
    change(account)
    assert report(*BOTH)[1][check]["level"] == level


def _decided(decision, *missing):
    result = {
        "EvalDecision": decision,
        "EvalActionName": "x",
        "MissingContextValues": list(missing),
    }
    return {"EvaluationResults": [result]}


def test_the_deployed_parameters_are_checked_not_the_profiles(account, report):
    client = boto3.client("cloudformation", REGION)
    changed = [{"ParameterKey": "MaxRunning", "ParameterValue": "10"}]
    client.update_stack(StackName="s", TemplateBody=json.dumps(_stack()), Parameters=changed)
    assert report("--stack", "s")[0] == 1


@pytest.mark.parametrize(("role", "level"), [("arn:aws:iam::1:role/logs", "ok"), ("", "error")])
def test_access_logs_need_a_role_that_the_account_has(account, report, role, level):
    account.answers["GetAccount"] = {"cloudwatchRoleArn": role}
    assert "access-logs" not in report("--stack", "s")[1]
    client = boto3.client("cloudformation", REGION)
    changed = [{"ParameterKey": "ApiAccessLogs", "ParameterValue": "true"}]
    client.update_stack(StackName="s", TemplateBody=json.dumps(_stack()), Parameters=changed)
    assert report("--stack", "s")[1]["access-logs"]["level"] == level


def test_access_logs_are_asked_about_before_the_first_deployment(account, report, monkeypatch):
    account.answers["GetAccount"] = {}
    asked = template.parameters({"ApiAccessLogs": "true"})
    monkeypatch.setattr("devkit.commands.check.from_samconfig", lambda *_: ("s", asked, ""))
    assert report("--stack", "not-yet")[1]["access-logs"]["level"] == "error"


def test_a_stack_that_is_being_drained_is_named(account, report):
    boto3.client("dynamodb", REGION).create_table(
        TableName=ENVIRON["ROLLOUT_TABLE"], **template.table_properties()
    )
    assert "draining" not in report("--stack", "s")[1]
    switch(make_settings(), on=True)
    assert report("--stack", "s")[1]["draining"]["mend"] == "Run rollout drain --stack s --off."


def test_a_stack_or_a_role_that_is_not_there_is_an_error(account, report):
    assert report("--stack", "other")[1]["stack"]["level"] == "error"
    absent = f"arn:aws:iam::{ACCOUNT}:role/absent"
    assert "no role absent" in report("--stack", "s", "--job-role", absent)[1]["job-role"]["what"]


@pytest.mark.parametrize(
    ("level", "statement"),
    [
        ("ok", TRUST),
        ("error", {**TRUST, "Action": "sts:AssumeRole"}),
        ("error", {**TRUST, "Principal": {"Service": "sagemaker.amazonaws.com"}}),
        ("error", {**TRUST, "Effect": "Deny"}),
        ("error", {**TRUST, "Principal": "*"}),
        ("warning", {**TRUST, "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}}),
    ],
)
def test_a_job_needs_to_assume_its_role_and_tag_the_session(level, statement):
    (finding,) = trusted(trust(statement), "job")
    assert finding.level == level


def test_an_endpoint_that_does_not_answer_is_a_warning(monkeypatch):
    monkeypatch.setattr("socket.create_connection", _refuse)
    assert reachable("job-runtime.sagemaker.us-west-2.api.aws", 443).level == "warning"
