"""What each page shows: read the query, ask the archive, name the template."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console import queries
from console.transcript import MOST_SHOWN, PER_PAGE, side_by_side, turns_of
from rollout.errors import NotFound, TooLarge
from rollout.settings import Settings
from rollout.storage.archive import Archive
from rollout.storage.record import STATES, Record
from rollout.storage.totals import Totals, is_flat

# A template with its context, or an answer as it is.
Answer = tuple[str, dict[str, Any]] | Response

_JOBS, _ROLLOUTS, _GROUPS, _MEMBERS = 20, 50, 50, 32
# Bytes of a stored trajectory that Lambda can hand out: 6 MB of answer, in base64.
_LARGEST = 4_000_000


class Views:
    """The pages.

    Args:
        archive: what they show.
        settings: the stack's.
    """

    def __init__(self, archive: Callable[[], Archive], settings: Callable[[], Settings]) -> None:
        self._archive = archive
        self._settings = settings

    def jobs(self, request: Request) -> Answer:
        """Every job with its figures, the newest first."""
        begin = queries.whole(request.query_params, "from", 100_000)
        jobs, cut = self._archive().jobs()
        more = str(begin + _JOBS) if len(jobs) > begin + _JOBS else ""
        page = jobs[begin : begin + _JOBS]
        running = self._archive().in_flight()
        shown = [(job, self._archive().totals(job, start, running[job])) for job, start in page]
        busy = any(totals.in_flight for _, totals in shown)
        return "jobs.html", {"jobs": shown, "more": more, "cut": cut, "begin": begin, "busy": busy}

    def job(self, request: Request) -> Answer:
        """One job: its figures, charts and rollouts."""
        query = request.query_params
        job, asked = queries.job_of(query), queries.Filter.of(query)
        totals = self._archive().job(job)
        cursor = query.get("cursor", "")
        page = self._archive().rollouts(
            job,
            limit=_ROLLOUTS,
            keep=asked.keeps,
            since=asked.since,
            until=asked.until,
            cursor=cursor,
        )
        kept = {
            name: query.get(name, "")
            for name in ("state", "low", "high", "agent", "since", "until")
        }
        return "job.html", {
            "job": job,
            "totals": totals,
            "page": page,
            "filter": asked,
            "kept": kept,
            "cursor": cursor,
            "states": STATES,
            "passing": self._settings().storage.pass_reward,
            "faults": _bars(totals),
        }

    def series(self, request: Request) -> Answer:
        """A job's figures over time, for its charts."""
        job = queries.job_of(request.query_params)
        buckets = self._archive().series(job)
        columns: dict[str, list[float | None]] = {
            "time": [b.start for b in buckets],
            "mean": [b.mean_reward for b in buckets],
            "low": [_less(b.mean_reward, b.reward_spread) for b in buckets],
            "high": [_less(b.mean_reward, b.reward_spread, -1) for b in buckets],
            "passed": [b.share(b.passed, b.rewarded) for b in buckets],
            "turns": [b.share(b.turns, b.ended) for b in buckets],
            "seconds": [b.share(b.milliseconds, b.ended * 1000) for b in buckets],
            "ended": [b.ended for b in buckets],
            "failed": [b.failed for b in buckets],
        }
        width = buckets[-1].width if buckets else 1
        headers = {"Cache-Control": "no-store"}
        return JSONResponse({"width": width, **columns}, headers=headers)

    def groups(self, request: Request) -> Answer:
        """A job's groups by key, with the spread of each."""
        job = queries.job_of(request.query_params)
        cursor = (
            queries.group_of(request.query_params, "cursor")
            if "cursor" in request.query_params
            else ""
        )
        totals = self._archive().job(job)
        rows, more = self._archive().groups(job, limit=_GROUPS, cursor=cursor)
        shown = [
            (
                row["sk"],
                Totals.of(row),
                is_flat(row["rewarded"], row.get("reward_sum", 0), row.get("reward_squares", 0)),
            )
            for row in rows
        ]
        return "groups.html", {"job": job, "totals": totals, "groups": shown, "more": more}

    def group(self, request: Request) -> Answer:
        """The rollouts of one problem; two of them can be compared."""
        job, group = queries.job_of(request.query_params), queries.group_of(request.query_params)
        members = self._archive().members(job, group, limit=_MEMBERS)
        if not members:
            raise NotFound("No rollout of this group was accepted here, or its retention is over.")
        return "group.html", {"job": job, "group": group, "members": members, "most": _MEMBERS}

    def trajectory(self, request: Request) -> Answer:
        """One rollout: every turn, its reward, metrics and report."""
        query = request.query_params
        job, begin = queries.job_of(query), queries.whole(query, "from", 1_000_000)
        record = self._archive().get(job, queries.text(query, "id"))
        turns, document, missing = self._turns(record)
        siblings = self._archive().members(job, str(record.row["group"]), limit=_MEMBERS)
        return "trajectory.html", {
            "job": job,
            "record": record,
            "row": record.row,
            "result": record.result(),
            "report": json.loads(record.row.get("report", "null")),
            "instance": json.dumps(
                document.get("request", {}).get("instance"), indent=2, ensure_ascii=False
            ),
            "turns": turns[begin : begin + PER_PAGE],
            "all": len(turns),
            "begin": begin,
            "more": str(begin + PER_PAGE) if len(turns) > begin + PER_PAGE else "",
            "missing": missing,
            "siblings": [s for s in siblings if s.trajectory_id != record.trajectory_id],
            "most": MOST_SHOWN,
        }

    def raw(self, request: Request) -> Answer:
        """A trajectory's JSON, to keep."""
        query = request.query_params
        record = self._archive().get(queries.job_of(query), queries.text(query, "id"))
        content = self._archive().content(record)
        if len(content) > _LARGEST:
            key = record.row["content"]
            raise TooLarge(
                f"The trajectory is too large to be handed out here; it is {key} in the bucket."
            )
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in record.trajectory_id)
        headers = {
            "Content-Disposition": f'attachment; filename="{name[:100]}.json"',
            "Content-Encoding": "gzip",
            "Cache-Control": "no-store",
        }
        return Response(content, media_type="application/json", headers=headers)

    def compare(self, request: Request) -> Answer:
        """Two rollouts of a group side by side."""
        query = request.query_params
        job = queries.job_of(query)
        sides: list[dict[str, Any]] = []
        for name in ("a", "b"):
            record = self._archive().get(job, queries.text(query, name))
            turns, _, missing = self._turns(record)
            sides.append(
                {"record": record, "result": record.result(), "turns": turns, "missing": missing}
            )
        pairs = list(side_by_side(sides[0]["turns"], sides[1]["turns"]))
        same = len({side["record"].row["group"] for side in sides}) == 1
        return "compare.html", {
            "job": job,
            "sides": sides,
            "pairs": pairs[:PER_PAGE],
            "cut": len(pairs) > PER_PAGE,
            "same_group": same,
            "most": MOST_SHOWN,
        }

    def _turns(self, record: Record) -> tuple[list[Any], dict[str, Any], str]:
        """The turns and the document they are from; or why there are none to show."""
        try:
            document = self._archive().trajectory(record)
        except (NotFound, TooLarge) as error:
            return [], {}, error.detail
        return turns_of(document), document, ""


def _bars(totals: Totals) -> list[tuple[str, int, float]]:
    """Failures by boundary: name, count and length of the bar in per cent of the longest."""
    most = max(totals.faults.values(), default=1)
    ordered = sorted(totals.faults.items(), key=lambda fault: -fault[1])
    return [(name, count, 100 * count / most) for name, count in ordered]


def _less(value: float | None, by: float | None, sign: int = 1) -> float | None:
    return None if value is None or by is None else value - sign * by
