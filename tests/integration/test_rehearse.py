"""A rehearsal through the real entry points: stopped, gone on with, under faults, on a deployed stack."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from devkit.__main__ import main
from devkit.emulator.gateway import Gateway, environment_of
from devkit.emulator.server import Server
from devkit.emulator.stack import HANDLERS, EmulatedStack
from devkit.places import dataset_of
from devkit.rehearsal.client import RolloutClient
from devkit.rehearsal.play import play, tasks_of
from devkit.rehearsal.run_files import read_manifest, read_rollouts
from devkit.rehearsal.target import LocalJob
from rollout.aws import clients
from scripts.datasets import AGENTS
from tests.building import ROOT, completion

WORDS = str(dataset_of(AGENTS["wordle"]))
WORDLE = "environments.wordle:wordle"


def kept(run):
    return sorted(read_rollouts(run), key=lambda r: r.trajectory_id)


def test_published_problems_are_rehearsed_in_groups(gsm8k, tmp_path, capsys):
    run = tmp_path / "run"
    code = main(
        ["rehearse", str(gsm8k), "--instances", "--sample", "12", "--seed", "3", "--group-size", "4",
         "--policy", "scripted", "--skill", "0.5", "--run", str(run)]
    )  # fmt: skip
    said = capsys.readouterr().out
    known, played = read_manifest(run), kept(run)
    assert (known.rows, known.chosen, known.mode, known.policy) == (
        12,
        "sample",
        "inline",
        "scripted skill=0.5",
    )
    assert len(played) == 48
    assert {len({r.group for r in played}), *{r.http_status for r in played}} == {12, 200}
    for rollout in played:
        assert rollout.sampled == rollout.turns_answered == len(rollout.turns)
        assert rollout.reports == ["CompleteRollout 200", "UpdateReward 200"]
        assert rollout.turns[0].params["max_tokens"] == 4_096
        assert rollout.messages()[-1]["content"].startswith("#### ")
    assert {r.reward for r in played} == {0.0, 1.0}
    assert "12 rows x 4 = 48 rollouts" in said
    assert (run / "report.html").exists()
    assert code in (0, 1)  # the judge's


def test_calls_and_sockets_come_to_the_same(tmp_path):
    def played(name, *more):
        main(
            ["rehearse", WORDS, "--agent", WORDLE, "--limit", "3", "--group-size", "3", "--skill", "0.5",
             "--run", str(tmp_path / name / "run"), *more]
        )  # fmt: skip
        timed = {"seconds", "turns"}
        return [
            (r.model_dump(exclude=timed), [t.model_dump(exclude={"seconds"}) for t in r.turns])
            for r in kept(tmp_path / name / "run")
        ]

    by_calls, over_sockets = played("calls"), played("sockets", "--sockets")
    assert len(by_calls) == 9
    assert by_calls == over_sockets


def test_memory_does_not_keep_what_has_ended(tmp_path):
    def gold(asked):
        return {"content": f"<guess>{asked.instance['word']}</guess>"}

    with EmulatedStack(gold, agent=WORDLE) as stack:
        client = RolloutClient(stack.url, durable=False, wait_seconds=60)
        tasks = tasks_of(((n, {"word": "crane"}) for n in range(5)), 2, name="m")
        played = list(play(LocalJob(stack, client), tasks, concurrency=4))
        client.close()
        assert [r.reward for r in played] == [1.0] * 10
        assert stack.simulator.known() == set()
        dynamodb, s3 = clients.client("dynamodb", "us-west-2"), clients.client("s3", "us-west-2")
        rows = dynamodb.scan(TableName=stack.table)["Items"]
        assert [row["pk"]["S"] for row in rows] == ["jobs"]
        assert s3.list_objects_v2(Bucket=stack.bucket)["KeyCount"] == 0


def start(run, *more):
    command = [
        sys.executable, "-m", "devkit", "rehearse", WORDS, "--agent", WORDLE, "--group-size", "4",
        "--policy", "scripted:slow", "--run", str(run), "--concurrency", "4", *more,
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_run_that_was_stopped_goes_on_where_it_stopped(tmp_path):
    run = tmp_path / "run"
    first = start(run)
    until = time.monotonic() + 60
    while not (run / "rollouts.jsonl").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGINT)
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 130, said
    assert f"To go on: the same command with --run {run}" in said
    before = kept(run)
    assert 0 < len(before) < 96
    with (run / "rollouts.jsonl").open("a") as file:
        file.write('{"schema": 1, "traject')  # as a crash would leave it
    second = start(run)
    said, _ = second.communicate(timeout=120)
    assert second.returncode in (0, 1), said
    assert f"{len(before)} ended before" in said
    after = kept(run)
    assert len(after) == len({r.trajectory_id for r in after}) == 96
    assert [r for r in after if r in before] == before


@pytest.mark.parametrize("faults", ["throttling", "timeouts", "outage", "killed-worker"])
def test_faults_are_survived(faults, tmp_path, capsys):
    run = tmp_path / "run"
    main(
        ["rehearse", str(dataset_of(AGENTS["calculator"])), "--limit", "4", "--group-size", "3",
         "--policy", "scripted:gold", "--faults", faults, "--run", str(run)]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert re.search(r"^12 rollouts ended: ", said, re.MULTILINE), said
    for figure in ("turns captured twice", "rollouts unreported", "reports in conflict"):
        assert re.search(rf"^{figure} +0 *$", said, re.MULTILINE), said
    assert read_manifest(run).mode == ("durable" if faults == "killed-worker" else "inline")
    if faults in ("throttling", "outage"):
        assert [r.reward for r in kept(run)] == [1.0] * 12


def test_a_script_of_faults_is_read_as_it_is(tmp_path):
    run = tmp_path / "run"
    main(
        ["rehearse", WORDS, "--agent", WORDLE, "--limit", "1", "--group-size", "2", "--run", str(run),
         "--faults", "Sample@1:status=500"]
    )  # fmt: skip
    assert [r.error["type"] for r in kept(run)] == ["urn:rollout:problem:sample-failed"] * 2


# --- probes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_our_environments_withstand_every_probe(name, capsys):
    data = str(dataset_of(AGENTS[name]))
    code = main(
        ["probe", data, "--agent", AGENTS[name], "--limit", "2", "--max-turns", "12", "--json"]
    )
    found = json.loads(capsys.readouterr().out)
    assert code == 0, found
    assert found["withstood"]
    assert len(found["probes"]) == 9
    for probe in found["probes"]:
        assert probe["verdict"] == "withstood", probe
        assert probe["gold"] == 1.0
        assert probe["max_reward"] < 0.5


GULLIBLE = '''
from rollout import Episode, agent


@agent
def gullible(episode: Episode) -> float:
    """Believes whoever says that it was right, and stumbles over silence."""
    text = episode.sample([{"role": "user", "content": "Well?"}]).text
    assert text, "nobody says nothing"
    return float("correct" in text)


def gold(instance, messages):
    return {"content": "It is correct."}
'''


def test_a_reward_that_can_be_broken_is_shouted(tmp_path, monkeypatch, capsys):
    (tmp_path / "gullible.py").write_text(GULLIBLE)
    (tmp_path / "rows.jsonl").write_text("{}\n{}\n")
    monkeypatch.syspath_prepend(tmp_path)
    call = ["probe", str(tmp_path / "rows.jsonl"), "--instances", "--agent", "gullible:gullible"]
    assert main(call) == 1
    shouted, _, table = capsys.readouterr().out.partition("┏")
    assert "INJECTION REACHES GOLD on 2 of 2 rows" in shouted
    assert "SILENCE crashes" in shouted
    assert "8 x AssertionError: nobody says nothing (gullible.py:9)" in shouted
    assert "earns gold's reward on rows 0, 1" in shouted
    assert "withstood" in table
    assert main([*call, "--allow", "injection", "--json"]) == 1  # it still crashes
    by_name = {p["probe"]: p for p in json.loads(capsys.readouterr().out)["probes"]}
    assert (by_name["injection"]["bad"], by_name["silence"]["crashed"]) == (False, True)


def test_an_agent_without_gold_is_told_to_write_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "goldless.py").write_text(GULLIBLE.partition("def gold")[0])
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["probe", WORDS, "--agent", "goldless:gullible"]) == 2
    assert "has no function 'gold'" in capsys.readouterr().out


# --- a deployed stack -------------------------------------------------------------------------------


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """The stack behind a gateway that checks signatures, with a hosted endpoint to sample from."""
    seen = {"refused": 0, "busy": 2}

    async def invoke(request):
        body = await request.json()
        assert body["model"] == "m1"
        return JSONResponse(completion("<guess>crane</guess>"))

    def checked(app):
        async def gate(scope, receive, send):
            headers = {k.decode(): v.decode() for k, v in scope["headers"]}
            if not valid(scope, headers, await body_of(receive, scope)):
                seen["refused"] += 1
                return await JSONResponse({"message": "Forbidden"}, 403)(scope, receive, send)
            if scope["method"] == "POST" and seen["busy"]:
                seen["busy"] -= 1
                late = JSONResponse({"message": "Too Many Requests"}, 429, {"Retry-After": "0"})
                return await late(scope, receive, send)
            return await app(scope, replay(scope["body"]), send)

        return gate

    async def body_of(receive, scope):
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        scope["body"] = body
        return body

    def replay(body):
        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        return receive

    def valid(scope, headers, body):
        """Sign again what arrived, with the headers that say they were signed, and compare."""
        match = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=ME/(\d+)/(\S+?)/execute-api/aws4_request, "
            r"SignedHeaders=(\S+), Signature=(\w+)",
            headers.get("authorization", ""),
        )
        if not match or headers["host"] != f"127.0.0.1:{scope['server'][1]}":
            return False
        url = f"http://{headers['host']}{scope['raw_path'].decode()}"
        url += f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        signed = {k: headers[k] for k in match[3].split(";") if k not in ("host", "x-amz-date")}
        request = AWSRequest(scope["method"], url, data=body, headers=signed)
        request.context["timestamp"] = headers["x-amz-date"]
        signer = SigV4Auth(Credentials("ME", "my-secret"), "execute-api", match[2])
        request.headers["X-Amz-Date"] = headers["x-amz-date"]
        canonical = signer.canonical_request(request)
        return signer.signature(signer.string_to_sign(request, canonical), request) == match[4]

    hosted = Route("/endpoints/{name}/invocations", invoke, methods=["POST"])
    with Server(Starlette(routes=[hosted])) as endpoint:
        environ = {
            "ROLLOUT_ALLOWED_MODEL_ENDPOINTS": "base",
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoint.url,
        }
        with EmulatedStack(lambda _: {}, agent=WORDLE, durable=tmp_path / "d", environ=environ):
            gateway = checked(Gateway(environment_of(HANDLERS / "api.py")))
            with Server(gateway) as server:
                monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
                seen["url"] = server.url
                yield seen
        clients.forget()


def rehearse_there(cloud, run, *more, secret="my-secret"):
    command = [
        sys.executable, "-m", "devkit", "rehearse", WORDS, "--agent", WORDLE, "--limit", "2",
        "--group-size", "2", "--run", str(run), "--url", cloud["url"], "--model", "m1",
        "--region", "us-west-2", *more,
    ]  # fmt: skip
    keys = {"AWS_ACCESS_KEY_ID": "ME", "AWS_SECRET_ACCESS_KEY": secret}
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ROLLOUT_"))}
    return subprocess.run(
        command, cwd=ROOT, env={**environ, **keys}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("mode", ["inline", "durable"])
def test_a_deployed_stack_is_played_with_signed_requests(cloud, tmp_path, mode):
    run = tmp_path / "run"
    done = rehearse_there(cloud, run, "--policy", "endpoint:base", "--mode", mode)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "is healthy" in done.stdout
    played = kept(run)
    assert [r.status for r in played] == ["ready"] * 4, done.stdout
    assert [r.turns_answered for r in played] == [6] * 4
    assert (read_manifest(run).mode, read_manifest(run).url) == ("url", cloud["url"])
    assert (cloud["busy"], cloud["refused"]) == (0, 0)


def test_a_wrong_signature_is_told_before_anything_is_played(cloud, tmp_path):
    run = tmp_path / "run"
    done = rehearse_there(cloud, run, "--policy", "endpoint:base", secret="other")
    assert done.returncode == 2
    assert "refuses the signature or the caller: GET /health answered 403" in done.stdout
    assert kept(run) == []


def test_nothing_is_signed_for_plain_http_on_another_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ME")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "my-secret")
    call = ["rehearse", WORDS, "--agent", WORDLE, "--run", str(tmp_path), "--policy", "endpoint:e"]
    assert main([*call, "--url", "http://192.0.2.1/v1"]) == 2
    assert "only https is signed" in capsys.readouterr().out


def test_a_stack_that_points_elsewhere_is_not_followed():
    def elsewhere(request):
        del request
        return JSONResponse({}, 202, {"Location": "https://example.com/rollouts/x"})

    with Server(Starlette(routes=[Route("/rollout", elsewhere, methods=["POST"])])) as server:
        client = RolloutClient(server.url, durable=True, wait_seconds=5)
        with pytest.raises(Exception, match="points to another host"):
            client.play({})
        client.close()
