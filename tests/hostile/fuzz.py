"""Coverage-guided fuzzing of what reads hostile bytes: ``python -m tests.hostile.fuzz -runs=100000``.

The first byte chooses the target; the rest is its input. An exception that is not a RolloutError ends
the run with the input that caused it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rollout"]):
    from rollout import trust
    from rollout.contract import RolloutMetadata, parse_rollout, read_body
    from rollout.errors import RolloutError
    from rollout.reply import read_reply
    from rollout.results import Rollout
    from rollout.service.job_event import job_request
    from rollout.text_tool_calls import text_calls
    from rollout.tools import as_tool

from tests.building import ACCOUNT, JOB_ARN, make_settings
from tests.hostile import corpus
from tests.hostile.agents_of_tests import evaluate
from tests.hostile.corpus import CANARY
from tests.hostile.endpoints import crafted

_SETTINGS = make_settings()
_TOOL = as_tool(evaluate)


def _request(data: bytes) -> None:
    request = parse_rollout(read_body(data.decode("utf-8", "replace"), False, 5_000_000))
    Rollout.of(request, trust.check(request, _SETTINGS))


def _encoded(data: bytes) -> None:
    parse_rollout(read_body(data.decode("latin-1"), True, 5_000_000))


def _endpoint(data: bytes) -> None:
    url = data.decode("utf-8", "replace")
    metadata = RolloutMetadata(job_arn=JOB_ARN, trajectory_id="t", endpoint=url, region="us-west-2")
    where = trust.check_metadata(metadata, _SETTINGS)
    assert where.endpoint == trust.job_runtime_endpoint("us-west-2"), url


def _arn(data: bytes) -> None:
    arn = data.decode("utf-8", "replace")
    metadata = RolloutMetadata(job_arn=arn, trajectory_id=arn, endpoint="", region="us-west-2")
    trust.check_metadata(metadata, _SETTINGS)
    assert ACCOUNT in arn


def _job(data: bytes) -> None:
    job_request({"body": data.decode("utf-8", "replace")}, _SETTINGS)


def _reply(data: bytes) -> None:
    reply = read_reply(data)
    assert isinstance(reply.text, str)
    assert all(isinstance(call.arguments, str) for call in reply.tool_calls)


def _text(data: bytes) -> None:
    text_calls(data.decode("utf-8", "surrogateescape"), ["evaluate", "x"])


def _arguments(data: bytes) -> None:
    assert isinstance(_TOOL.run(data.decode("utf-8", "surrogateescape")).content, str)


TARGETS = (_request, _encoded, _endpoint, _arn, _job, _reply, _text, _arguments)


def one(data: bytes) -> None:
    """One input through the target it names."""
    if data:
        with suppress(RolloutError):
            TARGETS[data[0] % len(TARGETS)](data[1:])


def seeds(folder: Path) -> None:
    """Write the small ones of the corpus as what the fuzzer starts from, for each target they fit."""
    texts = [
        f'evaluate(expression="{CANARY}")',
        '<tool_call>{"name": "x", "arguments": {}}</tool_call>',
    ]
    fitting = {
        (_request, _encoded, _job): [make() for _, make in corpus.BODIES.values()],
        (_job,): [json.dumps(event).encode() for event in corpus.JOBS],
        (_reply,): list(corpus.REPLIES.values()),
        (_endpoint,): [url.encode("utf-8", "replace") for url in list(crafted())[::200]],
        (_arn,): [JOB_ARN.encode()],
        (_text, _arguments): [
            text.encode() for text in [*texts, '{"expression": "1", "times": 1e9}']
        ],
    }
    for targets, inputs in fitting.items():
        for target in targets:
            for number, data in enumerate(data for data in inputs if len(data) < 1_000):
                name = f"{target.__name__}{number}"
                (folder / name).write_bytes(bytes([TARGETS.index(target)]) + data)


def main() -> None:
    """Fuzz until libFuzzer's options say it is enough."""
    # Stays behind: libFuzzer ends the process itself, and what it found new is in here.
    folder = tempfile.mkdtemp(prefix="fuzz-")
    seeds(Path(folder))
    atheris.Setup([*sys.argv, folder], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
