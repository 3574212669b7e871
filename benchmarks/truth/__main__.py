"""``make truth``: detect and train every environment of the zoo, and hold what is said to the curves.

Writes docs/truth.md and a plot unless ``--cases`` chooses some. Exit code 1 where a fault of the zoo was
missed, a control was blamed, or a control did not learn. What was written after the detectors, and is not
tuned for, is told apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.truth.more import MORE
from benchmarks.truth.tables import Comparison, page, plot
from benchmarks.truth.unseen import UNSEEN
from benchmarks.truth.zoo import CASES, Case
from devkit.detectors.bench import Bench
from devkit.detectors.cheap import CHEAP
from devkit.detectors.data import search_rows
from devkit.detectors.detect import detect
from devkit.detectors.fault import Fault
from devkit.detectors.found import write_faults
from devkit.detectors.played import search_run
from devkit.emulator.job_runtime import PolicyFunction, SampleRequest
from devkit.policies.probes import probe
from devkit.rehearsal.in_process import PARAMS, InProcess
from devkit.rehearsal.play import play, tasks_of
from devkit.rehearsal.run_files import Manifest, append_rollout, read_rollouts, write_manifest
from devkit.training.grpo import SoftmaxPolicy
from devkit.training.outcome import outcome_of
from devkit.training.trainer import train
from devkit.verdict.readiness import judge
from rollout.agent import Agent

SHOWN = (*CASES, *MORE)
_ROOT = Path(__file__).resolve().parents[2]
_STEPS, _BATCH, _GROUP = 60, 4, 6
# Seldom right at first, as a model is before it is trained.
_SKILL = 0.05
# Probes a policy may play besides; the others say nothing of use, or too much.
_PROBES = ("copy-prompt", "refusal", "injection")
# Of the rehearsal: as a model that is worth training.
_REHEARSED = 0.3


def compare(case: Case, steps: int = _STEPS) -> Comparison:
    """Detect, then train."""
    bench = Bench(case.agent, case.rows, case.gold)
    behaviours = behaviours_of(case, bench)
    found = [*detect(bench), *search_rows(enumerate(case.rows), enumerate(case.validation))]
    level, in_run = rehearsed(case, bench, behaviours)
    faults = [*found, *in_run]
    policy = SoftmaxPolicy(behaviours, shares={"gold": _SKILL}, rate=1.5, seed=7)
    course = list(
        train(
            InProcess(case.agent, policy.sample),
            policy,
            case.rows,
            steps=steps,
            batch_size=_BATCH,
            group_size=_GROUP,
            success="truth",
            concurrency=1,
        )
    )
    return Comparison(case, faults, level, outcome_of(course), course)


def rehearsed(
    case: Case, bench: Bench, behaviours: dict[str, PolicyFunction]
) -> tuple[str, list[Fault]]:
    """Level of the verdict, and faults, of a rehearsal by a policy that solves some of the problems."""
    policy = SoftmaxPolicy(behaviours, shares={"gold": _REHEARSED} | _mislead(case), seed=3)
    target = InProcess(case.agent, policy.sample)
    agent = Agent(case.name, case.agent)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        manifest = Manifest(
            name="truth", agent=case.name, dataset="", dataset_sha256="", rows=len(case.rows),
            group_size=_GROUP, policy="softmax", mode="inline", **PARAMS, seed=3, rollout_timeout=600,
            started_at="",
        )  # fmt: skip
        write_manifest(run, manifest)
        tasks = tasks_of(enumerate(case.rows), _GROUP, name="truth")
        for record in play(target, tasks, concurrency=1):
            append_rollout(run, record)
        faults = search_run(read_rollouts(run), manifest, agent=agent, bench=bench)
        write_faults(run, faults)
        return judge(run).level, faults


def _mislead(case: Case) -> dict[str, float]:
    """The share of a behaviour that is right where gold is not."""
    return {"really": 0.6} if "really" in case.behaviours else {}


def behaviours_of(case: Case, bench: Bench) -> dict[str, PolicyFunction]:
    """Gold, what the case knows, and every cheap behaviour that can be played on each row."""
    found: dict[str, PolicyFunction] = {"gold": _scripted(case.gold)}
    found |= {name: _scripted(script) for name, script in case.behaviours.items()}
    places = {_key(row): place for place, row in enumerate(case.rows)}
    for cheap in CHEAP:
        if any(cheap.make(bench, row) for row in range(len(case.rows))):
            found[cheap.name] = _cheap(cheap, bench, places)
    return found | {f"probe:{name}": probe(name) for name in _PROBES}


def _scripted(script: Any) -> PolicyFunction:
    return lambda asked: script(asked.instance, asked.messages)


def _cheap(cheap: Any, bench: Bench, places: dict[str, int]) -> PolicyFunction:
    def policy(asked: SampleRequest) -> Any:
        script = cheap.make(bench, places[_key(asked.instance)]) or bench.gold
        return script(asked.instance, asked.messages)

    return policy


def _key(instance: dict[str, Any]) -> str:
    return repr(sorted(instance.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the zoo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", default="", help="names, with commas (all of them)")
    parser.add_argument("--steps", type=int, default=_STEPS, help=f"of training ({_STEPS})")
    options = parser.parse_args(arguments)
    names = [name for name in options.cases.split(",") if name]
    unknown = set(names) - {case.name for case in (*SHOWN, *UNSEEN)}
    if unknown:
        parser.error(f"there is no case {min(unknown)}")
    began = time.monotonic()
    compared, unseen = (
        [_said(compare(case, options.steps)) for case in cases if not names or case.name in names]
        for cases in (SHOWN, UNSEEN)
    )
    print(page(compared, unseen))
    print(f"{time.monotonic() - began:.0f} s")
    if not names:
        _write(compared, unseen)
    return 0 if all(each.right and each.learned_if_healthy for each in compared) else 1


def _said(each: Comparison) -> Comparison:
    right = "right" if each.right else "WRONG"
    print(f"{each.case.name:<24} {right:<6} {each.level:<10} {each.outcome.says}", flush=True)
    return each


def _write(compared: Sequence[Comparison], unseen: Sequence[Comparison]) -> None:
    path = _ROOT / "docs/truth.md"
    before, mark, _ = path.read_text().partition("<!-- table -->\n")
    path.write_text(before + mark + page(compared, unseen))
    plot(compared, _ROOT / "docs/images/truth.svg")


if __name__ == "__main__":
    sys.exit(main())
