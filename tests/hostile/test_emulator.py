"""The corpus under the real Runtime Interface Emulator and awslambdaric: built code, built layers."""

from __future__ import annotations

import json

import httpx
import pytest

from devkit.emulator.gateway import proxy_event
from devkit.emulator.stack import EmulatedStack
from tests.hostile import corpus
from tests.hostile.corpus import CANARY
from tests.hostile.entry_points import _wrong_answer, _wrong_document
from tests.processes import emulator

# What the runtime's own parser refuses before a handler sees it. Lambda validates that an event is JSON;
# a caller with lambda:InvokeFunction gets a function error, the platform's own answer.
UNREADABLE = {
    "digits": b'{"prompt": ' + b"9" * 5_000 + b"}",
    "brackets": b"[" * 100_000 + b"]" * 100_000,
    "not JSON": b"{" + CANARY.encode(),
    "not UTF-8": b'{"prompt": "\xff"}',
}


@pytest.fixture(scope="module")
def stack():
    # No worker: the job's function then answers InternalServerError where it would have started one.
    with EmulatedStack(lambda _: {"content": f"{CANARY} #### 2"}) as running:
        yield running


def invoke(url, event):
    data = event if isinstance(event, bytes) else json.dumps(event).encode()
    return httpx.post(url, content=data, timeout=60)


def test_every_body_and_path_of_the_corpus_under_the_emulator(stack, tmp_path):
    log = tmp_path / "log"
    environ = {
        **stack.environ(),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
    wrong = {}
    with emulator("ApiFunction", "api.handler", environ, log) as url:
        for name, (statuses, make) in corpus.BODIES.items():
            if name in ("4.9 MB", "6 MB", "6 MB of white space", "ARN of another partition"):
                # Beyond what Lambda accepts of an event; the last names a host that is listed here.
                continue
            data = make().replace(
                b"https://job-runtime.sagemaker.us-west-2.api.aws", stack.simulator.url.encode()
            )
            answer = invoke(url, proxy_event("POST", "/rollout", body=data)).json()
            if _wrong_answer(answer) or answer["statusCode"] not in {*statuses, 403, 409}:
                wrong[name] = answer
        for path in corpus.PATHS:
            answer = invoke(url, proxy_event("GET", path)).json()
            if _wrong_answer(answer):
                wrong[path] = answer
    text = log.read_text(errors="replace")
    assert wrong == {}
    assert CANARY not in text
    assert "request refused" in text


def test_every_job_event_of_the_corpus_under_the_emulator(stack, tmp_path):
    log = tmp_path / "log"
    environ = {
        **stack.environ(),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "30",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
    environ |= {"ROLLOUT_WORKER": "worker", "AWS_ENDPOINT_URL_LAMBDA": stack.simulator.url}
    wrong, unreadable = {}, {}
    with emulator("JobFunction", "job.handler", environ, log) as url:
        for number, event in enumerate(corpus.JOBS):
            if len(str(event)) > 1_000_000:
                continue
            answer = invoke(url, event).json()
            # The one thing missing here is the worker's Lambda; everything up to its start is real.
            missing = answer.get("errorMessage", "").startswith("The worker cannot be started")
            # NaN and the like are no JSON; Lambda would not even have taken the event.
            unread = answer.get("errorType") == "Runtime.UnmarshalError"
            if not (missing or unread) and _wrong_document(answer):
                wrong[number] = answer
        for name, data in UNREADABLE.items():
            unreadable[name] = invoke(url, data).text
        again = invoke(url, {}).json()
    text = log.read_text(errors="replace")
    assert wrong == {}
    assert again["errorType"] == "ValidationError"  # the process lives on
    assert all("errorType" in answer for answer in unreadable.values()), unreadable
    assert CANARY not in text
