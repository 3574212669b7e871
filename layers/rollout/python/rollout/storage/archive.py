"""What was remembered, for reading: jobs, their totals and rollouts, groups, trajectories.

Every answer is a page by key. Nothing here scans, and nothing reads more of the table because the table
holds more: a job's figures come from its totals, its rollouts from ``by_job`` a page at a time.
"""

from __future__ import annotations

import base64
import heapq
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from rollout.aws.bucket import Bucket
from rollout.aws.table import Row, Table
from rollout.errors import BadQuery, NotFound, TooLarge
from rollout.settings import Settings
from rollout.storage import keys
from rollout.storage.record import Record
from rollout.storage.records import Records
from rollout.storage.totals import Totals, added

# Jobs that one answer lists; more take another page.
_JOBS = 1_000
# Rows read of one shard at first, and at once later, where a filter lets few through.
_CHUNK, _LARGEST_CHUNK = 8, 128
_FIRST, _LAST = "0000", "9999"
# Bytes a trajectory may have when it is shown; the stored object is handed out whatever its size.
_MOST_SHOWN = 64_000_000

Keep = Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, where to go on, and how many rows were looked at for them.

    Args:
        cursor: opaque; empty at the end.
    """

    rows: list[dict[str, Any]]
    cursor: str
    looked_at: int


class Archive:
    """Reads what :class:`~rollout.storage.records.Records` has written.

    Args:
        settings: names of table and bucket.
        most_read: rows looked at for one page of rollouts.
    """

    def __init__(self, settings: Settings, *, most_read: int = 4_000) -> None:
        self._most_read = most_read
        self._table = Table(settings)
        self._bucket = Bucket(settings)
        self._records = Records(settings)

    def jobs(self) -> tuple[list[tuple[str, float]], bool]:
        """The jobs and when each began (epoch seconds), the newest first, and whether there are more."""
        rows, more = self._table.page("pk", keys.JOBS, limit=_JOBS)
        jobs = [(str(row["sk"]), float(row["start"])) for row in rows]
        return sorted(jobs, key=lambda job: -job[1]), more is not None

    def in_flight(self) -> Counter[str]:
        """How many rollouts of each job have not ended, as the index knows it a moment later."""
        return Counter(
            keys.job_in(pk)
            for shard in range(keys.SHARDS)
            for pk in self._table.open(keys.open_shard(shard))
        )

    def job(self, job: str) -> Totals:
        """A job's totals.

        Args:
            job: its ARN, or ``evaluation`` for rollouts without a job.

        Raises:
            NotFound: no rollout of it was accepted here.
        """
        row = self._table.get(keys.JOBS, job)
        if row is None:
            raise NotFound("No rollout of this job was accepted here, or its retention is over.")
        return self.totals(job, float(row["start"]), self.in_flight()[job])

    def totals(self, job: str, start: float, in_flight: int) -> Totals:
        """The totals of a job of which it is known when it began and what is in flight."""
        whole: Row = {"start": start, "in_flight": in_flight}
        for bucket in self._buckets(job):
            whole = added(whole, bucket)
        return Totals.of(whole)

    def series(self, job: str) -> list[Totals]:
        """A job's totals over time, in some sixty buckets of one width."""
        return rebin(self._buckets(job))

    def _buckets(self, job: str) -> list[Row]:
        """Every bucket of a job, of all widths; one moment may have several."""
        return [
            row for part in range(keys.PARTS) for row in self._table.rows(keys.totals(job, part))
        ]

    def rollouts(
        self,
        job: str,
        *,
        limit: int,
        keep: Keep = lambda _: True,
        since: str = "",
        until: str = "",
        cursor: str = "",
    ) -> Page:
        """A page of a job's rollouts, the newest first.

        Args:
            keep: which rows to list. The search ends after ``most_read`` rows; the cursor goes on.
            since: earliest ``accepted_at``, ISO 8601 as :func:`~rollout.storage.record.iso` writes it.
            until: latest.
            cursor: where the page before ended.

        Raises:
            BadQuery: it is none of ours.
        """
        low, high = since or _FIRST, until or _LAST
        begin = _Begin.read(cursor)
        if begin is not None and begin.accepted_at < low:
            return Page([], "", 0)
        shards = [self._shard(job, shard, low, high, begin) for shard in range(keys.SHARDS)]
        merged = heapq.merge(*shards, key=lambda row: _Descending(str(row["accepted_at"])))
        rows: list[dict[str, Any]] = []
        looked_at = 0
        row: dict[str, Any] | None = None
        for row in merged:
            looked_at += 1
            if keep(row):
                rows.append(row)
            if len(rows) == limit or looked_at == self._most_read:
                more = next(merged, None) is not None
                return Page(rows, _Begin.of(row) if more else "", looked_at)
        return Page(rows, "", looked_at)

    def get(self, job: str, trajectory_id: str) -> Record:
        """A rollout's record.

        Raises:
            NotFound: there is none.
        """
        return self._records.get(keys.arn_of(job), trajectory_id)

    def members(self, job: str, group: str, *, limit: int) -> list[Record]:
        """The newest rollouts of a group."""
        found_keys, _ = self._table.page(
            "group_key", keys.group(job, group), index="by_group", newest_first=True, limit=limit
        )
        found: list[Record] = []
        for key in reversed(found_keys):
            try:
                found.append(self.get(job, keys.trajectory_of(str(key["pk"]), keys.arn_of(job))))
            except NotFound:  # its retention ended between the two reads
                continue
        return found

    def groups(self, job: str, *, limit: int, cursor: str = "") -> tuple[list[dict[str, Any]], str]:
        """A page of a job's groups by key: ``sk`` is the group, sums as totals keep them."""
        found: list[dict[str, Any]] = []
        begin = keys.groups(job, cursor) if cursor else ""
        for part in range(keys.PARTS):
            pk = keys.groups_part(job, part)
            if pk < begin:
                continue
            after = {"pk": pk, "sk": cursor} if pk == begin else None
            # One more than is shown says whether there are more, in whatever part.
            rows, _ = self._table.page("pk", pk, limit=limit + 1 - len(found), after=after)
            found += rows
            if len(found) > limit:
                return found[:limit], str(found[limit - 1]["sk"])
        return found, ""

    def content(self, record: Record) -> bytes:
        """A trajectory as it is stored: gzipped JSON, see docs/records.md.

        Raises:
            NotFound: none was kept, or its retention is over.
        """
        key = record.row.get("content")
        if key is None:
            raise NotFound(
                "The trajectory of this rollout is not kept: it has not ended, or the stack keeps ids "
                "and numbers only (RecordContent=numbers)."
            )
        try:
            return self._bucket.get(key)
        except NotFound:
            raise NotFound("The trajectory's retention is over, or it was never stored.") from None

    def trajectory(self, record: Record) -> dict[str, Any]:
        """A trajectory's document.

        Raises:
            NotFound: as :meth:`content`.
            TooLarge: it is too large to be shown.
        """
        reader = zlib.decompressobj(wbits=31)
        text = reader.decompress(self.content(record), _MOST_SHOWN)
        if reader.unconsumed_tail:
            raise TooLarge("The trajectory is too large to be shown; download it instead.")
        return json.loads(text)

    def _shard(
        self, job: str, shard: int, low: str, high: str, begin: _Begin | None
    ) -> Iterator[dict[str, Any]]:
        """One shard's rows from the cursor on, read in small chunks as they are asked for."""
        name, after, chunk = keys.job_shard(job, shard), None, _CHUNK
        if begin is not None:
            high, after = begin.within(shard, high, name, job)
        while low <= high:
            rows, after = self._table.page(
                "job_shard",
                name,
                index="by_job",
                between=("accepted_at", low, high),
                newest_first=True,
                limit=chunk,
                after=after,
            )
            yield from rows
            chunk = min(2 * chunk, _LARGEST_CHUNK)
            if after is None:
                return


@dataclass(frozen=True, slots=True)
class _Begin:
    """Where a page begins: after one row in the order of time, shard and index.

    Rollouts accepted in the same millisecond are ordered by their shard, and within it as the index
    has them; the row itself names the place in its shard.
    """

    accepted_at: str
    trajectory_id: str

    @classmethod
    def of(cls, row: Row) -> str:
        """The cursor that goes on after a row."""
        place = json.dumps([row["accepted_at"], row["trajectory_id"]])
        return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, cursor: str) -> _Begin | None:
        """The place a cursor names; None without one."""
        if not cursor:
            return None
        try:
            place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            accepted_at, trajectory_id = cast("list[str]", place)
            exact = datetime.fromisoformat(accepted_at).isoformat(timespec="milliseconds")
            if (
                exact == accepted_at
                and accepted_at[:2] == "20"
                and len(trajectory_id.encode()) < 1_000
            ):
                return cls(accepted_at, trajectory_id)
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass
        raise BadQuery("The page's cursor cannot be read; begin at the first page.")

    def within(
        self, shard: int, high: str, name: str, job: str
    ) -> tuple[str, dict[str, Any] | None]:
        """Where a shard goes on: its highest time, and the key to go on after."""
        own = keys.shard_of(self.trajectory_id)
        if shard == own and self.accepted_at <= high:
            pk = keys.rollout(keys.arn_of(job), self.trajectory_id)
            key = {"pk": pk, "sk": keys.ROLLOUT, "job_shard": name, "accepted_at": self.accepted_at}
            return high, key
        last = datetime.fromisoformat(self.accepted_at)
        if shard < own:  # had its turn within this millisecond
            last -= timedelta(milliseconds=1)
        return min(high, last.isoformat(timespec="milliseconds")), None


class _Descending(str):
    """Text in descending order."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def rebin(buckets: list[Row], most: int = 60) -> list[Totals]:
    """Buckets of several widths as at most about ``most`` of one width, in order of time."""
    starts = [float(row["start"]) for row in buckets]
    width = max((int(row["width"]) for row in buckets), default=1)
    span = max(starts, default=0) - min(starts, default=0)
    width *= next(
        times for times in (1, 2, 5, 10, 20, 50, 1_000_000) if span <= width * times * most
    )
    bins: dict[int, dict[str, Any]] = {}
    for row in buckets:
        start = int(float(row["start"]) // width) * width
        bins[start] = added(bins.get(start, {"start": start, "width": width}), row)
    return [Totals.of(bins[start]) for start in sorted(bins)]
