"""The report: a run as one HTML file that needs no network.

The file is written as it is read: besides the counts (``count_rollouts``) at most one block of
transcripts is in memory, 256 KB of JSON and the rollout that fills it up. Transcripts are embedded
gzipped, a block each; the page unpacks the block it shows. At most 5,000 rollouts or 48 MB of
packed transcripts are embedded, whole groups evenly over the run; the page says so where that
leaves some out.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from devkit.places import ROOT
from devkit.rehearsal.counts import RunCounts, calls_in_text, count_rollouts
from devkit.rehearsal.run_files import ROLLOUTS, RolloutRecord, read_manifest, read_rollouts
from devkit.verdict.job import PLATFORM, Job
from devkit.verdict.model import Numbers, Verdict
from devkit.verdict.readiness import verdict_of
from devkit.verdict.show import estimate, figures, learning_lines, load_lines, spread
from devkit.verdict.templates import PAGE, template

MOST_ROLLOUTS = 5_000
MOST_BYTES = 48_000_000
_BLOCK = 256_000
_LONGEST_TEXT = 50_000
_LONGEST_LINE = 140
_BINS = 20

_SCRIPTS = ("dom", "charts", "transcript", "browse")  # each may use those before it
_UPLOT = ROOT / "functions/console/static/uplot"


def write_report(
    run: Path, html: Path | None = None, job: Job = PLATFORM, *, pass_at: float = 1.0
) -> tuple[Verdict, Path]:
    """Judge a run and write its report.

    Args:
        run: the run's directory.
        html: the report; ``RUN/report.html`` if None.
        pass_at: reward from which on a rollout has passed.
        job: what is to be trained.

    Raises:
        ValueError: the directory holds no run, or a line of it cannot be read.
    """
    manifest = read_manifest(run)
    counted = count_rollouts(read_rollouts(run), pass_at)
    verdict = verdict_of(counted, manifest, job, run=run)
    blocks = _Blocks(run, _chosen(counted))
    styles = f"{(_UPLOT / 'uPlot.min.css').read_text()}\n{(PAGE / 'report.css').read_text()}"
    scripts = [
        f"/*\n{(_UPLOT / 'LICENSE').read_text()}*/\n{(_UPLOT / 'uPlot.iife.min.js').read_text()}",
        *((PAGE / f"{name}.js").read_text() for name in _SCRIPTS),
    ]
    pieces = template("report.html").generate(
        manifest=manifest,
        verdict=verdict,
        measured=list(figures(verdict.numbers)),
        learning=list(learning_lines(verdict)),
        load=list(load_lines(verdict)),
        reward=estimate(verdict.numbers.reward),
        spread=spread,
        key=list(_key(verdict.numbers)),
        policy=_policy(styles, scripts),
        styles=styles,
        scripts=scripts,
        charts=_packed(_charts(counted, verdict, manifest.rollout_timeout)),
        blocks=blocks,
        rollouts_file=ROLLOUTS,
    )
    path = html or run / "report.html"
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", encoding="utf-8") as file:
        file.writelines(pieces)
    unfinished.replace(path)
    return verdict, path


def _key(n: Numbers) -> Iterator[tuple[str, str, str]]:
    """The figures to see first: name, number, remark."""

    def split(text: str) -> tuple[str, str]:
        number, _, interval = text.partition(" (")
        return number, interval.rstrip(")")

    yield "mean reward", *split(estimate(n.reward))
    yield "groups without spread", *split(estimate(n.groups_without_spread, share=True))
    if n.passes:
        yield "pass@1", *split(estimate(n.passes[0].pass_at_k, share=True))
    if n.turns and n.seconds:
        yield "turns", f"{n.turns.median:g}", f"median; most {n.turns.max:g}"
        yield "seconds, p95", f"{n.seconds.p95:.3g}", f"most {n.seconds.max:.3g}"
    yield "failed", f"{n.failed / max(1, n.rollouts):.1%}", f"{n.failed:,} of {n.rollouts:,}"


def _policy(styles: str, scripts: list[str]) -> str:
    """A content security policy under which nothing but our own inline code runs or is fetched."""

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    allowed = " ".join(digest(text) for text in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {digest(styles)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _chosen(counted: RunCounts) -> set[int]:
    """The groups whose transcripts are embedded: all, or as many as fit, evenly over the run."""
    groups = sorted(counted.groups)
    if counted.rollouts <= MOST_ROLLOUTS:
        return set(groups)
    fit = max(1, len(groups) * MOST_ROLLOUTS // counted.rollouts)
    return {groups[place * len(groups) // fit] for place in range(fit)}


@dataclass(slots=True)
class _Blocks:
    """Packs the transcripts block by block, and lists what it has packed."""

    run: Path
    groups: set[int]
    listed: list[list[Any]] = field(default_factory=list[list[Any]])
    packed: int = 0

    def __iter__(self) -> Iterator[str]:
        """The blocks, each as base64 of gzipped JSON."""
        texts: list[str] = []
        size = block = 0
        for record in read_rollouts(self.run):
            if record.group not in self.groups or self.packed > MOST_BYTES:
                continue
            self.listed.append(_entry(record, block, len(texts)))
            texts.append(json.dumps(_transcript(record), ensure_ascii=False))
            size += len(texts[-1])
            if size >= _BLOCK:
                yield self._pack(texts)
                texts, size, block = [], 0, block + 1
        if texts:
            yield self._pack(texts)

    def _pack(self, texts: list[str]) -> str:
        packed = _base64(f"[{','.join(texts)}]")
        self.packed += len(packed)
        return packed

    def index(self) -> str:
        """The list of what was packed; complete once the blocks have been read."""
        return _packed(self.listed)


def _entry(record: RolloutRecord, block: int, place: int) -> list[Any]:
    """A rollout in the list: what it can be found and sorted by."""
    return [
        record.trajectory_id,
        record.group,
        record.member,
        record.reward,
        record.status,
        len(record.turns),
        round(record.seconds, 3),
        sum(turn.usage.get("completion_tokens", 0) for turn in record.turns),
        record.truncated,
        calls_in_text(record) > 0,
        record.sampled == 0,
        _line(record.instance),
        block,
        place,
    ]


def _line(instance: dict[str, Any]) -> str:
    """What tells a problem apart in a list: its first text, or all of it."""
    texts = (value for value in instance.values() if isinstance(value, str))
    line = next(texts, None) or json.dumps(instance, ensure_ascii=False)
    return line[:_LONGEST_LINE]


def _transcript(record: RolloutRecord) -> Any:
    """A rollout as the page shows it; parameters only where a turn changed them."""
    document = record.model_dump(mode="json", exclude={"schema_"})
    before: Any = None
    for turn in document["turns"]:
        params, turn["params"] = turn["params"], None
        if params != before:
            turn["params"] = before = params
    return _fitted(document)


def _fitted(value: Any) -> Any:
    """The same with overlong texts cut, saying so."""
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        rest = len(value) - _LONGEST_TEXT
        return f"{value[:_LONGEST_TEXT]}\n[{rest:,} characters more in {ROLLOUTS}]"
    if isinstance(value, dict):
        return {key: _fitted(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_fitted(item) for item in cast("list[Any]", value)]
    return value


def _charts(counted: RunCounts, verdict: Verdict, timeout: float) -> dict[str, Any]:
    """The charts' data; histograms are counted here, so that the page stays small."""
    groups = [
        [number, group.mean, group.deviation, min(group.rewards), max(group.rewards)]
        for number, group in counted.groups.items()
        if group.mean is not None
    ]
    groups.sort(key=lambda row: (row[1], row[0]))
    return {
        "rewards": _histogram(counted.rewards, low=0.0, high=1.0),
        "turns": _histogram(counted.turns, whole=True),
        "seconds": _histogram(counted.seconds),
        "tokens": _histogram(counted.completion_tokens, whole=True),
        "timeout": timeout,
        "groups": groups,
        "passes": [
            [
                p.k,
                *(p.pass_at_k.value, p.pass_at_k.low, p.pass_at_k.high),
                *(p.pass_hat_k.value, p.pass_hat_k.low, p.pass_hat_k.high),
            ]
            for p in verdict.numbers.passes
        ],
    }


def _histogram(
    values: Any, *, low: float | None = None, high: float | None = None, whole: bool = False
) -> dict[str, Any] | None:
    """Middles of the bars, their counts and their width.

    Args:
        values: what is counted.
        low: lowest middle, if no value is lower.
        high: highest middle, if no value is higher.
        whole: bars stand at whole numbers.
    """
    if not values:
        return None
    first, last = float(np.min(values)), float(np.max(values))
    first = first if low is None else min(low, first)
    last = last if high is None else max(high, last)
    width = (last - first) / _BINS
    if whole:
        width = float(max(1, np.ceil(width)))
    elif width <= 0:
        width = abs(first) / _BINS or 1.0
    bars = round((last - first) / width) + 1
    edges = first - width / 2 + width * np.arange(bars + 1)
    edges[-1] = max(edges[-1], last)
    counts = cast("NDArray[np.int64]", np.histogram(values, edges)[0])
    return {
        "middles": [float(edge + width / 2) for edge in edges[:-1]],
        "counts": [int(count) for count in counts],
        "width": float(width),
    }


def _packed(value: Any) -> str:
    return _base64(json.dumps(value, ensure_ascii=False))


def _base64(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)).decode()
