"""What an agent reaches: its variables and its secrets, as docs/environments/around.md shows."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from devkit.emulator.server import Server, free_port
from devkit.emulator.stack import JOB_ARN, EmulatedStack
from rollout.aws import clients, secrets_manager
from rollout.aws.secrets_manager import secret
from rollout.errors import ToolBroken
from rollout.telemetry import logs
from rollout.testing import calls
from tests.building import REGION, ROOT

KEY = "sk-canary-of-the-shop"
INSTANCE = {"question": "Where is order 7?", "answer": "shipped"}


@pytest.fixture(scope="module")
def manager():
    """Secrets Manager, by moto's server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def secrets(manager, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", manager)
    client = boto3.client("secretsmanager", region_name=REGION)
    made = []

    def make(**value):
        made.append(client.create_secret(Name=f"shop-{len(made)}", **value)["ARN"])
        return made[-1]

    make.client = client
    yield make
    for arn in made:
        client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    clients.forget()
    secrets_manager.forget()


@pytest.fixture
def shop():
    """An HTTP API that takes one key."""
    asked = []

    async def order(request):
        asked.append(request.headers["authorization"])
        if asked[-1] != f"Bearer {KEY}":
            return JSONResponse({}, 401)
        known = {"7": "shipped"}.get(request.path_params["number"])
        return JSONResponse({"state": known}, 200 if known else 404)

    with Server(Starlette(routes=[Route("/orders/{number}", order)])) as server:
        server.asked = asked
        yield server


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """The page's agent that asks an HTTP API, as a module."""
    text = (ROOT / "docs/environments/around.md").read_text()
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    (code,) = [block for block in blocks if "def delivery(" in block]
    code = textwrap.dedent(code).partition("\nrollout deploy")[0]
    (tmp_path / "page_around.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    # Whatever the stack sets in this process goes again with the test.
    for name in ("SHOP_URL", "SHOP_SECRET", "SHOP_KEY"):
        monkeypatch.setenv(name, "")
    yield "page_around:delivery"
    sys.modules.pop("page_around", None)


def looks_up(number):
    def policy(asked):
        last = asked.messages[-1]
        if last["role"] != "tool":
            return calls("order_state", {"number": number})
        return {"content": f"It says: {last['content']}"}

    return policy


def played(stack, trajectory_id):
    body = stack.request(trajectory_id, INSTANCE)
    return httpx.post(f"{stack.url}/rollout", json=body, timeout=60)


def test_an_agent_asks_an_api_with_a_key_that_is_read_once_and_written_nowhere(
    secrets, shop, agent, caplog, monkeypatch
):
    lines = io.StringIO()
    monkeypatch.setattr(logs.logger().handlers[0], "stream", lines)
    caplog.set_level(logging.INFO, logger=logs.logger().name)
    caplog.set_level(logging.INFO)  # the lowest LogLevel: below it botocore logs what it reads
    arn = secrets(SecretString=KEY + "\n")
    environ = {"ROLLOUT_AGENT_VARIABLES": f"SHOP_URL={shop.url}, SHOP_SECRET={arn}"}
    with EmulatedStack(looks_up(7), agent=agent, environ=environ) as stack:
        first = played(stack, "t-1")
        assert first.json()["reward"] == 1.0, first.text
        secrets.client.put_secret_value(SecretId=arn, SecretString="sk-rotated")
        again = played(stack, "t-2")
        assert again.json()["reward"] == 1.0, again.text
        kept = json.dumps([stack.stored(JOB_ARN, name) for name in ("t-1", "t-2")])
        secrets_manager.forget()
        refused = played(stack, "t-3").json()
    assert shop.asked[:2] == [f"Bearer {KEY}"] * 2
    assert set(shop.asked[2:]) == {"Bearer sk-rotated"}
    assert (refused["status"], refused["error"]["boundary"]) == ("failed", "tool")
    assert "shipped" in kept
    assert "rollout ended" in lines.getvalue()
    said = f"{kept} {first.text} {again.text} {refused} {caplog.text} {lines.getvalue()}"
    assert not re.search("sk-(canary|rotated)", said)


def test_a_secret_that_cannot_be_read_is_no_reward(secrets, shop, agent):
    gone = secrets(SecretString=KEY)
    secrets.client.delete_secret(SecretId=gone, ForceDeleteWithoutRecovery=True)
    environ = {"ROLLOUT_AGENT_VARIABLES": f"SHOP_URL={shop.url},SHOP_SECRET={gone}"}
    with EmulatedStack(looks_up(7), agent=agent, environ=environ) as stack:
        answer = played(stack, "t-1").json()
    assert (answer["status"], answer["error"]["boundary"]) == ("failed", "tool")
    assert "AgentSecretArns" in answer["error"]["detail"]
    assert shop.asked == []


def test_a_secret_is_read_by_arn_or_name_as_text_or_by_key(secrets):
    arn = secrets(SecretString='{"username": "reader", "port": 5432, "tls": true, "more": {}}')
    assert secret(arn, "username") == secret(arn.rsplit(":", 1)[-1][:-7], "username") == "reader"
    assert secret(arn, "port") == "5432"
    assert json.loads(secret(arn))["port"] == 5432
    for key in ("password", "tls", "more"):
        with pytest.raises(ToolBroken, match=key):
            secret(arn, key)


@pytest.mark.parametrize(
    "value",
    [{"SecretBinary": b"sk-canary"}, {"SecretString": "sk-canary"}, {"SecretString": "[1]"}],
)
def test_what_has_no_key_is_refused_without_its_value(secrets, value):
    with pytest.raises(ToolBroken) as refused:
        secret(secrets(**value), "key")
    assert "canary" not in f"{refused.value.detail} {refused.value.__cause__}"
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_who_takes_a_value_for_a_name_does_not_find_it_in_the_error(secrets):
    with pytest.raises(ToolBroken) as refused:
        secret("sk-canary-instead-of-a-name")
    assert "canary" not in refused.value.detail
    assert "ResourceNotFoundException" in refused.value.detail


def test_a_service_that_is_out_is_an_outage(secrets, monkeypatch):
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
    with pytest.raises(ToolBroken):
        secret("shop")


def test_many_rollouts_of_one_process_read_a_secret_once(secrets, monkeypatch):
    arn = secrets(SecretString=KEY)
    read, client = [], clients.client("secretsmanager", REGION, read_timeout=5)
    asked, together = client.get_secret_value, threading.Barrier(16, timeout=30)

    def counted(**options):
        read.append(options)
        return asked(**options)

    monkeypatch.setattr(client, "get_secret_value", counted)

    def one(_):
        together.wait()
        return secret(arn)

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(one, range(16))) == {KEY}
    assert len(read) == 1
