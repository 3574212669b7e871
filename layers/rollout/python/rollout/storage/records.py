"""What is remembered: one DynamoDB row per rollout, one S3 object per trajectory.

The row decides who may play a rollout. It is written under conditions: accepted once, taken over
only when its lease is over and no turn can have been captured, and fenced by the attempt's number so
that a process believed dead cannot overwrite its successor.

States: ``accepted`` (durable only: not begun) → ``running`` → ``scored`` (the result is known, the
report is not delivered) → ``ready`` or ``failed``. Keys and indexes are described in
``rollout.aws.table``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from rollout.aws import clients
from rollout.aws.table import Row, Table, answering
from rollout.contract import RolloutRequest
from rollout.errors import AlreadyRunning, BodyMismatch, NotFound
from rollout.results import Report, Result, Rollout
from rollout.settings import Settings
from rollout.storage.totals import EVALUATION, Tallies
from rollout.trust import Destination, is_name

State = Literal["accepted", "running", "scored", "ready", "failed"]
# What is left to do with a rollout somebody asks for: play it, deliver the result it has, settle it
# because its process died while it sampled, or answer with what it came to.
Verdict = Literal["play", "deliver", "settle", "answer"]
# What a door does with a rollout it wants played durably: start it, start it again (under the same
# name) because nobody has seen it begin, or leave it to those who have it.
DurableVerdict = Literal["new", "again", "wait"]

# A step hands out thousands of rollouts of one job at once; one index partition takes 1,000 writes
# a second, so a job is spread over several.
SHARDS = 16
# A row is at most 400 KB; what is larger stays in the S3 object only.
_MAX_INLINE_JSON = 100_000
# Seconds after which a rollout that was accepted and not begun is started again.
_START_PATIENCE = 120.0
# Seconds after which an result that is not reported is taken up by the sweep.
_REPORT_PATIENCE = 60.0
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A rollout as its row tells it."""

    job_arn: str
    trajectory_id: str
    state: State
    fingerprint: str
    attempt: int
    lease_until: float
    sampling: bool
    row: Row

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("ready", "failed")

    @property
    def replayable(self) -> bool:
        """Whether it may be played again: it ended, or its process died, before any turn."""
        if self.state == "failed":
            return self.result().untouched
        return self.state == "running" and self.lease_until <= time.time() and not self.sampling

    @property
    def dead(self) -> bool:
        """Whether its process died after it began to sample."""
        return self.state == "running" and self.lease_until <= time.time() and self.sampling

    def result(self) -> Result:
        """The result as it was scored; the output is missing where it was too large for the row."""
        row = self.row
        return Result(
            status="ready" if "rewards" in row else "failed",
            rewards=json.loads(row["rewards"]) if "rewards" in row else None,
            metrics=json.loads(row.get("metrics", "{}")),
            output=json.loads(row.get("output", "null")),
            error=json.loads(row["error"]) if "error" in row else None,
            turns=int(row.get("turns", 0)),
            possibly_captured=int(row.get("possibly_captured", 0)),
            usage=json.loads(row.get("usage", "{}")),
            seconds=float(row.get("seconds", 0)),
        )

    def summary(self) -> dict[str, Any]:
        """The body of ``GET /rollouts/{trajectory_id}``."""
        row = self.row
        summary: dict[str, Any] = {
            "trajectory_id": self.trajectory_id,
            "job_arn": self.job_arn,
            "state": self.state,
            "agent": row.get("agent"),
            "group": row.get("group"),
            "attempt": self.attempt,
            "accepted_at": row.get("accepted_at"),
            "ended_at": row.get("ended_at"),
        }
        if self.state not in ("accepted", "running"):
            summary["result"] = self.result().answer(self.trajectory_id)
            summary["report"] = json.loads(row.get("report", "null"))
        return summary


class Records:
    """The rollouts this stack has accepted.

    Args:
        settings: names of table and bucket, retention, what content to keep.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table = Table(settings)
        self._tallies = Tallies(settings)

    def get(self, job_arn: str, trajectory_id: str) -> Record:
        """A rollout's record.

        Raises:
            NotFound: it was never accepted, or its retention is over.
        """
        # Storage refuses to look for a key that is too long; that would be an outage to the caller.
        known = is_name(job_arn, trajectory_id)
        row = self._table.get(_pk(job_arn, trajectory_id), "rollout") if known else None
        if row is None:
            raise NotFound(
                "No such rollout: it was never accepted here, or its retention is over. "
                "Name its job with ?job_arn=…"
            )
        return _record(row)

    def accept(self, rollout: Rollout, *, lease: float, door: str) -> tuple[Verdict, Hold]:
        """Accept a rollout once, or say what is left to do with it.

        Args:
            lease: seconds after which a rollout that has not ended counts as dead.
            door: which entry point it came through.

        Returns:
            What to do, and the hold on the row to do it with.

        Raises:
            AlreadyRunning: somebody plays it now.
            BodyMismatch: the trajectory was accepted with another body.
            Unavailable: the table did not answer; nothing is accepted.
        """
        row = self._new_row(rollout, lease=lease, door=door)
        if self._table.put(row):
            self._tallies.accepted(rollout.destination.job_arn)
            return "play", self._hold(rollout, row)
        known = self._known(rollout)
        if known.replayable:
            return "play", self._take_over(rollout, known, {**row, "attempt": known.attempt + 1})
        if known.dead:
            return "settle", self._seize(rollout, known, row["lease_until"])
        if known.state in ("accepted", "running"):
            left = max(1, min(30, round(known.lease_until - time.time())))
            raise AlreadyRunning("This rollout is being played; ask again later.", retry_after=left)
        return "deliver" if known.state == "scored" else "answer", self._hold(rollout, known.row)

    def accept_durable(self, rollout: Rollout, *, door: str) -> tuple[DurableVerdict, Hold]:
        """Accept a rollout that a durable execution is to play.

        Raises:
            BodyMismatch, Unavailable: as :meth:`accept`.
        """
        row = self._new_row(rollout, lease=self._settings.execution_timeout, door=door)
        row |= {"state": "accepted", "starter": uuid.uuid4().hex}
        row |= {"due_at": iso(time.time() + _START_PATIENCE), **self._keep_request(rollout)}
        if self._table.put(row):
            self._tallies.accepted(rollout.destination.job_arn)
            return "new", self._hold(rollout, row)
        known = self._known(rollout)
        if known.state == "accepted":
            # Whoever accepted it must not take it away again under our feet.
            sets = {"starter": row["starter"]}
            mine = {"state": "accepted", "attempt": known.attempt}
            joined = self._table.change(row["pk"], "rollout", sets, removes=(), only_if=mine)
            return ("again" if joined else "wait"), self._hold(rollout, known.row)
        if known.replayable:
            try:
                again = {**row, "attempt": known.attempt + 1}
                return "new", self._take_over(rollout, known, again)
            except AlreadyRunning:
                pass
        return "wait", self._hold(rollout, known.row)

    def begin(self, job_arn: str, trajectory_id: str, attempt: int) -> dict[str, Any] | None:
        """Take up an accepted rollout; may be called again by the same execution.

        Returns:
            Its ``request`` and when it was ``accepted`` (epoch seconds); None where it is another's:
            closed, taken over, or withdrawn.
        """
        pk = _pk(job_arn, trajectory_id)
        row = self._table.get(pk, "rollout")
        if row is not None and row["state"] == "accepted" and int(row["attempt"]) == attempt:
            lease = float(row["lease_until"])
            sets = {"state": "running", "due_at": iso(lease)}
            mine = {"state": "accepted", "attempt": attempt}
            self._table.change(pk, "rollout", sets, removes=(), only_if=mine)
            row = self._table.get(pk, "rollout")
        if row is None or row["state"] != "running" or int(row["attempt"]) != attempt:
            return None
        return {"request": self._request(row), "accepted": _epoch(row["accepted_at"])}

    def take(self, record: Record) -> Hold:
        """Take a rollout from a process that is gone; whatever that still writes is refused.

        Raises:
            AlreadyRunning: somebody else was quicker.
        """
        rollout = self.rollout_of(record)
        if record.state not in ("accepted", "running"):
            return self._hold(rollout, record.row)
        return self._seize(rollout, record, time.time() + _REPORT_PATIENCE)

    def rollout_of(self, record: Record) -> Rollout:
        """The rollout a record tells of; the instance is empty where the row no longer holds it."""
        row = record.row
        request: dict[str, Any] = self._request(row) if _has_request(row) else {"instance": {}}
        request["metadata"] = {
            "job_arn": record.job_arn,
            "trajectory_id": record.trajectory_id,
            "endpoint": row["endpoint"],
            "region": row["region"],
        }
        where = Destination(
            record.job_arn, record.trajectory_id, row["endpoint"], row["region"], ""
        )
        parsed = RolloutRequest.model_validate(request)
        return Rollout(parsed, where, record.fingerprint, str(row["group"]))

    def due(self, until: float, limit: int) -> Iterator[Record]:
        """The open rollouts for which something is due, the longest due first within each shard."""
        for shard in range(SHARDS):
            for pk in self._table.due(f"open#{shard:x}", iso(until), limit):
                row = self._table.get(pk, "rollout")
                if row is not None and "due_at" in row and row["due_at"] <= iso(until):
                    yield _record(row)

    def claim(self, record: Record, seconds: float) -> bool:
        """Put off when a rollout is due, so that two sweeps do not do the same; False if too late."""
        sets = {"due_at": iso(time.time() + seconds)}
        mine = {"due_at": record.row["due_at"], "attempt": record.attempt}
        pk = str(record.row["pk"])
        return self._table.change(pk, "rollout", sets, removes=(), only_if=mine)

    def count_open(self) -> int:
        """How many rollouts have not ended, as the index knows it a moment later."""
        return sum(self._table.count(f"open#{shard:x}") for shard in range(SHARDS))

    def hold(self, rollout: Rollout, attempt: int, *, report_patience: float) -> Hold:
        """The hold of the execution that plays a rollout's given attempt."""
        table, settings = self._table, self._settings
        return Hold(rollout, attempt, table, settings, report_patience=report_patience)

    def _hold(self, rollout: Rollout, row: Row) -> Hold:
        record = _record(row)
        return Hold(rollout, record.attempt, self._table, self._settings, record)

    def _known(self, rollout: Rollout) -> Record:
        """The record of a rollout that was accepted before, with the same body."""
        known = self.get(rollout.destination.job_arn, rollout.destination.trajectory_id)
        if known.fingerprint != rollout.fingerprint:
            raise BodyMismatch(
                "The trajectory was accepted before with another instance or other parameters; "
                "a trajectory id names one rollout for good."
            )
        return known

    def _keep_request(self, rollout: Rollout) -> Row:
        """Keep the request for the worker: in the row, or in the bucket where it is large."""
        text = rollout.request.model_dump_json()
        if len(text) <= _MAX_INLINE_JSON // 4:  # a row counts bytes, up to four to a character
            return {"request": text}
        where = rollout.destination
        name = f"{where.job_arn}\n{where.trajectory_id}\n{rollout.fingerprint}"
        key = f"requests/{hashlib.sha256(name.encode()).hexdigest()}.json"
        answering(
            lambda: _bucket(self._settings).put_object(
                Bucket=self._settings.bucket, Key=key, Body=text.encode()
            )
        )
        return {"request_key": key}

    def _request(self, row: Row) -> dict[str, Any]:
        if "request" in row:
            return json.loads(row["request"])
        answer = answering(
            lambda: _bucket(self._settings).get_object(
                Bucket=self._settings.bucket, Key=row["request_key"]
            )
        )
        return json.loads(answer["Body"].read())

    def _seize(self, rollout: Rollout, known: Record, lease: float) -> Hold:
        """Take a rollout from a process that is gone, to bring it to its end."""
        lost = {**known.row, "state": "running", "attempt": known.attempt + 1}
        lost |= {"lease_until": lease, "due_at": iso(lease)}
        return self._take_over(rollout, known, lost)

    def _take_over(self, rollout: Rollout, known: Record, row: Row) -> Hold:
        """Write the next attempt's row, unless somebody else was quicker."""
        if not self._table.put(row, only_if={"attempt": known.attempt, "state": known.state}):
            raise AlreadyRunning("Another request has just taken this rollout.", retry_after=1)
        if known.state == "failed":
            result = replace(known.result(), status="failed")
            self._tallies.reopened(known.job_arn, result, fault=known.row.get("boundary"))
        return self._hold(rollout, row)

    def _new_row(self, rollout: Rollout, *, lease: float, door: str) -> dict[str, Any]:
        now = time.time()
        where = rollout.destination
        job = where.job_arn or EVALUATION
        shard = shard_of(where.trajectory_id)
        return {
            "pk": _pk(where.job_arn, where.trajectory_id),
            "sk": "rollout",
            "job_arn": where.job_arn,
            "trajectory_id": where.trajectory_id,
            "state": "running",
            "fingerprint": rollout.fingerprint,
            "group": rollout.group,
            "agent": self._settings.agent,
            "door": door,
            "attempt": 1,
            "sampling": False,
            "accepted_at": iso(now),
            "lease_until": round(now + lease, 3),
            "job_shard": f"{job}#{shard:x}",
            "group_key": f"{job}#{rollout.group}",
            "open_shard": f"open#{shard:x}",
            "due_at": iso(now + lease),
            "expires_at": self._expiry(),
            "endpoint": where.endpoint,
            "region": where.region,
        }

    def _expiry(self) -> int:
        return int(time.time()) + self._settings.retention_days * 86_400


@dataclass(frozen=True, slots=True)
class Hold:
    """One process's hold on a row; its writes fail once another process has taken the row over.

    Args:
        rollout: whose row it is.
        attempt: the fencing number.
        known: the row as it was when the hold was taken, if it was read.
        report_patience: seconds after which the sweep takes up an result that is not reported.
    """

    rollout: Rollout
    attempt: int
    table: Table
    settings: Settings
    known: Record | None = None
    report_patience: float = _REPORT_PATIENCE

    def sampling(self) -> None:
        """Remember that the first Sample is about to go out: from here on a turn may be captured."""
        self._change({"sampling": True}, state="running")

    def withdraw(self) -> None:
        """Take back the acceptance of a rollout that could not be started.

        Not if somebody else has asked for the same rollout since: they may have started it.
        """
        assert self.known is not None  # noqa: S101 - a hold on what was just accepted
        mine = {"state": "accepted", "attempt": self.attempt, "starter": self.known.row["starter"]}
        if self.table.delete(str(self.known.row["pk"]), "rollout", only_if=mine):
            Tallies(self.settings).accepted(self.rollout.destination.job_arn, -1)

    def scored(self, result: Result) -> None:
        """Remember the result in the row, then the trajectory in the bucket.

        The row comes first: the reward must survive even where the bucket does not answer.
        """
        keep = self.settings.record_content == "full"
        sets: dict[str, Any] = {
            "state": "scored",
            "turns": result.turns,
            "possibly_captured": result.possibly_captured,
            "seconds": result.seconds,
            "usage": json.dumps(result.usage),
            "metrics": bounded(result.metrics, "{}"),
            # The report is due right away; the sweep looks for what stays here.
            "due_at": iso(time.time() + self.report_patience),
        }
        if result.rewards is not None:
            sets |= {"rewards": json.dumps(result.rewards), "reward": repr(result.reward)}
        if result.error:
            sets |= {"error": json.dumps(result.error), "boundary": result.error["boundary"]}
        if keep:
            sets |= {
                "output": bounded(result.output, "null"),
                "content": content_key(self.rollout),
            }
        self._change(sets, state="running", removes=("request", "request_key"))
        if keep:
            self._store(result)

    def reported(self, result: Result, report: Report) -> None:
        """Remember what became of the report; the rollout is terminal unless it is pending."""
        told: dict[str, Any] = {"delivery": report.delivery, "at": iso(time.time())}
        if report.detail:
            told["detail"] = report.detail
        if report.tries:
            told["tries"] = report.tries
        sets: dict[str, Any] = {"report": json.dumps(told)}
        if report.delivery == "pending":
            # Whoever reported has given up; from here on it is the sweep's.
            due = iso(time.time() + _REPORT_PATIENCE)
            self._change({**sets, "due_at": due}, state="scored")
            return
        # A reward the trainer refused did not count: the rollout failed, whatever it scored.
        refused = report.delivery == "refused"
        sets |= {"state": "failed" if refused else result.status, "ended_at": iso(time.time())}
        fault = "trainer" if refused else (result.error or {}).get("boundary")
        if refused:
            sets["boundary"] = "trainer"
        if self._change(sets, state="scored", removes=("open_shard", "due_at")):
            counted = replace(result, status=sets["state"])
            where = self.rollout.destination
            Tallies(self.settings).ended(where.job_arn, self.rollout.group, counted, fault=fault)

    def _change(self, sets: Row, *, state: State, removes: tuple[str, ...] = ()) -> bool:
        """Write what is new; False where this very write was made before."""
        where = self.rollout.destination
        mine = {"state": state, "attempt": self.attempt}
        pk = _pk(where.job_arn, where.trajectory_id)
        if self.table.change(pk, "rollout", sets, removes=removes, only_if=mine):
            return True
        # A durable execution repeats a write it died after: what is there already is no conflict.
        row = self.table.get(pk, "rollout") or {}
        ours = row.get("attempt") == self.attempt
        if not ours or _PROGRESS.index(row["state"]) < _PROGRESS.index(sets.get("state", state)):
            raise AlreadyRunning(
                "Another process has taken this rollout over; this one stops here.", retry_after=1
            )
        return False

    def _store(self, result: Result) -> None:
        where = self.rollout.destination
        document = {
            "schema": _SCHEMA,
            "job_arn": where.job_arn,
            "trajectory_id": where.trajectory_id,
            "group": self.rollout.group,
            "agent": self.settings.agent,
            "request": self.rollout.request.model_dump(),
            "result": result.answer(where.trajectory_id),
            "usage": result.usage,
            "seconds": result.seconds,
            "turns": result.transcript,
        }
        body = gzip.compress(json.dumps(document).encode(), compresslevel=5)
        bucket = _bucket(self.settings)
        answering(
            lambda: bucket.put_object(
                Bucket=self.settings.bucket,
                Key=content_key(self.rollout),
                Body=body,
                ContentType="application/json",
                ContentEncoding="gzip",
            )
        )


_PROGRESS = ("accepted", "running", "scored", "ready", "failed")


def shard_of(trajectory_id: str) -> int:
    """The shard of the indexes that a rollout is in."""
    return hashlib.sha256(trajectory_id.encode()).digest()[0] % SHARDS


def content_key(rollout: Rollout) -> str:
    """The S3 key of a rollout's trajectory."""
    where = rollout.destination
    job = where.job_arn.rsplit("/", 1)[-1] or EVALUATION
    name = hashlib.sha256(f"{where.job_arn}\n{where.trajectory_id}".encode()).hexdigest()
    return f"trajectories/{job}/{name}.json.gz"


def _bucket(settings: Settings) -> Any:
    return clients.client("s3", settings.region, read_timeout=20, attempts=4)


def _has_request(row: Row) -> bool:
    return "request" in row or "request_key" in row


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _pk(job_arn: str, trajectory_id: str) -> str:
    return f"rollout#{job_arn}#{trajectory_id}"


def iso(when: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")


def bounded(value: Any, otherwise: str) -> str:
    """A value's JSON, or ``otherwise`` where it is too large for a row or an answer."""
    text = json.dumps(value)
    return text if len(text) <= _MAX_INLINE_JSON else otherwise


def _record(row: Row) -> Record:
    return Record(
        job_arn=row["job_arn"],
        trajectory_id=row["trajectory_id"],
        state=row["state"],
        fingerprint=row["fingerprint"],
        attempt=int(row["attempt"]),
        lease_until=float(row["lease_until"]),
        sampling=bool(row["sampling"]),
        row=row,
    )
