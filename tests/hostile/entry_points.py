"""The real handlers in this process, what may come out of them, and the log they write."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from devkit.emulator.gateway import LambdaContext, environment_of, proxy_event
from devkit.emulator.stack import HANDLERS
from rollout.aws import clients
from rollout.settings import settings
from tests.building import ACCOUNT, REGION, ROOT
from tests.hostile.corpus import INSTANCE
from tests.hostile.fake_aws import FakeAws

# Seconds of processor time a case may take: what hangs takes minutes.
LONGEST = 30.0
STATUSES = {200, 202, 400, 403, 404, 405, 409, 413, 422}


def _sample(name: str) -> dict[str, Any]:
    row = json.loads((ROOT / f"environments/{name}/dataset.jsonl").read_text().splitlines()[0])
    return json.loads(row["prompt"])


# The agents played, each with an instance it takes.
AGENTS: dict[str, dict[str, Any]] = {
    "environments.calculator:calculator": INSTANCE,
    "environments.sql:sql": _sample("sql"),
    "environments.wordle:wordle": _sample("wordle"),
    "environments.support_desk:support_desk": _sample("support_desk"),
    "tests.hostile.agents_of_tests:recovering": INSTANCE,
}


class EntryPoints:
    """The API's and the job's handler over clients that reach no network.

    ``policy`` is what every Sample is answered. Budgets are small, so that a reply that calls tools
    for ever costs a case milliseconds.
    """

    def __init__(self) -> None:
        os.environ.update(
            {
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_EC2_METADATA_DISABLED": "true",
                "ROLLOUT_TABLE": "rollouts",
                "ROLLOUT_BUCKET": "trajectories",
                "ROLLOUT_ACCOUNT_ID": ACCOUNT,
                "ROLLOUT_WORKER": "worker",
                "ROLLOUT_MAX_TURNS": "4",
                "ROLLOUT_MAX_TOOL_CALLS": "20",
            }
        )
        self.aws = FakeAws()
        self.aws.install()
        clients.forget()
        self.agent("environments.calculator:calculator")
        self._api = environment_of(HANDLERS / "api.py")()
        self._job = environment_of(HANDLERS / "job.py")()

    def agent(self, name: str) -> dict[str, Any]:
        """Play this agent from now on; returns an instance for it."""
        os.environ["ROLLOUT_AGENT"] = name
        settings.cache_clear()
        return AGENTS[name]

    def api(self, event: Any) -> tuple[str | None, float]:
        """Invoke the API's handler; returns what is wrong with its answer, and its processor time."""
        return self._invoke(self._api, event, _wrong_answer)

    def job(self, event: Any) -> tuple[str | None, float]:
        """Invoke the job's handler; returns the same."""
        return self._invoke(self._job, event, _wrong_document)

    def post(self, body: bytes) -> tuple[str | None, float]:
        """``POST /rollout`` with a body, as API Gateway passes it on."""
        return self.api(
            proxy_event(
                "POST", "/rollout", body=body, headers=[("Content-Type", "application/json")]
            )
        )

    def _invoke(self, handler: Any, event: Any, judge: Any) -> tuple[str | None, float]:
        self.aws.rows.clear()
        began = time.process_time()
        try:
            self.answer = handler(event, LambdaContext())
            wrong = judge(self.answer)
        except Exception as error:  # noqa: BLE001 - the finding looked for
            frame = error.__traceback__
            while frame and frame.tb_next:
                frame = frame.tb_next
            place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""
            wrong = f"unhandled {type(error).__name__} at {place}"
        seconds = time.process_time() - began
        if wrong is None and seconds > LONGEST:
            wrong = f"took {seconds:.0f} s"
        return wrong, seconds


def _wrong_answer(answer: Any) -> str | None:
    """What is wrong with an answer to API Gateway; None if nothing."""
    status, body = answer["statusCode"], answer["body"]
    if status not in STATUSES:
        return f"answered {status} {json.loads(body).get('type')}"
    size = len(json.dumps(answer))
    if size > 6_000_000:  # Lambda's limit for a response
        return f"an answer of {size} bytes"
    if any(
        "\n" in str(value) or "\r" in str(value) for value in answer["multiValueHeaders"].values()
    ):
        return "a header with a line break"
    document = json.loads(body, parse_constant=_no_constant)
    if status >= 400 and not document["type"].startswith("urn:rollout:problem:"):
        return "an error that is no problem document"
    return None


def _wrong_document(answer: Any) -> str | None:
    """What is wrong with an answer to a job."""
    if answer == {}:
        return None
    if set(answer) != {"errorType", "errorMessage"}:
        return "not a job's answer"
    json.dumps(answer, ensure_ascii=False).encode()
    return "InternalServerError" if answer["errorType"] == "InternalServerError" else None


def _no_constant(name: str) -> Any:
    raise ValueError(f"the answer holds {name}")
