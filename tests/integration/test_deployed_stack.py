"""sam deploy puts the whole stack on a local AWS emulator, and it answers through API Gateway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from urllib.parse import quote

import boto3
import httpx
import pytest

from devkit.checks import stack_plan
from devkit.emulator.job_runtime import JobRuntimeSimulator
from devkit.emulator.sam_templates import prepare
from devkit.emulator.template import load_template
from environments.calculator import scripts as calculator
from rollout.storage.drain import FRESH
from tests.building import ROOT
from tests.emulated_account import ACCOUNT, JOB_ARN, REGION, account, address_of, outputs_of, signed
from tests.other_packages import python_in, rollout_in
from tests.processes import SAM
from tests.terminal import with_enter_alone

STACK = "rollout-dev"  # of the default profile
ROW = {"question": "What is 2 + 3?", "answer": "<<2+3=5>>\n#### 5"}


@pytest.fixture(scope="module")
def simulator():
    with JobRuntimeSimulator(
        lambda asked: calculator.gold(asked.instance, asked.messages)
    ) as running:
        yield running


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with account(tmp_path_factory.mktemp("emulator")) as environ:
        yield environ


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What ``make build`` leaves to a first user, where nobody else builds."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "layers").symlink_to(ROOT / "layers")  # the small ones are deployed as they stand
    (folder / ".aws-sam").mkdir()
    (folder / ".aws-sam/x86_64").symlink_to(ROOT / ".aws-sam/x86_64")
    prepare(folder / ".aws-sam/x86_64")
    return folder


@pytest.fixture(scope="module")
def questions(clone, aws, simulator):
    """``sam deploy --guided``, answered with Enter alone; yields what was asked."""
    settings = clone / "samconfig.toml"
    own = (
        f"RetentionDays=7 AllowedEndpoints={simulator.url} Alarms=false"  # it knows no metric math
    )
    settings.write_text(settings.read_text().replace("RetentionDays=7", own))
    status, said, asked = with_enter_alone([str(SAM / "bin/sam"), "deploy", "--guided"], clone, aws)
    assert status == 0, said[-3000:]
    return asked


@pytest.fixture(scope="module")
def stack(questions, aws):
    return outputs_of(aws, STACK)


@pytest.fixture(scope="module")
def base(aws, stack):
    return address_of(aws, stack["Url"])


def client(aws, service):
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, REGION, endpoint_url=aws["AWS_ENDPOINT_URL"], **keys)


def test_sam_asks_for_each_parameter_and_for_nothing_that_needs_an_answer(questions):
    parameters = [f"Parameter {name}" for name in load_template()["Parameters"]]
    assert [name for name, _ in questions] == [
        "Stack Name", "AWS Region", *parameters,
        "Confirm changes before deploy", "Allow SAM CLI IAM role creation", "Disable rollback",
        "Save arguments to configuration file", "SAM configuration file",
        "SAM configuration environment",
    ]  # fmt: skip
    proposed = dict(questions)
    assert (proposed["Stack Name"], proposed["AWS Region"]) == (STACK, REGION)
    assert proposed["Parameter Agent"] == "environments.calculator:calculator"
    assert proposed["Parameter RetentionDays"] == "7"  # the profile's, not the template's


def test_what_guided_saved_is_what_rollout_reads(questions, clone, monkeypatch):
    monkeypatch.setattr(stack_plan, "samconfig", lambda: clone / "samconfig.toml")
    name, parameters, region = stack_plan.from_samconfig("default")
    assert (name, region, parameters["Alarms"]) == (STACK, REGION, "false")
    saved = stack_plan.given_parameters("default")
    assert saved == {
        key.removeprefix("Parameter "): value
        for key, value in questions
        if key.startswith("Parameter ")
    }


def test_unsigned_requests_are_refused(base):
    assert httpx.get(f"{base}/health").status_code == 403
    assert httpx.post(f"{base}/rollout", json={}).status_code == 403


def test_health(base):
    answer = signed("GET", f"{base}/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


def test_a_rollout_through_the_deployed_stack(base, simulator, stack, aws):
    simulator.hand_out(JOB_ARN, "deployed-1", ROW)
    metadata = {
        "job_arn": JOB_ARN,
        "trajectory_id": "deployed-1",
        "endpoint": simulator.url,
        "region": REGION,
    }
    answer = signed(
        "POST", f"{base}/rollout", json.dumps({"instance": ROW, "metadata": metadata}).encode()
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["reward"] == 1.0
    trajectory = simulator.trajectory(JOB_ARN, "deployed-1")
    assert trajectory.state == "rewarded"
    assert len(trajectory.turns) == 2
    s3 = client(aws, "s3")
    assert s3.list_objects_v2(Bucket=stack["Bucket"], Prefix="trajectories/")["KeyCount"] == 1


def test_problems_come_from_us(base):
    answer = signed("POST", f"{base}/rollout", b"{")
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:rollout:problem:malformed-json"


def test_the_console_is_shown_to_those_who_sign(aws, stack):
    console = address_of(aws, stack["ConsoleUrl"])
    jobs = signed("GET", f"{console}/")
    assert (jobs.status_code, JOB_ARN in jobs.text) == (200, True), jobs.text
    job = f"{console}/job?job={quote(JOB_ARN, safe='')}"
    assert httpx.get(job).status_code == 403
    page = signed("GET", job)
    assert (page.status_code, "deployed-1" in page.text) == (200, True), page.text
    assert 'href="/v1/' in page.text or 'href="/_aws/' in page.text
    style = signed("GET", f"{console}/static/console.css")
    assert (style.status_code, style.headers["cache-control"]) == (200, "no-cache")


def test_the_state_of_a_rollout(base):
    answer = signed("GET", f"{base}/rollouts/never?job_arn={JOB_ARN}")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:rollout:problem:not-found"


def cli(aws, *arguments):
    """Run the project's command line against the emulator."""
    return subprocess.run(
        [sys.executable, "-m", "devkit", *arguments],
        cwd=ROOT,
        env={**os.environ, **aws},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_jobs_figures_are_exported_from_the_deployed_stack(aws, stack, base, simulator, tmp_path):
    simulator.hand_out(JOB_ARN, "exported-1", ROW)
    metadata = {
        "job_arn": JOB_ARN, "trajectory_id": "exported-1", "endpoint": simulator.url, "region": REGION,
    }  # fmt: skip
    body = json.dumps({"instance": ROW, "metadata": metadata}).encode()
    assert signed("POST", f"{base}/rollout", body).json()["reward"] == 1.0
    call = ["export", JOB_ARN, tmp_path, "--to", "tensorboard", "--stack", STACK]
    done = rollout_in("exports", *call, **aws)
    assert done.returncode == 0, done.stderr
    read = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print(json.dumps({tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}))
"""
    figures = json.loads(python_in("exports", read, tmp_path / "deployed").stdout)
    assert (figures["reward/mean"], figures["failed/all"]) == (1.0, 0.0)
    assert figures["rollouts"] >= 1.0
    assert (
        "not deployed" in cli(aws, "export", JOB_ARN, "x", "--to", "mlflow", "--stack", "no").stderr
    )


def test_the_guard_refuses_a_deployment_while_a_rollout_is_in_flight(aws, stack):
    assert cli(aws, "guard", "--stack", STACK).returncode == 0
    assert "not deployed" in cli(aws, "guard", "--stack", "nobody").stdout
    dynamodb = client(aws, "dynamodb")
    key = {"pk": {"S": "rollout#x"}, "sk": {"S": "rollout"}}
    due = {"open_shard": {"S": "open#a"}, "due_at": {"S": "2026"}}
    dynamodb.put_item(TableName=stack["Table"], Item={**key, **due})
    refused = cli(aws, "guard", "--stack", STACK)
    assert refused.returncode == 1
    assert "1 rollouts are in flight" in refused.stdout
    assert cli(aws, "guard", "--stack", STACK, "--warn").returncode == 0
    assert cli(aws, "drain", "--stack", STACK, "--timeout", "0").returncode == 1
    dynamodb.delete_item(TableName=stack["Table"], Key=key)
    done = cli(aws, "drain", "--stack", STACK, "--timeout", "10")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_drained_stack_refuses_rollouts_until_it_is_switched_on_again(aws, base, simulator):
    metadata = {"job_arn": JOB_ARN, "endpoint": simulator.url, "region": REGION}

    def post(trajectory_id):
        simulator.hand_out(JOB_ARN, trajectory_id, ROW)
        body = {"instance": ROW, "metadata": {**metadata, "trajectory_id": trajectory_id}}
        return signed("POST", f"{base}/rollout", json.dumps(body).encode())

    assert cli(aws, "drain", "--stack", STACK, "--timeout", "10").returncode == 0
    answer = post("drained-1")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:rollout:problem:draining")
    assert cli(aws, "drain", "--stack", STACK, "--off").returncode == 0
    time.sleep(FRESH)
    answer = post("drained-2")
    assert (answer.status_code, answer.json()["reward"]) == (200, 1.0), answer.text


def test_the_doctor_reads_the_deployed_stack(aws, stack):
    done = cli(aws, "check", "--stack", STACK, "--json")
    findings = json.loads(done.stdout)["findings"]
    found = {f["check"]: f for f in findings if f["group"].startswith("AWS")}
    assert found["identity"]["measured"] == ACCOUNT
    assert found["stack"]["level"] == "ok"
    assert found["job-function"]["measured"] == stack["JobLambdaArn"]
    # The emulator drops DurableConfig; on AWS that stack could not play a long rollout.
    assert "is no durable function" in found["worker"]["what"]
    assert done.returncode == 1


def resource(aws, logical_id):
    found = client(aws, "cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId=logical_id
    )
    return found["StackResourceDetail"]["PhysicalResourceId"]


def test_the_closers_queue_stands_between_the_rule_and_the_closer(aws, stack):
    sqs, events, lambdas = (client(aws, name) for name in ("sqs", "events", "lambda"))
    queue = sqs.get_queue_attributes(QueueUrl=resource(aws, "EndedQueue"), AttributeNames=["All"])[
        "Attributes"
    ]
    rule = resource(aws, "EndedRule").rsplit("/", maxsplit=1)[-1]
    (target,) = events.list_targets_by_rule(Rule=rule)["Targets"]
    assert target["Arn"] == queue["QueueArn"]
    closer = lambdas.get_function_configuration(FunctionName=resource(aws, "CloserFunction"))
    (mapping,) = lambdas.list_event_source_mappings(EventSourceArn=queue["QueueArn"])[
        "EventSourceMappings"
    ]
    assert (mapping["FunctionArn"], mapping["BatchSize"]) == (closer["FunctionArn"], 1)
    # What the closer does not manage comes again, for as long as a queue can keep it: no other queue takes it.
    assert int(queue["VisibilityTimeout"]) >= 6 * closer["Timeout"]
    assert int(queue["MessageRetentionPeriod"]) == 14 * 86_400
    assert "RedrivePolicy" not in queue


ALIASED = ("ApiFunction", "JobFunction", "WorkerFunction")


def live(aws):
    """For each function with an alias: the version it points to, and a setting of that version."""
    lambdas = client(aws, "lambda")
    found = {}
    for name in ALIASED:
        function = resource(aws, name)
        version = lambdas.get_alias(FunctionName=function, Name="live")["FunctionVersion"]
        of = lambdas.get_function_configuration(FunctionName=function, Qualifier=version)
        found[name] = (int(version), of["Environment"]["Variables"]["ROLLOUT_MAX_TURNS"])
    return found


def deploy_again(clone, aws):
    command = [str(SAM / "bin/sam"), "deploy"]
    done = subprocess.run(
        command, cwd=clone, env={**os.environ, **aws}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


# Last: it deploys anew.
def test_a_second_sam_deploy_with_one_parameter_changed_moves_every_alias(aws, base, clone):
    before = live(aws)
    assert {turns for _, turns in before.values()} == {"50"}
    # As a user does it: one value changed in what guided saved.
    saved = clone / "samconfig.toml"
    saved.write_text(saved.read_text().replace('MaxTurns=\\"50\\"', 'MaxTurns=\\"40\\"'))
    # CloudFormation expands the template with the values that are given, the emulator with the defaults.
    built = clone / ".aws-sam/build/template.yaml"
    template = json.loads(built.read_text())
    template["Parameters"]["MaxTurns"]["Default"] = "40"
    built.write_text(json.dumps(template))
    deploy_again(clone, aws)
    after = live(aws)
    assert {turns for _, turns in after.values()} == {"40"}
    assert all(after[name][0] > before[name][0] for name in ALIASED)
    assert signed("GET", f"{base}/health").json() == {"status": "healthy"}
    # And a deployment that changes nothing moves none.
    deploy_again(clone, aws)
    assert live(aws) == after
