"""Who is at fault: by type, by what an exception was raised from, by the status it carries."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sqlite3
import ssl
import subprocess
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import pytest

from rollout.awaiting import awaited, awaiting
from rollout.errors import OutOfTime, StepRaised, ToolBroken, ToolRefused
from rollout.judgement import judge
from rollout.tools import as_tool, policy_code, tool
from tests.building import ScriptedPolicy, completion, make_episode, tool_call
from tests.running import ask, played


def raised_from(outer, inner):
    """As an exception is that was raised while another was handled."""
    outer.__context__ = inner
    return outer


def suppressed(outer, inner):
    """As ``raise outer from None`` leaves it."""
    outer.__context__, outer.__suppress_context__ = inner, True
    return outer


def made(module, name, *bases, **attributes):
    """A class as a package that is not installed here has it."""
    return type(name, bases or (Exception,), {"__module__": module, **attributes})


class Answered:
    def __init__(self, status):
        self.status_code = status


def http(status):
    return made("anyclient.errors", "HTTPStatusError", response=Answered(status))()


def aws(code, status=400):
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return made("botocore.exceptions", "ClientError", response=answer)()


def rpc(name):
    code = type("StatusCode", (), {"name": name})()
    base = made("grpc", "RpcError")
    return made("grpc._channel", "_InactiveRpcError", base, code=lambda self: code)()


def postgres(state):
    base = made("psycopg", "OperationalError")
    return made("psycopg.errors", "Anything", base, sqlstate=state)()


def locked():
    first = sqlite3.connect("file:judged?mode=memory&cache=shared", uri=True, isolation_level=None)
    second = sqlite3.connect("file:judged?mode=memory&cache=shared", uri=True, timeout=0)
    first.execute("CREATE TABLE IF NOT EXISTS t (a)")
    first.execute("BEGIN EXCLUSIVE")
    try:
        second.execute("SELECT * FROM t")
    except sqlite3.Error as error:
        return error
    finally:
        first.close()
        second.close()
    raise AssertionError


def wrong_sql():
    with pytest.raises(sqlite3.Error) as caught, sqlite3.connect(":memory:") as database:
        database.execute("SELEC 1")
    database.close()
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLError("handshake failed"),
        OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH)),
        OSError(errno.EHOSTUNREACH, ""),
        urllib.error.URLError(ConnectionRefusedError()),
        urllib.error.URLError(socket.gaierror(-2, "")),
        urllib.error.HTTPError("http://x", 503, "", {}, None),
        raised_from(ValueError("cannot fetch"), ConnectionResetError()),
        raised_from(RuntimeError(), raised_from(KeyError(), socket.gaierror())),
        ExceptionGroup("tasks", [ValueError(), ConnectionError()]),
        http(503),
        http(429),
        made("openai", "APIStatusError", status_code=500)(),
        made("aiohttp.client_exceptions", "ClientResponseError", status=502)(),
        made("google.api_core.exceptions", "ServiceUnavailable", code=503)(),
        aws("ThrottlingException"),
        aws("Anything", 500),
        aws("ExpiredToken", 403),
        made("botocore.exceptions", "EndpointConnectionError")(),
        made("botocore.exceptions", "NoCredentialsError")(),
        rpc("UNAVAILABLE"),
        rpc("DEADLINE_EXCEEDED"),
        postgres("08006"),
        postgres("57P01"),
        postgres("40001"),
        made("psycopg", "OperationalError")("connection refused"),
        made("pymysql.err", "OperationalError", made("pymysql.err", "Error"))(2003, "no"),
        made("redis.exceptions", "ConnectionError")(),
        made("pymongo.errors", "ServerSelectionTimeoutError")(),
        locked(),
        ToolBroken("it is down"),
    ],
    ids=lambda e: f"{type(e).__module__}.{type(e).__name__}",
)
def test_an_outage_is_known(error):
    assert judge(error)[0] == "outage"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such city"),
        FileNotFoundError(errno.ENOENT, "no such file"),
        PermissionError(errno.EACCES, "denied"),
        subprocess.TimeoutExpired("python", 5),
        RecursionError(),
        MemoryError(),
        urllib.error.URLError("unknown url type: xyz"),
        urllib.error.HTTPError("http://x", 404, "", {}, None),
        http(404),
        http(401),
        raised_from(http(404), ConnectionError()),
        suppressed(ValueError("the shop is closed"), ConnectionError()),
        aws("NoSuchKey", 404),
        aws("AccessDenied", 403),
        rpc("NOT_FOUND"),
        rpc("INVALID_ARGUMENT"),
        postgres("57014"),
        postgres("42601"),
        made("pymysql.err", "OperationalError", made("pymysql.err", "Error"))(1054, "no column"),
        wrong_sql(),
        raised_from(ToolRefused("you may not"), ConnectionError()),
        made("mine", "Oops", status="503")(),
    ],
    ids=lambda e: f"{type(e).__module__}.{type(e).__name__}",
)
def test_a_refusal_is_no_outage(error):
    assert judge(error)[0] == "refusal"


class WarehouseDown(Exception):
    pass


class Nested(WarehouseDown):
    pass


def test_the_author_says_what_a_type_of_theirs_means():
    @tool(outage=WarehouseDown, refusal=(TimeoutError, ConnectionError))
    def query(sql: str) -> str:
        raise {"down": Nested, "slow": TimeoutError, "cut": BrokenPipeError}[sql]

    described = as_tool(query)
    with pytest.raises(ToolBroken, match="'query' failed with Nested"):
        described.run('{"sql": "down"}')
    assert described.run('{"sql": "slow"}').content == "Error: TimeoutError"
    assert described.run('{"sql": "cut"}').failed
    assert query.__name__ == "query"

    class Shop:
        @tool(outage=WarehouseDown)
        def buy(self) -> str:
            raise WarehouseDown

    with pytest.raises(ToolBroken):
        as_tool(Shop().buy).run("{}")


def endless():
    """Run code that never ends."""
    with policy_code(), ThreadPoolExecutor(1) as pool:
        return pool.submit(time.sleep, 0.1).result(timeout=0.01)


@pytest.mark.parametrize(
    ("raises", "said"),
    [
        (SystemExit(1), "SystemExit: 1"),
        (TimeoutError(), "TimeoutError"),
        (ConnectionError("no network in the sandbox"), "ConnectionError: no network"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_code_of_the_policy_is_its_own_doing_however_it_ends(raises, said):
    def run_code():
        with policy_code():
            raise raises

    result = as_tool(run_code).run("{}")
    assert result.failed
    assert said in result.content


def test_a_wait_for_the_policys_code_is_no_outage():
    assert as_tool(endless).run("{}").content.startswith("Error: TimeoutError")


def test_a_refusal_that_an_agent_does_not_catch_is_its_own_and_tells_no_content():
    def function(episode):
        ask(episode)
        with policy_code():
            raise ValueError("secret of the policy")

    result, _, _ = played(function, completion("1"))
    assert result.failure.slug == "tool-refused"
    assert "secret" not in str(result.failure)


STOPS = [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(),
           RecursionError(), MemoryError(), StopIteration(),
           BaseExceptionGroup("g", [SystemExit(), ValueError()])]  # fmt: skip


@pytest.mark.parametrize("error", STOPS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_however_a_tool_ends_it_is_a_refusal(error, asynchronous):
    def leave():
        """Leave."""
        raise error

    async def leave_later():
        """Leave."""
        raise error

    policy = ScriptedPolicy(
        completion(None, tool_calls=[tool_call("leave", {}), tool_call("leave_later", {})]),
        completion("done"),
    )
    function = leave_later if asynchronous else leave
    reply = make_episode(policy).converse("?", tools=[function])
    assert reply.text == "done"
    contents = [m["content"] for m in policy.requests[1]["messages"] if m["role"] == "tool"]
    assert all(content.startswith("Error") for content in contents)


@pytest.mark.parametrize("error", STOPS, ids=lambda e: type(e).__name__)
def test_however_an_agent_ends_it_is_told(error):
    def function(episode):
        ask(episode)
        raise error

    async def later(episode):
        ask(episode)
        raise error

    for agent in (function, later):
        result, _, trainer = played(agent, completion("1"))
        assert result.failure.boundary == "agent"
        assert ("complete", "failed") in trainer.heard


def test_a_signal_of_the_runtime_is_not_held_up_by_a_tool():
    class Suspended(BaseException):
        pass

    def wait():
        """Wait."""
        raise Suspended

    policy = ScriptedPolicy(completion(None, tool_calls=[tool_call("wait", {})]))
    with pytest.raises(Suspended):
        make_episode(policy).converse("?", tools=[wait])
    with pytest.raises(Suspended), policy_code():
        raise Suspended


def test_an_outage_an_agent_meets_is_no_fault_of_its_code():
    def function(episode):
        ask(episode)
        raise raised_from(RuntimeError("secret"), ConnectionRefusedError())

    result, _, _ = played(function, completion("1"))
    assert result.failure.boundary == "tool"
    assert "ConnectionRefusedError" in result.failure.detail
    assert "secret" not in result.failure.detail


def test_an_outage_in_a_step_is_the_services_and_anything_else_the_steps():
    def stepping(error):
        def effect():
            raise error

        return lambda episode: ask(episode) and episode.step("book", effect)

    assert played(stepping(ConnectionError()), completion("1"))[0].failure.boundary == "tool"
    result, _, _ = played(stepping(SystemExit()), completion("1"))
    assert result.failure.slug == StepRaised.slug


# --- async ------------------------------------------------------------------------------------------


class Client:
    """Belongs to the loop it was first used in, as asynchronous HTTP clients do."""

    def __init__(self):
        self.loop = None

    async def fetch(self, name: str) -> dict:
        """Fetch it.

        Args:
            name: of it.
        """
        here = asyncio.get_running_loop()
        assert self.loop in (None, here)
        self.loop = here
        await asyncio.sleep(0)
        return {"name": name}


def converse(client):
    calls = [completion(None, tool_calls=[tool_call("fetch", {"name": str(n)})]) for n in range(3)]
    policy = ScriptedPolicy(*calls, completion("done"))
    return make_episode(policy), policy


def answers(policy):
    return [m["content"] for m in policy.requests[-1]["messages"] if m["role"] == "tool"]


def test_asynchronous_tools_are_awaited_in_one_loop():
    client = Client()
    episode, policy = converse(client)
    assert episode.converse("?", tools=[client.fetch]).text == "done"
    assert answers(policy) == ['{"name": "0"}', '{"name": "1"}', '{"name": "2"}']
    assert client.loop.is_closed()


def test_asynchronous_tools_are_awaited_inside_a_running_loop_too():
    client = Client()
    episode, policy = converse(client)

    async def agent():
        return episode.converse("?", tools=[client.fetch]).text

    assert asyncio.run(agent()) == "done"
    assert len(answers(policy)) == 3
    assert as_tool(Client().fetch).run('{"name": "x"}').content == '{"name": "x"}'


def test_an_await_ends_with_the_rollouts_time():
    with awaiting(lambda: 0.05), pytest.raises(OutOfTime):
        awaited(asyncio.sleep(30))


def test_a_timeout_within_what_is_awaited_is_the_tools():
    async def slow():
        """Wait."""
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    with pytest.raises(ToolBroken):
        as_tool(slow).run("{}")


def test_a_task_that_leaves_does_not_take_the_loop_with_it():
    async def leave():
        raise SystemExit

    async def spawn():
        task = asyncio.ensure_future(leave())
        await asyncio.sleep(0.01)
        return task.done()

    with awaiting(lambda: 5):
        assert awaited(spawn()) is True
        assert awaited(asyncio.sleep(0, "still here")) == "still here"
