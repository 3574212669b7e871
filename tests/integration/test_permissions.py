"""What each function may do, as deployed: every call the code makes, and nothing that it does not make."""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import aws_durable_execution_sdk_python
import aws_lambda_powertools
import botocore.session
import pytest
from botocore import xform_name
from moto.iam.access_control import IAMPolicyStatement, PermissionResult

from tests.building import ROOT
from tests.expansion import ACCOUNT, Deployed

OURS = (ROOT / "layers/rollout/python/rollout", ROOT / "functions")
PARAMETERS = Path(aws_lambda_powertools.__file__).parent / "utilities/parameters"
SDK = Path(aws_durable_execution_sdk_python.__file__).parent
REGION = "us-west-2"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd"
PLAYERS = {"ApiFunction", "WorkerFunction"}
REPORTERS = {*PLAYERS, "CloserFunction", "SweepFunction"}
ACCEPTORS = {*REPORTERS, "JobFunction"}
ALL = {*ACCEPTORS, "ConsoleFunction"}
STARTERS = {"ApiFunction", "JobFunction", "SweepFunction"}
SERVICES = {
    "bedrock-runtime",
    "dynamodb",
    "lambda",
    "s3",
    "sagemaker-runtime",
    "sagemakerjobruntime",
    "sagemakertrainingsessionruntime",
    "secretsmanager",
}

TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/RolloutTable"
BUCKET = "arn:aws:s3:::trajectorybucket"
JOB = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:job/AgentRFT/nightly"
EVALUATION = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:job/AgentRFTEvaluation/nightly"
GRADER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/grader"
MODEL = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-lite-v1:0"
ENDPOINT = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/base"
SESSION = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-session/two"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:key-AbCdEf"
SHOP_SECRETS = [
    f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop-AbCdEf",
    f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:crm-GhIjKl",
]
SHOP_POLICIES = [
    f"arn:aws:iam::{ACCOUNT}:policy/shop",
    "arn:aws:iam::aws:policy/AmazonAthenaFullAccess",
]
VPC = {"VpcSubnets": "subnet-0a,subnet-0b", "VpcSecurityGroups": "sg-0c"}
WORKER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rollout-worker-1234567db123"
EXECUTION = f"{WORKER}:7/durable-execution/name/id"
# Operation of boto3, its IAM action, what it is called on, and by which functions.
CALLS = [
    ("get_item", "dynamodb:GetItem", TABLE, ALL),
    ("put_item", "dynamodb:PutItem", TABLE, ACCEPTORS),
    ("update_item", "dynamodb:UpdateItem", TABLE, ACCEPTORS),
    ("delete_item", "dynamodb:DeleteItem", TABLE, ACCEPTORS),
    ("query", "dynamodb:Query", f"{TABLE}/index/open", ACCEPTORS),
    ("query", "dynamodb:Query", TABLE, {"ConsoleFunction"}),
    ("query", "dynamodb:Query", f"{TABLE}/index/by_job", {"ConsoleFunction"}),
    ("query", "dynamodb:Query", f"{TABLE}/index/by_group", {"ConsoleFunction"}),
    ("put_object", "s3:PutObject", f"{BUCKET}/trajectories/a", ACCEPTORS),
    ("put_object", "s3:PutObject", f"{BUCKET}/requests/a", ACCEPTORS),
    ("put_object", "s3:PutObject", f"{BUCKET}/checkpoints/a", ACCEPTORS),
    ("get_object", "s3:GetObject", f"{BUCKET}/trajectories/a", {"ConsoleFunction"}),
    ("get_object", "s3:GetObject", f"{BUCKET}/requests/a", ACCEPTORS),
    ("get_object", "s3:GetObject", f"{BUCKET}/checkpoints/a", ACCEPTORS),
    ("invoke", "lambda:InvokeFunction", f"{WORKER}:live", STARTERS),
    (
        "get_durable_execution",
        "lambda:GetDurableExecution",
        EXECUTION,
        {"CloserFunction", "SweepFunction"},
    ),
    (
        "checkpoint_durable_execution",
        "lambda:CheckpointDurableExecution",
        EXECUTION,
        {"WorkerFunction"},
    ),
    (
        "get_durable_execution_state",
        "lambda:GetDurableExecutionState",
        EXECUTION,
        {"WorkerFunction"},
    ),
    ("sample", "sagemaker:Sample", JOB, PLAYERS),
    ("sample", "sagemaker:Sample", EVALUATION, PLAYERS),
    ("complete_rollout", "sagemaker:CompleteRollout", JOB, REPORTERS),
    ("update_reward", "sagemaker:UpdateReward", JOB, REPORTERS),
    ("invoke_endpoint", "sagemaker:InvokeEndpoint", ENDPOINT, PLAYERS),
    ("invoke_endpoint", "sagemaker:InvokeEndpoint", GRADER, PLAYERS),
    ("converse", "bedrock:InvokeModel", MODEL, PLAYERS),
    ("sample_training_session", "sagemaker:SampleTrainingSession", SESSION, PLAYERS),
    ("get_secret_value", "secretsmanager:GetSecretValue", SECRET, PLAYERS),
    *(("get_secret_value", "secretsmanager:GetSecretValue", arn, PLAYERS) for arn in SHOP_SECRETS),
]
# What no call of boto3's asks for: the services themselves act in the functions' names.
IMPLIED = [
    ("kms:Decrypt", KEY, "sagemaker.us-west-2.amazonaws.com", REPORTERS),
    ("kms:GenerateDataKey", KEY, "sagemaker.us-west-2.amazonaws.com", REPORTERS),
    ("kms:Decrypt", f"{KEY}-3", "secretsmanager.us-west-2.amazonaws.com", PLAYERS),
    ("kms:Decrypt", f"{KEY}-2", "lambda.us-west-2.amazonaws.com", ACCEPTORS),
    ("kms:GenerateDataKey", f"{KEY}-2", "lambda.us-west-2.amazonaws.com", ACCEPTORS),
]
OF_LAMBDA = {
    "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes",
    "logs:CreateLogStream", "logs:PutLogEvents",
}  # fmt: skip


@pytest.fixture(scope="module")
def deployed():
    """With every parameter that brings a permission."""
    return Deployed(
        AllowedModelEndpoints="base,trained",
        JudgeModels=f"{MODEL},{GRADER}",
        AllowedTrainingSessions="one,two",
        BaseUrlSecretArn=SECRET,
        AgentSecretArns=",".join(SHOP_SECRETS),
        AgentPolicies=",".join(SHOP_POLICIES),
        **VPC,
        JobKmsKeyArn=KEY,
        CheckpointKmsKeyArn=f"{KEY}-2",
        Tracing="Active",
    )


def actions(statement):
    named = statement["Action"]
    return [named] if isinstance(named, str) else named


def decision(statements, action, resource, **context):
    """Whether a role may: a Deny wins, and a statement whose condition does not hold says nothing."""
    values = {
        "aws:ResourceAccount": ACCOUNT,
        "aws:RequestedRegion": REGION,
        "kms:ViaService": context.get("via", ""),
        "kms:EncryptionContext:SecretARN": context.get("secret", SHOP_SECRETS[0]),
        # Of what the function's own code calls; Lambda's calls have none.
        "lambda:SourceFunctionArn": "" if context.get("by_lambda") else f"{WORKER}:7",
    }
    found = set()
    for statement in statements:
        if not conditions_hold(statement.get("Condition", {}), values):
            continue
        plain = {name: part for name, part in statement.items() if name != "Condition"}
        judged = IAMPolicyStatement(plain).is_action_permitted(action, resource)
        found.add((statement["Effect"], judged))
    if ("Deny", PermissionResult.DENIED) in found:
        return False
    return ("Allow", PermissionResult.PERMITTED) in found


def conditions_hold(conditions, values):
    for operator, wanted in conditions.items():
        assert operator in ("StringEquals", "StringLike", "ArnLike"), operator
        for key, pattern in wanted.items():
            same = str.__eq__ if operator == "StringEquals" else fnmatchcase
            several = [pattern] if isinstance(pattern, str) else pattern
            if not any(same(values[key], one) for one in several):
                return False
    return True


def called(folder, operations):
    """The operations of boto3 that a folder's code calls, by the name of the method."""
    return {
        node.func.attr
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in operations
    }


def operations_of(service):
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name) for name in model.operation_names}


def test_every_call_in_the_code_is_in_the_table_above():
    services = {
        node.args[0].value
        for folder in OURS
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func) == "clients.client"
        and isinstance(node.args[0], ast.Constant)
    }
    assert services == SERVICES, "a client of another service: which function needs what of it?"
    # Secrets are read by Powertools, whose class could do more with them than we ask for.
    operations = set().union(*map(operations_of, SERVICES - {"secretsmanager"}))
    ours = set().union(*(called(folder, operations) for folder in OURS))
    durable = called(SDK, {name for name in operations_of("lambda") if "durable" in name})
    # The SDK itself invokes functions and sends callbacks by other methods, which we do not use.
    read = called(PARAMETERS, {"get_secret_value"})
    assert ours | durable | read == {operation for operation, *_ in CALLS}


@pytest.mark.parametrize(("operation", "action", "resource", "functions"), CALLS)
def test_a_call_is_allowed_to_those_who_make_it_and_to_nobody_else(
    deployed, operation, action, resource, functions
):
    allowed = {
        name for name in ALL if decision(deployed.role_of(name)["statements"], action, resource)
    }
    assert allowed == functions, operation


@pytest.mark.parametrize(("action", "resource", "via", "functions"), IMPLIED)
def test_a_key_is_used_through_its_service_alone(deployed, action, resource, via, functions):
    def may(through):
        return {
            name
            for name in ALL
            if decision(deployed.role_of(name)["statements"], action, resource, via=through)
        }

    assert may(via) == functions
    assert may("") == may("s3.us-west-2.amazonaws.com") == set()


def test_no_action_is_allowed_that_no_call_needs(deployed):
    needed = {action for _, action, *_ in CALLS} | {action for action, *_ in IMPLIED} | OF_LAMBDA
    for name in ALL:
        allowed = {
            a
            for s in deployed.role_of(name)["statements"]
            if s["Effect"] == "Allow"
            for a in actions(s)
        }
        assert allowed <= needed, name


def test_nothing_is_allowed_on_everything_after_what_sam_adds(deployed):
    for name in ALL:
        role = deployed.role_of(name)
        for statement in role["statements"]:
            resources = statement["Resource"]
            for resource in [resources] if isinstance(resources, str) else resources:
                assert resource != "*" or statement["Effect"] == "Deny"
            assert "*" not in "".join(actions(statement))
        policies = {arn.rsplit("/", 1)[-1] for arn in role["managed"]}
        # AWS's own: writing logs, and traces and a network where they are asked for.
        asked = {"AWSXrayWriteOnlyAccess", "AWSXRayDaemonWriteAccess"}
        if name in PLAYERS:
            asked |= {"shop", "AmazonAthenaFullAccess", "AWSLambdaVPCAccessExecutionRole"}
        assert policies <= {"AWSLambdaBasicExecutionRole", *asked}
    bare = Deployed()
    for name in ALL:
        policies = {arn.rsplit("/", 1)[-1] for arn in bare.role_of(name)["managed"]}
        own = name in (*PLAYERS, "CloserFunction")
        assert policies == (set() if own else {"AWSLambdaBasicExecutionRole"})


def test_bearer_tokens_are_denied_to_all_who_talk_to_the_job_runtime(deployed):
    for name in REPORTERS:
        denied = [s for s in deployed.role_of(name)["statements"] if s["Effect"] == "Deny"]
        assert ("sagemaker:CallWithBearerToken", "*") in [
            (s["Action"], s["Resource"]) for s in denied if "Condition" not in s
        ]


def test_what_an_environment_may_reach_is_the_players_alone(deployed):
    for name in ALL:
        managed = set(deployed.role_of(name)["managed"])
        assert managed & set(SHOP_POLICIES) == (set(SHOP_POLICIES) if name in PLAYERS else set())
        network = deployed.resources[name]["Properties"].get("VpcConfig")
        assert network == (
            {"SubnetIds": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-0c"]}
            if name in PLAYERS
            else None
        )


def test_an_environment_reaches_nothing_more_unless_it_is_asked_for():
    bare = Deployed()
    for name in ALL:
        statements = bare.role_of(name)["statements"]
        for arn in (SECRET, *SHOP_SECRETS):
            assert not decision(statements, "secretsmanager:GetSecretValue", arn)
        via = "secretsmanager.us-west-2.amazonaws.com"
        assert not decision(statements, "kms:Decrypt", f"{KEY}-3", via=via)
        assert not any("ec2" in action for s in statements for action in actions(s))
        assert "VpcConfig" not in bare.resources[name]["Properties"]


def test_a_secret_that_is_not_named_is_neither_read_nor_decrypted(deployed):
    other = SHOP_SECRETS[0].replace("shop", "payroll")
    via = "secretsmanager.us-west-2.amazonaws.com"
    for name in ALL:
        statements = deployed.role_of(name)["statements"]
        assert not decision(statements, "secretsmanager:GetSecretValue", other)
        assert not decision(statements, "kms:Decrypt", f"{KEY}-3", via=via, secret=other)
        assert not decision(statements, "kms:GenerateDataKey", f"{KEY}-3", via=via)


@pytest.mark.parametrize("action", ["CreateNetworkInterface", "DeleteNetworkInterface"])
def test_the_network_is_lambdas_and_not_the_agents(deployed, action):
    for name in PLAYERS:
        # What AWS's own managed policy allows.
        allowed = {"Effect": "Allow", "Action": f"ec2:{action}", "Resource": "*"}
        statements = [allowed, *deployed.role_of(name)["statements"]]
        assert decision(statements, f"ec2:{action}", "*", by_lambda=True)
        assert not decision(statements, f"ec2:{action}", "*")


def test_a_job_of_another_account_is_nobodys(deployed):
    other = JOB.replace(ACCOUNT, "999999999999")
    for name in ALL:
        assert not decision(deployed.role_of(name)["statements"], "sagemaker:Sample", other)


def test_the_queue_is_written_by_its_rule_alone(deployed):
    (policy,) = deployed.of_type("AWS::SQS::QueuePolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"]["ArnEquals"] == {"aws:SourceArn": deployed.arn("EndedRule")}


def test_every_bad_end_of_our_executions_comes_to_the_closer(deployed):
    rule = deployed.resources["EndedRule"]["Properties"]
    pattern = rule["EventPattern"]
    assert pattern["detail-type"] == ["Durable Execution Status Change"]
    assert pattern["detail"]["status"] == ["FAILED", "TIMED_OUT", "STOPPED"]
    # Not those of a function whose name begins as the worker's does.
    assert pattern["detail"]["functionArn"] == [{"prefix": f"{WORKER}:"}]
    (target,) = rule["Targets"]
    (mapping,) = deployed.of_type("AWS::Lambda::EventSourceMapping").values()
    assert target["Arn"] == mapping["EventSourceArn"] == deployed.arn("EndedQueue")
    assert (mapping["FunctionName"], mapping["BatchSize"]) == ("CloserFunction", 1)
    queue = deployed.resources["EndedQueue"]["Properties"]
    closer = deployed.resources["CloserFunction"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * closer["Timeout"]
    assert queue["MessageRetentionPeriod"] == 14 * 86_400
