"""Scripted single-turn rollouts through the full local path, beside a client that only reports.

``python -m benchmarks.rehearsal --n 1000``. Both play against the same simulator, in turns of a batch
each, with the same number in flight. Ratios travel, rates do not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from devkit.emulator.stack import JOB_ARN, REGION, EmulatedStack
from devkit.rehearsal.client import RolloutClient
from devkit.rehearsal.play import play, tasks_of
from devkit.rehearsal.run_files import append_rollout
from devkit.rehearsal.target import LocalJob
from environments import wordle
from environments.wordle.scripts import gold as knowing

_BATCH = 125
_BODY = json.dumps(
    {
        "messages": [
            {"role": "system", "content": wordle.SYSTEM},
            {"role": "user", "content": "Your first guess?"},
        ],
        "temperature": 1.0,
        "max_tokens": 1024,
    }
).encode()


def rows() -> Iterator[tuple[int, dict[str, Any]]]:
    """Games without end."""
    for number, word in enumerate(itertools.cycle(wordle.WORDS)):
        yield number, {"word": word}


def resident() -> float:
    """This process's resident memory now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def bare(stack: EmulatedStack, client: Any, first: int, concurrency: int) -> float:
    """One batch of a client that samples once and reports; seconds."""

    def one(number: int) -> None:
        name = f"bare-{number}"
        stack.simulator.hand_out(JOB_ARN, name, {"word": "crane"})
        names = {"JobArn": JOB_ARN, "TrajectoryId": name}
        reply = json.loads(client.sample(**names, Body=_BODY)["Body"].read())
        won = reply["choices"][0]["message"]["content"] == "<guess>crane</guess>"
        client.complete_rollout(**names, Status="ready", ClientToken=f"{name}-c")
        client.update_reward(**names, Rewards=[float(won)], ClientToken=f"{name}-r")
        stack.simulator.forget(JOB_ARN, name)

    began = time.monotonic()
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(one, range(first, first + _BATCH)))
    return time.monotonic() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000, help="rollouts (1000)")
    parser.add_argument("--concurrency", type=int, default=8, help="in flight (8)")
    options = parser.parse_args()

    def gold(asked: Any) -> dict[str, Any]:
        return knowing(asked.instance, asked.messages)

    with (
        tempfile.TemporaryDirectory() as run,
        EmulatedStack(gold, agent="environments.wordle:wordle") as stack,
    ):
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=64)
        client = boto3.client(
            "sagemakerjobruntime", REGION, endpoint_url=stack.simulator.url, config=config
        )
        client = RolloutClient(
            stack.url, durable=False, wait_seconds=60, connections=options.concurrency
        )
        target = LocalJob(stack, client)
        tasks = tasks_of(rows(), 1, name="bench")

        def full(count: int) -> float:
            began = time.monotonic()
            batch = itertools.islice(tasks, count)
            for record in play(target, batch, concurrency=options.concurrency):
                if record.reward != 1.0:
                    raise SystemExit(f"a rollout did not come through: {record.error}")
                append_rollout(Path(run), record)
            return time.monotonic() - began

        full(_BATCH // 2)  # warm: imports, connections, a handler for each thread
        bare(stack, client, -_BATCH, options.concurrency)
        ours: list[float] = []
        theirs: list[float] = []
        memory: dict[int, float] = {}
        for batch in range(-(-options.n // _BATCH)):
            ours.append(full(_BATCH))
            memory[(batch + 1) * _BATCH] = resident()
            theirs.append(bare(stack, client, batch * _BATCH, options.concurrency))
        client.close()
    done = len(ours) * _BATCH
    each = [seconds / _BATCH * 1e3 for seconds in ours]
    plain = [seconds / _BATCH * 1e3 for seconds in theirs]
    ratio = statistics.median(a / b for a, b in zip(each, plain, strict=True))
    print(
        f"{done} rollouts of one turn, {options.concurrency} in flight, batches of {_BATCH} in turn"
    )
    print(
        f"full local path  {done / sum(ours):6.1f} rollouts/s  {statistics.median(each):6.1f} ms each"
    )
    print(
        f"bare client      {done / sum(theirs):6.1f} rollouts/s  {statistics.median(plain):6.1f} ms each"
    )
    print(
        f"overhead a turn  {statistics.median(each) - statistics.median(plain):.1f} ms, {ratio:.1f} x"
    )
    shown = sorted({n for n in (250, 500, 1_000) if n in memory} | {done})
    print("resident memory  " + ", ".join(f"{memory[n]:.0f} MB after {n}" for n in shown))


if __name__ == "__main__":
    main()
