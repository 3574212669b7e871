"""What the runtimes of a policy answer, over real sockets: repeated, scored or failed as it should be."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devkit.emulator.server import Server
from rollout.aws import clients
from rollout.aws.job_runtime import HostedPolicy, JobRuntimePolicy
from rollout.errors import BudgetSpent, ContextFull, DeadlineError, SampleFailed
from rollout.judgement import names_context
from tests.building import JOB_ARN, REGION, completion
from tests.running import ask, played

FULL = [
    "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
    "'max_tokens' or 'max_completion_tokens' is too large: 500. This model's maximum context length is 4096",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "the request exceeds the available context size (4096 tokens), try increasing it",
    "Input is too long for requested model.",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "The prompt is too long: 5000, model maximum context length: 4096",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000; input length exceeds",
    "Please reduce the length of the messages or completion.",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Requested token count exceeds the model's maximum context length of 4096 tokens.",
]


@pytest.fixture
def runtime(monkeypatch):
    """A server that gives its answers in order, then completions."""

    known = SimpleNamespace(answers=[], asked=0, url="")

    async def answer(request):
        known.asked += 1
        await request.body()
        if known.answers:
            status, headers, body = known.answers.pop(0)
            text = body if isinstance(body, str) else json.dumps(body)
            return Response(text, status, headers, media_type="application/json")
        return JSONResponse(completion("2"))

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    routes = [
        Route("/sample", answer, methods=["POST"]),
        Route("/endpoints/{name}/invocations", answer, methods=["POST"]),
    ]
    with Server(Starlette(routes=routes)) as server:
        known.url = server.url
        yield known
    clients.forget()


def hosted(runtime):
    client = clients.client("sagemaker-runtime", REGION, runtime.url, read_timeout=5, attempts=1)
    return HostedPolicy(client, "base")


def job(runtime):
    client = clients.client("sagemakerjobruntime", REGION, runtime.url, read_timeout=5, attempts=1)
    return JobRuntimePolicy(client, JOB_ARN, "t-1")


def error(status, code, message="", **more):
    return status, {"x-amzn-ErrorType": code}, {"message": message, **more}


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "ThrottlingException", "Rate exceeded"),
        error(429, "TooManyRequestsException"),
        error(500, "InternalFailure"),
        error(503, "ServiceUnavailable"),
        error(530, "InternalDependencyException"),
        (502, {}, "<html>Bad Gateway</html>"),
        error(424, "ModelError", "", OriginalStatusCode=503, OriginalMessage="loading"),
        error(424, "ModelError", "", OriginalStatusCode=429, OriginalMessage="busy"),
    ],
    ids=lambda a: f"{a[0]} {a[1].get('x-amzn-ErrorType', '')}",
)
def test_a_hosted_endpoint_is_asked_again_until_the_deadline(runtime, answer):
    runtime.answers = [answer]
    assert b"choices" in hosted(runtime).sample(b"{}", time.time() + 20)
    assert runtime.asked == 2
    runtime.answers = [answer] * 9
    began = time.monotonic()
    with pytest.raises(SampleFailed) as caught:
        hosted(runtime).sample(b"{}", time.time() + 0.3)
    assert caught.value.captured == "no"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "ValidationError", "wrong"),
        error(403, "AccessDeniedException"),
        error(424, "ModelError", "", OriginalStatusCode=400, OriginalMessage="unknown field"),
    ],
    ids=lambda a: str(a[0]),
)
def test_what_will_be_refused_again_is_not_repeated(runtime, answer):
    runtime.answers = [answer]
    with pytest.raises(SampleFailed):
        hosted(runtime).sample(b"{}", time.time() + 20)
    assert runtime.asked == 1


@pytest.mark.parametrize(
    "answer",
    [error(500, "InternalServiceException"), (502, {}, "<html>"), error(503, "ServiceUnavailable")],
    ids=lambda a: str(a[0]),
)
def test_a_job_is_not_asked_again_where_the_turn_may_be_captured(runtime, answer):
    runtime.answers = [answer]
    with pytest.raises(SampleFailed) as caught:
        job(runtime).sample(b"{}", time.time() + 20)
    assert (caught.value.captured, runtime.asked) == ("unknown", 1)


@pytest.mark.parametrize("said", FULL)
def test_a_full_context_is_known_by_what_servers_say(said):
    assert names_context(400, said)


@pytest.mark.parametrize(
    "said",
    [
        "messages: field required",
        "temperature must be below 2",
        "unknown model",
        "Rate exceeded",
        "",
    ],
)
def test_another_refusal_is_no_full_context(said):
    assert not names_context(400, said)
    assert not names_context(500, FULL[0])


@pytest.mark.parametrize("policy", [hosted, job])
def test_what_was_reached_before_the_context_was_full_is_scored(runtime, policy):
    full = (
        error(424, "ModelError", "", OriginalStatusCode=400, OriginalMessage=FULL[0])
        if policy is hosted
        else error(400, "ValidationException", FULL[0])
    )

    def function(episode):
        reached = 0
        try:
            while True:
                ask(episode)
                reached += 1
                runtime.answers = [full]
        except BudgetSpent:
            return reached / 4

    result, _, _ = played(function, policy=policy(runtime))
    assert (result.rewards, result.turns, result.possibly_captured) == ([0.25], 1, 0)

    def careless(episode):
        runtime.answers = [full]
        return ask(episode)

    result, _, _ = played(careless, policy=policy(runtime))
    assert result.failure.boundary == "deadline"
    assert result.untouched
    assert issubclass(ContextFull, DeadlineError)
