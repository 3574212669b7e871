"""Hostile cases by the thousand through the real entry points, in process; exit 1 on any finding.

``python -m tests.hostile.campaign --cases 1000000 --seed 1 --jobs 2``. A case is drawn from the corpus or
mutated from it: bodies, endpoints, paths and headers, job events, replies of the policy. Counted are
answers of 5xx, unhandled exceptions, connections, canaries in the log, seconds and memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devkit.emulator.gateway import proxy_event
from tests.building import make_body
from tests.hostile import corpus
from tests.hostile.corpus import CANARY, INSTANCE
from tests.hostile.endpoints import crafted
from tests.hostile.entry_points import AGENTS, EntryPoints
from tests.hostile.watch import sockets

MEMORY = 3 << 30
# Only these may be asked: the Job Runtime of the region, and the stack's own services.
HOSTS = {
    "job-runtime.sagemaker.us-west-2.api.aws",
    "dynamodb.us-west-2.amazonaws.com",
    "trajectories.s3.us-west-2.amazonaws.com",
    "lambda.us-west-2.amazonaws.com",
}
_TOKENS = [
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\\u0000", b"\\ud800", b"\\u", b"null", b"true", b"NaN", b"-", b"1e999",
    b"9" * 400, b"9" * 4_301, b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"//", b"/*", b"[" * 300, b'{"":' * 300, b"0x", b".", b"data: ",
]  # fmt: skip
_HUGE = 200_000


class Cases:
    """Draws cases; the same seed draws the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._bodies = {name: make() for name, (_, make) in corpus.BODIES.items()}
        self._endpoints = list(crafted())
        self._kinds: dict[str, tuple[int, Callable[[EntryPoints], tuple[str | None, float]]]] = {
            "body": (30, self._body),
            "field": (20, self._field),
            "endpoint": (20, self._endpoint),
            "event": (12, self._event),
            "job": (8, self._job),
            "reply": (10, self._reply),
        }
        self.sent: Any = None

    def play(self, entry_points: EntryPoints) -> tuple[str, str | None, float]:
        """Draw a case and play it: its kind, what is wrong with the answer, and the seconds."""
        weights = [weight for weight, _ in self._kinds.values()]
        (kind,) = self._random.choices(list(self._kinds), weights)
        wrong, seconds = self._kinds[kind][1](entry_points)
        return kind, wrong, seconds

    def _pick(self, choices: Any) -> Any:
        """One of them; a huge one rarely."""
        chosen = self._random.choice(choices)
        if len(repr(chosen)) > _HUGE and self._random.random() > 0.02:
            return self._pick(choices)
        return chosen

    def _body(self, entry_points: EntryPoints) -> tuple[str | None, float]:
        body = self._pick(list(self._bodies.values()))
        self.sent = body = self._mangled(body) if self._random.random() < 0.8 else body
        entry_points.aws.reply = corpus.REPLIES["stream"]
        return entry_points.post(body)

    def _field(self, entry_points: EntryPoints) -> tuple[str | None, float]:
        """A valid request with a wrong value somewhere."""
        document: Any = make_body(dict(INSTANCE)) | {
            "inference_params": {"temperature": 1.0, "max_tokens": 9, "top_p": 1}
        }
        document |= {"model_name": CANARY, "model_endpoint": None}
        for _ in range(self._random.randint(1, 3)):
            place = self._random.choice(corpus._places(document))
            document = corpus._with(document, place, self._value())
            if not isinstance(document, (dict, list)):
                break
        self.sent = document
        entry_points.aws.reply = corpus.REPLIES["stream"]
        return entry_points.post(json.dumps(document).encode())

    def _endpoint(self, entry_points: EntryPoints) -> tuple[str | None, float]:
        url = self._random.choice(self._endpoints)
        if self._random.random() < 0.5:
            url = self._mangled(url.encode("utf-8", "replace")).decode("utf-8", "replace")
        self.sent = url
        return entry_points.post(json.dumps(make_body(INSTANCE, endpoint=url)).encode())

    def _event(self, entry_points: EntryPoints) -> tuple[str | None, float]:
        roll = self._random
        event = proxy_event("POST", "/rollout", body=self._pick(list(self._bodies.values())))
        if roll.random() < 0.6:
            event["httpMethod"] = roll.choice(
                [
                    "GET",
                    "GET",
                    "GET",
                    "POST",
                    "PUT",
                    "DELETE",
                    "HEAD",
                    "OPTIONS",
                    "PATCH",
                    "get",
                    "X",
                ]
            )
            event["path"] = event["requestContext"]["path"] = roll.choice(corpus.PATHS)
        event["queryStringParameters"] = query = roll.choice(corpus.QUERIES)
        event["multiValueQueryStringParameters"] = {
            k: [v, v] for k, v in (query or {}).items()
        } or None
        event["headers"] = headers = roll.choice(corpus.HEADERS)
        event["multiValueHeaders"] = roll.choice(
            [None, {k: [v, v] for k, v in (headers or {}).items()}]
        )
        if roll.random() < 0.3:
            event["isBase64Encoded"] = roll.choice([True, False, None])
        if roll.random() < 0.1:
            event["body"] = roll.choice([None, "", "\ud800", "=" * 100, "\u00e9"])
        self.sent = event
        entry_points.aws.reply = corpus.REPLIES["stream"]
        return entry_points.api(event)

    def _job(self, entry_points: EntryPoints) -> tuple[str | None, float]:
        event = self._pick(corpus.JOBS)
        if self._random.random() < 0.6 and isinstance(event, dict):
            event = corpus._with(event, self._random.choice(corpus._places(event)), self._value())
        self.sent = event
        return entry_points.job(event)

    def _reply(self, entry_points: EntryPoints) -> tuple[str | None, float]:
        reply = self._pick(list(corpus.REPLIES.values()))
        if self._random.random() < 0.6:
            reply = self._mangled(reply)
        instance = entry_points.agent(self._random.choice(list(AGENTS)))
        self.sent = reply
        entry_points.aws.reply = reply
        entry_points.aws.status = self._random.choice([200] * 12 + [204, 307, 400, 403, 500])
        entry_points.aws.headers = {"Location": "https://evil.example/", "x-amzn-errortype": CANARY}
        try:
            return entry_points.post(
                json.dumps(make_body(instance, trajectory_id="reply")).encode()
            )
        finally:
            entry_points.aws.status, entry_points.aws.headers = 200, {}
            entry_points.agent("environments.calculator:calculator")

    def _value(self) -> Any:
        roll = self._random
        if roll.random() < 0.7:
            return roll.choice(corpus.WRONG)
        depth, value = roll.randint(1, 150), roll.choice([CANARY, 1, None])
        for _ in range(depth):
            value = (
                [value]
                if roll.random() < 0.5
                else {roll.choice(["a", "", CANARY, "\ud800"]): value}
            )
        return value

    def _mangled(self, data: bytes) -> bytes:
        roll, data = self._random, bytearray(data)
        for _ in range(roll.randint(1, 4)):
            at = roll.randint(0, len(data))
            end = min(len(data), at + roll.randint(1, 30))
            what = roll.random()
            if what < 0.3:
                data[at:at] = roll.choice(_TOKENS)
            elif what < 0.5:
                del data[at:end]
            elif what < 0.7:
                data[at:at] = data[at:end] * roll.randint(1, 50)
            elif what < 0.8:
                del data[at:]
            elif at < len(data):
                data[at] = roll.randrange(256)
        return bytes(data)


class Log:
    """This process's stdout and stderr in a file that is searched and emptied now and then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines = self.canaries = self.warnings = 0
        sink = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(sink, stream)

    def search(self) -> None:
        """Count lines and canaries, and begin anew."""
        sys.stdout.flush()
        sys.stderr.flush()
        text = self._path.read_bytes()
        self.lines += text.count(b"\n")
        self.canaries += text.count(CANARY.encode())
        self.warnings += text.count(b"Warning") + text.count(b"Traceback")
        os.truncate(self._path, 0)


def work(seed: int, cases: int, until: float, folder: str) -> None:
    """Play cases until they are done or the time is over; writes what came of it as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    log = Log(Path(folder) / f"{seed}.log")
    drawn, entry_points = Cases(seed), EntryPoints()
    kinds: Counter[str] = Counter()
    findings: dict[str, Any] = {}
    statuses: Counter[str] = Counter()
    slowest, found = 0.0, 0
    with sockets() as seen:
        for number in range(cases):
            kind, wrong, seconds = drawn.play(entry_points)
            kinds[kind] += 1
            answer = entry_points.answer
            statuses[str(answer.get("statusCode") or answer.get("errorType") or "{}")] += 1
            slowest = max(slowest, seconds)
            if wrong:
                found += 1
                findings.setdefault(f"{kind}: {wrong}", repr(drawn.sent)[:400])
            if number % 2_000 == 1_999:
                log.search()
                _note_progress(folder, seed, number + 1)
                if time.time() > until:
                    break
    log.search()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result = {
        "cases": sum(kinds.values()), "kinds": dict(kinds), "answers": dict(statuses), "findings": findings,
        "found": found, "connections": sorted(map(str, seen)), "hosts": dict(entry_points.aws.hosts),
        "canaries": log.canaries, "warnings": log.warnings, "log_lines": log.lines,
        "slowest_seconds": round(slowest, 2), "memory_mb": memory,
    }  # fmt: skip
    (Path(folder) / f"{seed}.json").write_text(json.dumps(result))


def _note_progress(folder: str, seed: int, done: int) -> None:
    (Path(folder) / f"{seed}.done").write_text(str(done))


def campaign(
    cases: int, seed: int, jobs: int, minutes: float, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Play a campaign in processes of its own.

    Returns:
        The counts over all processes; ``passed`` says whether nothing was found.
    """
    until = time.time() + minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        spawn = multiprocessing.get_context("spawn")
        workers = [
            spawn.Process(target=work, args=(seed + job, -(-cases // jobs), until, folder))
            for job in range(jobs)
        ]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            workers[0].join(5)
            progress(sum(int(path.read_text() or 0) for path in Path(folder).glob("*.done")))
        results = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    return _summary(results, died=jobs - len(results))


def _summary(results: list[dict[str, Any]], died: int) -> dict[str, Any]:
    def total(name: str) -> int:
        return sum(result[name] for result in results)

    def together(name: str) -> dict[str, int]:
        return dict(sum((Counter(result[name]) for result in results), Counter()))

    summary = {
        "cases": total("cases"),
        "kinds": together("kinds"),
        "answers": together("answers"),
        "found": total("found"),
        "findings": {k: v for result in results for k, v in result["findings"].items()},
        "connections": sorted({place for result in results for place in result["connections"]}),
        "hosts_off_the_list": sorted(set(together("hosts")) - HOSTS),
        "canaries_in_logs": total("canaries"),
        "warnings_in_logs": total("warnings"),
        "log_lines": total("log_lines"),
        "slowest_seconds": max((r["slowest_seconds"] for r in results), default=0),
        "memory_mb": max((r["memory_mb"] for r in results), default=0),
        "workers_died": died,
    }
    wrong = (
        "found",
        "connections",
        "hosts_off_the_list",
        "canaries_in_logs",
        "warnings_in_logs",
        "workers_died",
    )
    return {**summary, "passed": not any(summary[name] for name in wrong)}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.campaign", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=600, help="stop after this long")
    options = parser.parse_args()

    def progress(done: int) -> None:
        sys.stderr.write(f"{done} of {options.cases} cases\n")

    summary = campaign(options.cases, options.seed, options.jobs, options.minutes, progress)
    sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    return 0 if summary["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
