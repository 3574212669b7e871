"""What a rollout costs on AWS, from how many turns it takes, how long it waits and how much it says.

A durable worker samples synchronously: it is billed for every second it waits for the policy, and
that is most of the bill. What one rollout asks of AWS was counted with ``benchmarks/footprint.py``; a
test plays a rollout and holds these constants to it. The training itself and the sampling are billed
by the job and not counted here; neither are the few dollars a month of alarms and dashboards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from devkit.checks.prices import dollars

Architecture = Literal["arm64", "x86_64"]

# --- one durable rollout, counted -------------------------------------------------------------------
# Durable operations: the execution, begin, the agent's context, scored, complete, reward, reported, the
# trajectory; and one a turn.
OPERATIONS = 8
# Calls of CheckpointDurableExecution: some beside the turns, two a turn. Checkpoints are a few more: the
# SDK sends those that come close together with one call.
CHECKPOINTS, CHECKPOINTS_A_TURN, MERGED = 12, 2, 2
# Writes of the row: accepted; begun, about to sample and scored, with the execution's ARN; reported,
# without the request. What the row holds beside the request then, in KB.
ACCEPTED_KB, ROW_KB, ENDED_KB = 0.98, 1.08, 1.14
ROW_WRITES_BETWEEN = 3
# Write units of the indexes by_job, by_group and open; every one is far below 1 KB.
INDEX_WRITES = {"by_job": 4, "by_group": 1, "open": 6}
# Totals: the group's and the moment's, when it has ended; each environment lists the job once.
TOTALS = 2
# Reads of the row. One more looks whether the stack drains, at most every five seconds.
ROW_READS = 2
# Bytes in checkpoints beside the replies; the copies of a reply are in `persisted`.
_PERSISTED, _PERSISTED_A_TURN = 569, 538
_TRANSCRIPT_A_TURN = 290
# A result above this goes to S3 (rollout.aws.durable_steps), a request above that as well
# (rollout.storage.records).
_SPILL, _REQUEST_SPILL = 200_000, 25_000

# --- assumed ----------------------------------------------------------------------------------------
# A checkpoint or a write takes so many seconds; a start by the job function so many (?).
CALL_SECONDS = 0.02
START_SECONDS = 0.15
# Text compresses to about a quarter with gzip, JSON chat better.
_GZIP = 0.25
# Lines of the three functions' JSON logs for one rollout, Lambda's platform lines included (?).
_LOG_KB = 5.0
_MONTH_DAYS = 30.0
_DURABLE_DAYS = 7.0
_KB, _GB = 1_000, 1e9


@dataclass(frozen=True, slots=True)
class Work:
    """One rollout's size.

    Args:
        turns: sampled.
        waiting: seconds spent waiting for the policy, over all turns.
        computing: seconds the agent and its tools take themselves, over all turns.
        reply_bytes: of one turn's reply, as JSON in UTF-8.
        request_bytes: of the instance.
        memory: MB of the functions.
        architecture: of the functions.
        retention_days: how long records, trajectories and logs are kept.
        replays: invocations of the worker after the first (one per 15 minutes, or per report retry).
        http: whether it comes through API Gateway rather than from a job directly.
    """

    turns: float = 50
    waiting: float = 250.0
    computing: float = 2.5
    reply_bytes: float = 2_000
    request_bytes: float = 1_000
    memory: int = 1_024
    architecture: Architecture = "arm64"
    retention_days: float = 30
    replays: float = 0
    http: bool = False

    @property
    def operations(self) -> float:
        """Durable operations; the service takes 3,000 an execution."""
        return OPERATIONS + self.turns

    @property
    def checkpoints(self) -> float:
        """Calls of CheckpointDurableExecution."""
        return CHECKPOINTS + CHECKPOINTS_A_TURN * self.turns

    @property
    def transcript(self) -> float:
        """Bytes of the agent's result: every reply, and once more as the next turn's history."""
        return max(0.0, 2 * self.turns - 1) * self.reply_bytes + _TRANSCRIPT_A_TURN * self.turns

    @property
    def persisted(self) -> float:
        """Bytes written to checkpoints; a transcript above 200 KB goes to S3 instead."""
        other = _PERSISTED + (_PERSISTED_A_TURN - _TRANSCRIPT_A_TURN) * self.turns
        kept = self.transcript if self.transcript <= _SPILL else 0
        return other + self.reply_bytes * self.turns + kept

    @property
    def writes(self) -> float:
        """DynamoDB write request units, indexes included."""
        inside = self.request_bytes if self.request_bytes <= _REQUEST_SPILL else 0
        between = ROW_WRITES_BETWEEN * math.ceil(ROW_KB + inside / 1_024)
        row = math.ceil(ACCEPTED_KB + inside / 1_024) + between + math.ceil(ENDED_KB)
        return row + sum(INDEX_WRITES.values()) + TOTALS

    @property
    def reads(self) -> float:
        """DynamoDB read request units."""
        inside = self.request_bytes if self.request_bytes <= _REQUEST_SPILL else 0
        return ROW_READS * math.ceil((ROW_KB * 1_024 + inside) / 4_096)

    @property
    def puts(self) -> float:
        """Objects written to S3: the trajectory, and what does not fit into row or checkpoint."""
        return 1 + (self.transcript > _SPILL) + (self.request_bytes > _REQUEST_SPILL)

    @property
    def billed(self) -> float:
        """Seconds of the worker that are billed, waiting included."""
        return self.waiting + self.computing + self.checkpoints * CALL_SECONDS


def cost_of_rollout(work: Work) -> dict[str, float]:
    """What one rollout costs, in US dollars by line; the lines add up to it."""
    gigabytes = work.memory / 1_024
    compute = f"lambda-{work.architecture}"
    trajectory = work.turns * work.reply_bytes * _GZIP
    months = work.retention_days / _MONTH_DAYS
    spilled = work.transcript if work.transcript > _SPILL else 0
    return {
        "Lambda, waiting for the policy": dollars(compute, work.waiting * gigabytes),
        "Lambda, everything else": dollars(
            compute, (work.billed - work.waiting + START_SECONDS) * gigabytes
        )
        + dollars("lambda-requests", 2 + work.replays),
        "durable operations": dollars("durable-operations", work.operations),
        "durable data": dollars("durable-written", work.persisted / _GB)
        + dollars("durable-retained", work.persisted / _GB * _DURABLE_DAYS / _MONTH_DAYS),
        "DynamoDB": dollars("dynamodb-writes", work.writes)
        + dollars("dynamodb-reads", work.reads)
        + dollars("dynamodb-storage", ROW_KB * _KB / _GB * months)
        + dollars("dynamodb-recovery", ROW_KB * _KB / _GB * months),
        "S3": dollars("s3-puts", work.puts)
        + dollars("s3-gets", float(spilled > 0))
        + dollars(
            "s3-storage", (trajectory * months + spilled * _DURABLE_DAYS / _MONTH_DAYS) / _GB
        ),
        "logs": dollars("logs-ingested", _LOG_KB * _KB / _GB)
        + dollars("logs-stored", _LOG_KB * _KB / _GB * months),
        "API Gateway": dollars("api-gateway-rest", float(work.http)),
    }


def cost_of_thousand(work: Work) -> float:
    """US dollars for a thousand rollouts."""
    return 1_000 * sum(cost_of_rollout(work).values())


@dataclass(frozen=True, slots=True)
class Job:
    """A training job as its settings describe it; defaults are the platform's.

    Args:
        batch_size: rows a step (``global_batch_size``).
        group_size: rollouts a row.
        max_steps: steps of the job.
        concurrency: ``rollout_max_concurrency``.
        timeout: ``rollout_timeout``, seconds.
        retries: ``rollout_max_retries``.
        max_tokens: ``sampling_max_tokens``.
    """

    batch_size: int = 128
    group_size: int = 8
    max_steps: int = 50
    concurrency: int = 96
    timeout: float = 600.0
    retries: int = 3
    max_tokens: int = 4_096

    @property
    def rollouts_a_step(self) -> int:
        """Rollouts a step hands out."""
        return self.batch_size * self.group_size

    @property
    def rollouts(self) -> int:
        """Rollouts of the whole job, without retries and validation."""
        return self.rollouts_a_step * self.max_steps

    def step_seconds(self, work: Work) -> float:
        """How long a step's rollouts take at least: Little's law, without start and tail."""
        return self.rollouts_a_step * (work.billed + START_SECONDS) / self.concurrency


def cost_of_job(job: Job, work: Work) -> float:
    """US dollars for a job's rollouts, without retries and validation."""
    return job.rollouts * sum(cost_of_rollout(work).values())
