"""What the console's pages take with 1,000 and with 100,000 rollouts, side by side.

``python -m benchmarks.console``. The table is the local store, in this process; the times are processor
time of page and store together. A page is also shown as calls made and rows read.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

from starlette.testclient import TestClient

from benchmarks.crowd import fill
from console.application import application
from devkit.emulator.store.local import LocalAws
from devkit.emulator.template import table_properties
from rollout.aws import clients
from rollout.settings import read_settings
from rollout.storage.archive import Archive

ACCOUNT, REGION = "123456789012", "us-west-2"
JOB = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:job/AgentRFT/crowd"
GROUP, ONE = "5feceb66ffc86f38", "trajectory-0000003"
PAGES = {
    "jobs": "/",
    "job": f"/job?job={JOB}",
    "series": f"/series.json?job={JOB}",
    "groups": f"/groups?job={JOB}",
    "group": f"/group?job={JOB}&group={GROUP}",
    "trajectory": f"/trajectory?job={JOB}&id={ONE}",
}


class Meter:
    """Counts a client's calls and the rows they read."""

    def __init__(self, client: Any) -> None:
        self.calls = self.rows = 0
        client.meta.events.register("after-call.dynamodb", self._end)

    def _end(self, parsed: dict[str, Any], **_: Any) -> None:
        self.calls += 1
        self.rows += parsed.get("ScannedCount", 1)


def measure(rollouts: int, rounds: int) -> dict[str, tuple[int, int, float]]:
    """Calls, rows and milliseconds of processor of each page, by name."""
    names = {"ROLLOUT_TABLE": "crowd", "ROLLOUT_BUCKET": "crowd", "ROLLOUT_ACCOUNT_ID": ACCOUNT}
    settings = read_settings({**names, "AWS_REGION": REGION})
    found: dict[str, tuple[int, int, float]] = {}
    with LocalAws() as aws:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",  # nosec B105 - the store takes any
            "AWS_ENDPOINT_URL_DYNAMODB": aws.url,
            "AWS_ENDPOINT_URL_S3": aws.url,
        }
        clients.forget()
        clients.client("dynamodb", REGION).create_table(TableName="crowd", **table_properties())
        fill(lambda item: aws.dynamodb.load("crowd", item), JOB, rollouts)
        web = TestClient(application(lambda: Archive(settings), lambda: settings))
        meter = Meter(clients.client("dynamodb", REGION, read_timeout=3.0, attempts=1))
        for name, page in PAGES.items():
            web.get(page)
            times: list[float] = []
            meter.calls = meter.rows = 0
            for _ in range(rounds):
                began = time.process_time()
                if web.get(page).status_code != 200:
                    raise SystemExit(f"{page} failed")
                times.append(time.process_time() - began)
            median = 1_000 * statistics.median(times)
            found[name] = meter.calls // rounds, meter.rows // rounds, median
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    few, many = measure(1_000, options.rounds), measure(options.rollouts, options.rounds)
    print(f"| page | calls 1,000 | calls {options.rollouts:,} | rows | rows | ms | ms | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name in PAGES:
        (calls, rows, ms), (calls2, rows2, ms2) = few[name], many[name]
        row = f"{calls} | {calls2} | {rows} | {rows2} | {ms:.1f} | {ms2:.1f} | {ms2 / ms:.2f}"
        print(f"| {name} | {row} |")


if __name__ == "__main__":
    main()
