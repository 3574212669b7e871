"""One rollout's row: how it reads (Record), and how the process that holds it writes it (Lease).

States::

    accepted ──begin──▶ running ──scored──▶ scored ──reported──▶ ready | failed
    (durable only)         │                   │                        │
                           │                   └── report pending, or the lease ends: the next delivers it
                           └── the lease ends: played again, if no turn can be captured; else closed
    failed before any turn was captured: the same request plays it again, as the next attempt

Every write names the state and the attempt it expects, so a process believed dead cannot overwrite its
successor.
"""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from rollout.aws.bucket import Bucket
from rollout.aws.table import Row, Table
from rollout.contract import RolloutRequest
from rollout.errors import AlreadyRunning, Failure, NotFound, Unavailable
from rollout.results import Report, Result, Rollout
from rollout.settings import Settings
from rollout.storage import keys
from rollout.storage.totals import TotalsWriter
from rollout.trust import Destination

State = Literal["accepted", "running", "scored", "ready", "failed"]
# In the order in which a rollout passes them.
STATES: tuple[State, ...] = get_args(State)
# Of the rows and of the objects with trajectories.
SCHEMA = 2
# Seconds after which a result that is not reported is taken up by the sweep.
REPORT_DUE_SECONDS = 60.0
# Seconds by which the clocks of two processes may differ: so long after a lease nobody is taken for dead.
SKEW_SECONDS = 30.0
# A row is at most 400 KB; what is larger stays in the S3 object only.
_MAX_INLINE_JSON = 100_000


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

    @classmethod
    def of(cls, row: Row) -> Record:
        """Read a row."""
        return cls(
            job_arn=row["job_arn"],
            trajectory_id=row["trajectory_id"],
            state=row["state"],
            fingerprint=row["fingerprint"],
            attempt=int(row["attempt"]),
            lease_until=float(row["lease_until"]),
            sampling=bool(row["sampling"]),
            row=row,
        )

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("ready", "failed")

    @property
    def replayable(self) -> bool:
        """Whether it may be played again: it ended, or its process died, before any turn."""
        if self.state == "failed":
            return self.result().untouched
        return self.state == "running" and self.lease_over and not self.sampling

    @property
    def dead(self) -> bool:
        """Whether its process died after it began to sample."""
        return self.state == "running" and self.lease_over and self.sampling

    @property
    def lease_over(self) -> bool:
        """Whether the lease is over by any clock."""
        return self.lease_until + SKEW_SECONDS <= time.time()

    def result(self) -> Result:
        """The result as it was scored; the output is missing where it was too large for the row."""
        row = self.row
        return Result(
            status="ready" if "rewards" in row else "failed",
            rewards=json.loads(row["rewards"]) if "rewards" in row else None,
            metrics=json.loads(row.get("metrics", "{}")),
            output=json.loads(row.get("output", "null")),
            failure=Failure(**json.loads(row["failure"])) if "failure" in row else None,
            turns=int(row.get("turns", 0)),
            possibly_captured=int(row.get("possibly_captured", 0)),
            usage=json.loads(row.get("usage", "{}")),
            seconds=float(row.get("seconds", 0)),
        )

    def report(self) -> Report:
        """What became of its report; of one that was never sent, nothing else is known than that."""
        known = json.loads(self.row.get("report", "{}"))
        return Report(
            known.get("delivery", "delivered"), known.get("detail", ""), known.get("tries", {})
        )

    def rollout(self, request: dict[str, Any] | None) -> Rollout:
        """The rollout it tells of.

        Args:
            request: as it was accepted; None where it is no longer kept, and the instance is empty.
        """
        metadata = {
            "job_arn": self.job_arn,
            "trajectory_id": self.trajectory_id,
            "endpoint": self.row["endpoint"],
            "region": self.row["region"],
        }
        where = Destination(**metadata, model_endpoint="")
        parsed = RolloutRequest.model_validate(
            {**(request or {"instance": {}}), "metadata": metadata}
        )
        return Rollout(parsed, where, self.fingerprint, str(self.row["group"]))

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


@dataclass(frozen=True, slots=True)
class Lease:
    """What one process may write of a rollout, until another process takes it over.

    Args:
        rollout: whose row it is.
        attempt: the fencing number.
        report_due_seconds: seconds after which the sweep takes up a result that is not reported.
    """

    rollout: Rollout
    attempt: int
    table: Table
    bucket: Bucket
    totals: TotalsWriter
    settings: Settings
    report_due_seconds: float = REPORT_DUE_SECONDS

    @property
    def pk(self) -> str:
        """The row's partition key."""
        where = self.rollout.destination
        return keys.rollout(where.job_arn, where.trajectory_id)

    def sampling(self) -> None:
        """Remember that the first Sample is about to go out: from here on a turn may be captured."""
        self._change({"sampling": True}, state="running")

    def give_back(self) -> None:
        """End the lease of a rollout that was not sampled, so that it may be played again at once."""
        now = time.time()
        over = {"lease_until": round(now - SKEW_SECONDS, 3), "sampling": False, "due_at": iso(now)}
        self._change(over, state="running")

    def scored(self, result: Result) -> None:
        """Remember the result in the row."""
        keep = self.settings.storage.record_content == "full"
        where = self.rollout.destination
        sets: dict[str, Any] = {
            "state": "scored",
            "turns": result.turns,
            "possibly_captured": result.possibly_captured,
            "seconds": result.seconds,
            "usage": json.dumps(result.usage),
            "metrics": bounded(result.metrics, "{}"),
            # The report is due right away; the sweep looks for what stays here.
            "due_at": iso(time.time() + self.report_due_seconds),
        }
        if result.rewards is not None:
            sets |= {"rewards": json.dumps(result.rewards), "reward": repr(result.reward)}
        if result.failure:
            sets["failure"] = json.dumps(asdict(result.failure))
            sets["boundary"] = result.failure.boundary
        if keep:
            sets["output"] = bounded(result.output, "null")
            sets["content"] = keys.trajectory(where.job_arn, where.trajectory_id)
        self._change(sets, state="running", removes=("request", "request_key"))

    def note(self, result: Result) -> None:
        """Remember the result in the bucket, because the table does not answer."""
        self.bucket.put(self._note, json.dumps(replace(result, transcript=[]).dump()).encode())

    def noted(self) -> Result | None:
        """The result that a process noted which could not record it; None if none did.

        Raises:
            Unavailable: the bucket does not say.
        """
        try:
            known = self.bucket.get(self._note)
        except NotFound:
            return None
        try:
            return Result.load(json.loads(known))
        except Exception:  # noqa: BLE001 - it was written whole, so this is not what was written
            raise Unavailable("The noted result cannot be read.", retry_after=2) from None

    @property
    def _note(self) -> str:
        where = self.rollout.destination
        return keys.note(where.job_arn, where.trajectory_id, self.rollout.fingerprint)

    def keep(self, result: Result) -> None:
        """Store the trajectory in the bucket, where content is kept at all."""
        if self.settings.storage.record_content == "full":
            self._store(result)

    def kept(self) -> None:
        """Name the trajectory in the row again: it was stored after all."""
        where = self.rollout.destination
        name = keys.trajectory(where.job_arn, where.trajectory_id)
        ours = {"attempt": self.attempt}
        self.table.change(self.pk, keys.ROLLOUT, {"content": name}, only_if=ours)

    def reported(self, result: Result, report: Report) -> None:
        """Remember what became of the report; the rollout is terminal unless it is pending."""
        known: dict[str, Any] = {"delivery": report.delivery, "at": iso(time.time())}
        if report.detail:
            known["detail"] = report.detail
        if report.tries:
            known["tries"] = report.tries
        sets: dict[str, Any] = {"report": json.dumps(known)}
        unkept = () if report.kept else ("content",)
        if report.delivery == "pending":
            # Whoever reported has given up; from here on it is the sweep's, or the next caller's.
            now = time.time()
            sets |= {
                "due_at": iso(now + REPORT_DUE_SECONDS),
                "lease_until": round(now - SKEW_SECONDS, 3),
            }
            self._change(sets, state="scored", removes=unkept)
            return
        # A reward the trainer refused did not count: the rollout failed, whatever it scored.
        refused = report.delivery == "refused"
        sets |= {"state": "failed" if refused else result.status, "ended_at": iso(time.time())}
        fault = result.failure.boundary if result.failure else None
        if refused:
            fault = sets["boundary"] = "trainer"
        if self._change(sets, state="scored", removes=("open_shard", "due_at", *unkept)):
            counted = replace(result, status=sets["state"])
            where = self.rollout.destination
            self.totals.ended(where.job_arn, self.rollout.group, counted, fault=fault)

    def _change(self, sets: Row, *, state: State, removes: tuple[str, ...] = ()) -> bool:
        """Write what is new; False where this very write was made before."""
        ours = {"state": state, "attempt": self.attempt}
        conflict = self.table.change(self.pk, keys.ROLLOUT, sets, removes=removes, only_if=ours)
        if conflict is None:
            return True
        # A durable execution repeats a write it died after: what is there already is no conflict.
        row = conflict.row or self.table.get(self.pk, keys.ROLLOUT)
        if (
            row is None
        ):  # removed under our feet: there is nothing to write to, and nobody took over
            return False
        still_ours = row.get("attempt") == self.attempt
        if not still_ours or _place(row["state"]) < _place(sets.get("state", state)):
            raise AlreadyRunning(
                "Another process has taken this rollout over; this one stops here.", retry_after=1
            )
        return False

    def _store(self, result: Result) -> None:
        where = self.rollout.destination
        document = {
            "schema": SCHEMA,
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
        self.bucket.put(
            keys.trajectory(where.job_arn, where.trajectory_id),
            gzip.compress(json.dumps(document).encode(), compresslevel=5),
            kind="application/json",
            encoding="gzip",
        )


def _place(state: State) -> int:
    return STATES.index(state)


def iso(when: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")


def epoch(text: str) -> float:
    """The epoch seconds that :func:`iso` wrote."""
    return datetime.fromisoformat(text).timestamp()


def fits(text: str) -> bool:
    """Whether a text is small enough for a row, beside what else it holds."""
    return len(text) <= _MAX_INLINE_JSON


def bounded(value: Any, otherwise: str) -> str:
    """A value's JSON, or ``otherwise`` where it is too large for a row or an answer."""
    text = json.dumps(value)
    return text if fits(text) else otherwise
