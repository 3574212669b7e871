"""``make truth``: detect and train every environment of the zoo, and hold what is said to the curves.

Writes docs/truth.md and a plot unless ``--cases`` chooses some. Exit code 1 where a fault was missed, a
control was blamed, or a control did not learn.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.truth.zoo import CASES, Case
from devkit.detectors.bench import Bench
from devkit.detectors.cheap import CHEAP
from devkit.detectors.detect import Fault, detect
from devkit.emulator.job_runtime import PolicyFunction, SampleRequest
from devkit.rehearsal.in_process import InProcess
from devkit.training.grpo import SoftmaxPolicy
from devkit.training.outcome import Outcome, outcome_of
from devkit.training.trainer import Step, train

_ROOT = Path(__file__).resolve().parents[2]
_STEPS, _BATCH, _GROUP = 60, 4, 6
# Seldom right at first, as a model is before it is trained.
_SKILL = 0.05


@dataclass(frozen=True)
class Comparison:
    """What was said of one environment, and what became of it."""

    case: Case
    faults: list[Fault]
    outcome: Outcome
    steps: list[Step]

    @property
    def right(self) -> bool:
        """Whether the planted fault, and nothing on a control, was found."""
        codes = {fault.code for fault in self.faults}
        return self.case.fault in codes if self.case.fault else not codes


def compare(case: Case, steps: int = _STEPS) -> Comparison:
    """Detect, then train."""
    bench = Bench(case.agent, case.rows, case.gold)
    faults = detect(bench)
    policy = SoftmaxPolicy(_behaviours(case, bench), shares={"gold": _SKILL}, rate=1.5, seed=7)
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
    return Comparison(case, faults, outcome_of(course), course)


def _behaviours(case: Case, bench: Bench) -> dict[str, PolicyFunction]:
    """Gold, what the case knows, and every cheap behaviour that can be played on each row."""
    found: dict[str, PolicyFunction] = {"gold": _scripted(case.gold)}
    found |= {name: _scripted(script) for name, script in case.behaviours.items()}
    places = {_key(row): place for place, row in enumerate(case.rows)}
    for cheap in CHEAP:
        if any(cheap.make(bench, row) for row in range(len(case.rows))):
            found[cheap.name] = _cheap(cheap, bench, places)
    return found


def _scripted(script: Any) -> PolicyFunction:
    return lambda asked: script(asked.instance, asked.messages)


def _cheap(cheap: Any, bench: Bench, places: dict[str, int]) -> PolicyFunction:
    def policy(asked: SampleRequest) -> Any:
        script = cheap.make(bench, places[_key(asked.instance)]) or bench.gold
        return script(asked.instance, asked.messages)

    return policy


def _key(instance: dict[str, Any]) -> str:
    return repr(sorted(instance.items()))


def table(compared: Sequence[Comparison]) -> str:
    """The table of docs/truth.md."""
    lines = [
        "| environment | planted | found | truth before → after | reward before → after | what grew |",
        "|---|---|---|---|---|---|",
    ]
    for each in compared:
        codes = ", ".join(dict.fromkeys(fault.code for fault in each.faults)) or "nothing"
        outcome = each.outcome
        name, before, after = outcome.grew
        lines.append(
            f"| {each.case.name} | {each.case.fault or 'nothing'} | {codes} | {_ends(outcome.success)} | "
            f"{_ends(outcome.reward)} | {name} {before:.0%} → {after:.0%} |"
        )
    return "\n".join(lines)


def figures(compared: Sequence[Comparison]) -> dict[str, int]:
    """How many faults were caught, controls left in peace, and controls that learned."""
    faulty = [each for each in compared if each.case.fault]
    healthy = [each for each in compared if not each.case.fault]
    return {
        "faulty": len(faulty),
        "caught": sum(each.right for each in faulty),
        "controls": len(healthy),
        "false_alarms": sum(not each.right for each in healthy),
        "controls_learned": sum(each.outcome.shown == "learned" for each in healthy),
    }


def _ends(ends: tuple[float, float] | None) -> str:
    return "none" if ends is None else f"{ends[0]:.2f} → {ends[1]:.2f}"


def plot(compared: Sequence[Comparison], path: Path) -> None:
    """Truth and reward over the steps, an environment a panel."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "rollout"
    across = 5
    down = -(-len(compared) // across)
    figure, panels = plt.subplots(
        down, across, figsize=(2.6 * across, 1.7 * down), sharex=True, sharey=True
    )
    for panel, each in zip(panels.flat, compared, strict=False):
        steps = [step.step for step in each.steps]
        panel.plot(steps, [step.reward for step in each.steps], color="#999999", lw=1)
        panel.plot(steps, [step.success for step in each.steps], color="#1f77b4", lw=1.5)
        mark = "" if not each.case.fault else ("  found" if each.right else "  MISSED")
        panel.set_title(each.case.name + mark, fontsize=8)
        panel.set_ylim(-0.05, 1.6)
    for panel in panels.flat[len(compared) :]:
        panel.axis("off")
    figure.suptitle("truth (blue) and reward (grey) over steps of training", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the zoo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", default="", help="names, with commas (all of them)")
    parser.add_argument("--steps", type=int, default=_STEPS, help=f"of training ({_STEPS})")
    options = parser.parse_args(arguments)
    names = [name for name in options.cases.split(",") if name]
    unknown = set(names) - {case.name for case in CASES}
    if unknown:
        parser.error(f"there is no case {min(unknown)}")
    began = time.monotonic()
    compared: list[Comparison] = []
    for case in CASES:
        if not names or case.name in names:
            compared.append(compare(case, options.steps))
            right = "right" if compared[-1].right else "WRONG"
            print(f"{case.name:<20} {right:<6} {compared[-1].outcome.says}")
    counted, seconds = figures(compared), time.monotonic() - began
    print(table(compared))
    print(counted, f"{seconds:.0f} s")
    if not names:
        _write(compared, counted)
    well = (
        counted["caught"] == counted["faulty"]
        and not counted["false_alarms"]
        and counted["controls_learned"] == counted["controls"]
    )
    return 0 if well else 1


def _write(compared: Sequence[Comparison], counted: dict[str, int]) -> None:
    path = _ROOT / "docs/truth.md"
    before, mark, _ = path.read_text().partition("<!-- table -->\n")
    says = (
        f"{counted['caught']} of {counted['faulty']} planted faults found, "
        f"{counted['false_alarms']} of {counted['controls']} controls blamed, "
        f"{counted['controls_learned']} of {counted['controls']} controls learned.\n\n"
    )
    path.write_text(before + mark + says + table(compared) + "\n")
    plot(compared, _ROOT / "docs/images/truth.svg")


if __name__ == "__main__":
    sys.exit(main())
