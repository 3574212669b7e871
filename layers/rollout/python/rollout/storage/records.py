"""Who may play a rollout: accepted once, taken over only when its lease is over.

A row is written under conditions: a rollout is accepted once, taken over only when its lease is over and
no turn can have been captured, and fenced by the attempt's number.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rollout.aws.bucket import Bucket
from rollout.aws.table import Row, Table
from rollout.errors import AlreadyRunning, BodyMismatch, NotFound, Unavailable
from rollout.results import Rollout
from rollout.settings import Settings
from rollout.storage import keys
from rollout.storage.record import (
    REPORT_DUE_SECONDS,
    SCHEMA,
    SKEW_SECONDS,
    Lease,
    Record,
    epoch,
    fits,
    iso,
)
from rollout.storage.totals import TotalsWriter
from rollout.trust import is_name

# Seconds after which a rollout that was accepted and not begun is started again.
_START_DUE_SECONDS = 120.0
# How often a row is looked at anew while others change it.
_MOST_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One acceptance of a rollout: what its durable execution is started with, and named after.

    Args:
        nonce: of this acceptance alone: one that was withdrawn has left an execution's name used up.
    """

    job_arn: str
    trajectory_id: str
    attempt: int
    nonce: str

    @classmethod
    def of(cls, record: Record) -> Acceptance:
        """The acceptance a row tells of."""
        return cls(record.job_arn, record.trajectory_id, record.attempt, record.row["nonce"])

    @property
    def execution(self) -> str:
        """The name of its durable execution."""
        return keys.execution(self.job_arn, self.trajectory_id, self.attempt, self.nonce)


@dataclass(frozen=True, slots=True)
class Play:
    """It is ours to play."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Deliver:
    """Its result is known and not reported: report it."""

    lease: Lease
    record: Record


@dataclass(frozen=True, slots=True)
class Close:
    """Its process died after it began to sample: report that it failed."""

    lease: Lease
    record: Record


@dataclass(frozen=True, slots=True)
class Answer:
    """It has ended: answer with what it came to."""

    record: Record


Decision = Play | Deliver | Close | Answer


@dataclass(frozen=True, slots=True)
class Start:
    """It is accepted, and as far as anybody knows not begun: start its durable execution.

    Args:
        acceptance: of which attempt; names the execution.
        caller: who is about to start it, for the row.
        repeated: whether it was accepted before.
    """

    acceptance: Acceptance
    caller: str
    repeated: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody has it, or it has ended: there is nothing to start."""

    acceptance: Acceptance


DurableDecision = Start | Wait


class Records:
    """The rollouts this stack has accepted.

    Args:
        settings: names of table and bucket, retention, what content to keep.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table = Table(settings)
        self._bucket = Bucket(settings)
        self._totals = TotalsWriter(settings)

    def get(self, job_arn: str, trajectory_id: str) -> Record:
        """A rollout's record.

        Raises:
            NotFound: it was never accepted, or its retention is over.
        """
        # Storage refuses to look for a key that is too long; that would be an outage to the caller.
        possible = is_name(job_arn, trajectory_id)
        row = self._row(job_arn, trajectory_id) if possible else None
        if row is None:
            raise NotFound(
                "No such rollout: it was never accepted here, or its retention is over. "
                "Name its job with ?job_arn=…"
            )
        return Record.of(row)

    def accept(self, rollout: Rollout, *, lease_seconds: float, entry_point: str) -> Decision:
        """Accept a rollout once, or say what is left to do with it.

        Args:
            lease_seconds: after these a rollout that has not ended counts as dead.
            entry_point: the one it came through.

        Raises:
            AlreadyRunning: somebody plays it now.
            BodyMismatch: the trajectory was accepted with another body.
            Unavailable: the table did not answer; nothing is accepted.
        """
        row = self._new_row(rollout, lease_seconds=lease_seconds, entry_point=entry_point)
        try:
            record = self._put_new(rollout, row)
        except NotFound:
            raise Unavailable("Its row has just been removed; ask again.", retry_after=1) from None
        if record is None:
            return Play(self.lease(rollout, 1))
        if record.replayable:
            row["attempt"] = record.attempt + 1
            return Play(self._take_over(rollout, record, row))
        if record.dead:
            return Close(self._seize(rollout, record, row["lease_until"]), record)
        if record.state == "scored" and record.lease_over:
            if not self.claim(record, lease_seconds + SKEW_SECONDS):
                raise AlreadyRunning("Another request has just taken this rollout.", retry_after=1)
            return Deliver(self.lease(rollout, record.attempt), record)
        if not record.terminal:
            over = record.lease_until + SKEW_SECONDS
            left = max(1, min(30, round(over - time.time())))
            raise AlreadyRunning("This rollout is being played; ask again later.", retry_after=left)
        return Answer(record)

    def accept_durable(self, rollout: Rollout, *, entry_point: str) -> DurableDecision:
        """Accept a rollout that a durable execution is to play.

        The row names in ``starts`` the callers who may have started the execution: each adds itself
        before it starts it, and takes itself out when it was refused. The last one takes the row away. A
        count would not do: a caller whose write was made and not answered would count twice.

        Raises:
            BodyMismatch, Unavailable: as :meth:`accept`.
        """
        row = self._new_row(
            rollout, lease_seconds=self._settings.times.execution_timeout, entry_point=entry_point
        )
        caller = uuid.uuid4().hex
        row |= {"state": "accepted", "starts": caller}
        row |= {"due_at": iso(time.time() + _START_DUE_SECONDS), **self._keep_request(rollout)}
        for _ in range(_MOST_LOOKS):
            decision = self._decide_durable(rollout, row, caller)
            if decision is not None:
                return decision
        raise Unavailable("Others ask for this rollout at the same moment.", retry_after=1)

    def _decide_durable(
        self, rollout: Rollout, row: dict[str, Any], caller: str
    ) -> DurableDecision | None:
        """What to do with a rollout; None where the row changed while it was looked at."""
        row["attempt"] = 1
        try:
            record = self._put_new(rollout, row)
        except NotFound:  # withdrawn between the write and the look
            return None
        if record is None:
            return Start(Acceptance.of(Record.of(row)), caller, repeated=False)
        if record.state == "accepted":
            callers = _callers(record)
            joined = caller in callers or self._name_callers(record, [*callers, caller])
            return Start(Acceptance.of(record), caller, repeated=True) if joined else None
        if record.replayable:
            row["attempt"] = record.attempt + 1
            try:
                self._take_over(rollout, record, row)
            except AlreadyRunning:
                return None
            return Start(Acceptance.of(Record.of(row)), caller, repeated=False)
        return Wait(Acceptance.of(record))

    def withdraw(self, start: Start) -> None:
        """Take oneself out of an acceptance whose start was certainly refused.

        The row goes if nobody else may have started it: then nothing was accepted.
        """
        acceptance = start.acceptance
        for _ in range(_MOST_LOOKS):
            row = self._row(acceptance.job_arn, acceptance.trajectory_id)
            record = Record.of(row) if row else None
            if record is None or record.state != "accepted" or Acceptance.of(record) != acceptance:
                return
            callers = _callers(record)
            if start.caller not in callers:
                return
            others = [caller for caller in callers if caller != start.caller]
            if others:
                if self._name_callers(record, others):
                    return
                continue
            alone = {"state": "accepted", "nonce": acceptance.nonce, "starts": start.caller}
            if self._table.delete(str(record.row["pk"]), keys.ROLLOUT, only_if=alone) is None:
                return

    def _name_callers(self, record: Record, callers: list[str]) -> bool:
        """Name the callers who may have started an acceptance; False if the row changed meanwhile."""
        known = record.row["starts"]
        expected = {"state": "accepted", "nonce": record.row["nonce"], "starts": known}
        sets = {"starts": ",".join(callers)}
        pk = str(record.row["pk"])
        return self._table.change(pk, keys.ROLLOUT, sets, only_if=expected) is None

    def _put_new(self, rollout: Rollout, row: dict[str, Any]) -> Record | None:
        """Write the row of a rollout nobody knows; else the record of the one in place.

        A row that is our own was written by an attempt whose answer was lost.

        Raises:
            NotFound: the one in place is gone again.
        """
        conflict = self._table.put(row)
        record = None if conflict is None else self._same_body(rollout, conflict.row)
        if record is not None and record.row["nonce"] != row["nonce"]:
            return record
        self._totals.accepted(rollout.destination.job_arn)
        return None

    def begin(self, acceptance: Acceptance, execution_arn: str = "") -> dict[str, Any] | None:
        """Take up an accepted rollout; may be called again by the same execution.

        Args:
            execution_arn: of the durable execution that plays it, to ask Lambda about it.

        Returns:
            Its ``request`` and when it was ``accepted`` (epoch seconds); None where it is another's:
            closed, taken over, or withdrawn.
        """
        pk = keys.rollout(acceptance.job_arn, acceptance.trajectory_id)
        ours = {"attempt": acceptance.attempt, "nonce": acceptance.nonce}
        row = self._table.get(pk, keys.ROLLOUT)
        if row is not None and row["state"] == "accepted":
            due = iso(float(row["lease_until"]) + SKEW_SECONDS)
            sets = {"state": "running", "due_at": due, "execution_arn": execution_arn}
            expected = {"state": "accepted", **ours}
            self._table.change(pk, keys.ROLLOUT, sets, only_if=expected)
            row = self._table.get(pk, keys.ROLLOUT)
        if row is None or row["state"] != "running" or any(row[k] != v for k, v in ours.items()):
            return None
        return {"request": self._request(row), "accepted": epoch(row["accepted_at"])}

    def take(self, record: Record) -> Deliver | Close:
        """Take a rollout from a process that is gone; whatever that still writes is refused.

        Args:
            record: of a rollout that has not ended.

        Raises:
            AlreadyRunning: somebody else was quicker.
        """
        rollout = record.rollout(self._readable_request(record.row))
        if record.state == "scored":
            return Deliver(self.lease(rollout, record.attempt), record)
        until = time.time() + REPORT_DUE_SECONDS
        return Close(self._seize(rollout, record, until), record)

    def due(self, until: float, limit: int) -> Iterator[Record]:
        """The open rollouts for which something is due, the longest due first within each shard.

        The shards come in another order each time, so that none is always the last.
        """
        shards = list(range(keys.SHARDS))
        random.shuffle(shards)
        for shard in shards:
            for pk in self._due(shard, until, limit):
                row = self._look(pk)
                if row is not None and "due_at" in row and row["due_at"] <= iso(until):
                    yield Record.of(row)

    def _due(self, shard: int, until: float, limit: int) -> list[str]:
        """Keys of what is due in a shard; none where storage does not say, the next sweep looks again."""
        try:
            return self._table.due(keys.open_shard(shard), iso(until), limit)
        except Unavailable:
            return []

    def _look(self, pk: str) -> Row | None:
        try:
            return self._table.get(pk, keys.ROLLOUT)
        except Unavailable:
            return None

    def claim(self, record: Record, seconds: float) -> bool:
        """Take up what is left to do with a rollout, so that two do not do the same; False if too late.

        Args:
            seconds: until it is due again.
        """
        now = time.time()
        sets: dict[str, Any] = {"due_at": iso(now + seconds)}
        if record.state == "scored":  # whoever asks for it meanwhile must not report it as well
            sets["lease_until"] = round(now + min(seconds, REPORT_DUE_SECONDS), 3)
        expected = {"due_at": record.row["due_at"], "attempt": record.attempt}
        pk = str(record.row["pk"])
        return self._table.change(pk, keys.ROLLOUT, sets, only_if=expected) is None

    def count_open(self) -> int:
        """How many rollouts have not ended, as the index knows it a moment later."""
        return sum(self._table.count(keys.open_shard(shard)) for shard in range(keys.SHARDS))

    def lease(
        self, rollout: Rollout, attempt: int, *, report_due_seconds: float = REPORT_DUE_SECONDS
    ) -> Lease:
        """The lease of whoever plays a rollout's given attempt."""
        return Lease(
            rollout,
            attempt,
            self._table,
            self._bucket,
            self._totals,
            self._settings,
            report_due_seconds,
        )

    def _row(self, job_arn: str, trajectory_id: str) -> Row | None:
        return self._table.get(keys.rollout(job_arn, trajectory_id), keys.ROLLOUT)

    def _same_body(self, rollout: Rollout, row: Row | None) -> Record:
        """The record of a rollout that was accepted before, with the same body.

        Args:
            row: as the refused write was told it, if it was.
        """
        where = rollout.destination
        record = Record.of(row) if row else self.get(where.job_arn, where.trajectory_id)
        if record.fingerprint != rollout.fingerprint:
            raise BodyMismatch(
                "The trajectory was accepted before with another instance or other parameters; "
                "a trajectory id names one rollout for good."
            )
        return record

    def _keep_request(self, rollout: Rollout) -> Row:
        """Keep the request for the worker: in the row, or in the bucket where it is large."""
        text = rollout.request.model_dump_json()
        if fits(text * 4):  # a row counts bytes, up to four to a character
            return {"request": text}
        where = rollout.destination
        key = keys.request(where.job_arn, where.trajectory_id, rollout.fingerprint)
        self._bucket.put(key, text.encode())
        return {"request_key": key}

    def _request(self, row: Row) -> dict[str, Any] | None:
        """The request a row keeps; None where it keeps none."""
        if "request" in row:
            return json.loads(row["request"])
        return json.loads(self._bucket.get(row["request_key"])) if "request_key" in row else None

    def _readable_request(self, row: Row) -> dict[str, Any] | None:
        """As :meth:`_request`; None as well where it cannot be read: a rollout is closed without it."""
        try:
            return self._request(row)
        except (Unavailable, NotFound, ValueError):
            return None

    def _seize(self, rollout: Rollout, record: Record, lease_until: float) -> Lease:
        """Take a rollout from a process that is gone, to bring it to its end."""
        row = {**record.row, "state": "running", "attempt": record.attempt + 1}
        row |= {"lease_until": lease_until, "due_at": iso(lease_until + SKEW_SECONDS)}
        row["nonce"] = uuid.uuid4().hex
        return self._take_over(rollout, record, row)

    def _take_over(self, rollout: Rollout, record: Record, row: Row) -> Lease:
        """Write the next attempt's row, unless somebody else was quicker."""
        expected = {"attempt": record.attempt, "state": record.state}
        conflict = self._table.put(row, only_if=expected)
        # Where the row in place is our own, the answer to our first attempt was lost.
        if conflict is not None and (conflict.row or {}).get("nonce") != row["nonce"]:
            raise AlreadyRunning("Another request has just taken this rollout.", retry_after=1)
        if record.state == "failed":
            self._totals.reopened(
                record.job_arn,
                record.result(),
                fault=record.row.get("boundary"),
                ended_at=epoch(record.row["ended_at"]),
            )
        return self.lease(rollout, int(row["attempt"]))

    def _new_row(
        self, rollout: Rollout, *, lease_seconds: float, entry_point: str
    ) -> dict[str, Any]:
        now = time.time()
        where = rollout.destination
        job = keys.job_of(where.job_arn)
        shard = keys.shard_of(where.trajectory_id)
        return {
            "pk": keys.rollout(where.job_arn, where.trajectory_id),
            "sk": keys.ROLLOUT,
            "schema": SCHEMA,
            "job_arn": where.job_arn,
            "trajectory_id": where.trajectory_id,
            "state": "running",
            "fingerprint": rollout.fingerprint,
            "group": rollout.group,
            "agent": self._settings.agent,
            "entry_point": entry_point,
            "attempt": 1,
            "nonce": uuid.uuid4().hex,
            "sampling": False,
            "accepted_at": iso(now),
            "lease_until": round(now + lease_seconds, 3),
            "job_shard": keys.job_shard(job, shard),
            "group_key": keys.group(job, rollout.group),
            "open_shard": keys.open_shard(shard),
            "due_at": iso(now + lease_seconds + SKEW_SECONDS),
            "expires_at": int(now) + self._settings.storage.retention_days * 86_400,
            "endpoint": where.endpoint,
            "region": where.region,
        }


def _callers(record: Record) -> list[str]:
    """Who may have started an acceptance's execution."""
    return str(record.row["starts"]).split(",")
