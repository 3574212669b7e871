"""What the zoo came to, as tables and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.truth.zoo import Case
from devkit.detectors.fault import Fault
from devkit.training.outcome import Outcome
from devkit.training.trainer import Step


@dataclass(frozen=True)
class Comparison:
    """What was said of one environment, and what became of it.

    Args:
        faults: what the detectors found, without a model and in a rehearsal of the untrained policy.
        level: of the verdict on that rehearsal.
        outcome: of training.
    """

    case: Case
    faults: list[Fault]
    level: str
    outcome: Outcome
    steps: list[Step]

    @property
    def codes(self) -> list[str]:
        """The faults and doubts that were found, each once."""
        return list(dict.fromkeys(f.code for f in self.faults if f.weight != "note"))

    @property
    def right(self) -> bool:
        """Whether the planted fault, and nothing on a control, was found."""
        return self.case.fault in self.codes if self.case.fault else not self.codes

    @property
    def ready(self) -> bool:
        """Whether a user would be told to go on."""
        return self.level != "not ready" and not self.codes

    @property
    def learned_if_healthy(self) -> bool:
        """Whether a control learned; true of what is no control."""
        return bool(self.case.fault) or self.outcome.shown == "learned"


def figures(compared: Sequence[Comparison]) -> dict[str, int]:
    """How many faults were caught, controls left in peace, and who was called ready."""
    faulty = [each for each in compared if each.case.fault]
    healthy = [each for each in compared if not each.case.fault]
    return {
        "faulty": len(faulty),
        "caught": sum(each.right for each in faulty),
        "faulty_called_ready": sum(each.ready for each in faulty),
        "controls": len(healthy),
        "false_alarms": sum(not each.right for each in healthy),
        "controls_called_ready": sum(each.ready for each in healthy),
        "controls_learned": sum(each.outcome.shown == "learned" for each in healthy),
    }


def page(compared: Sequence[Comparison], unseen: Sequence[Comparison]) -> str:
    """What stands in docs/truth.md below its mark."""
    parts = [_says(compared), table(compared), "", "## By detector", "", detectors(compared)]
    if unseen:
        parts += ["", "## Written afterwards", "", _says(unseen), table(unseen)]
    return "\n".join(parts) + "\n"


def _says(compared: Sequence[Comparison]) -> str:
    counted = figures(compared)
    return (
        f"{counted['caught']} of {counted['faulty']} planted faults found; "
        f"{counted['faulty_called_ready']} of them called ready. {counted['false_alarms']} of "
        f"{counted['controls']} controls blamed; {counted['controls_called_ready']} called ready, "
        f'{counted["controls_learned"]} learned. Precision of "ready" '
        f"{_share(counted['controls_called_ready'], counted['faulty_called_ready'])}, recall "
        f"{counted['controls_called_ready']} of {counted['controls']}.\n"
    )


def _share(right: int, wrong: int) -> str:
    return f"{right} of {right + wrong}"


def table(compared: Sequence[Comparison]) -> str:
    """Every environment: what is planted, what was said, what training made of it."""
    lines = [
        "| environment | planted | found | verdict | truth | reward | what grew |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in compared:
        outcome, found = each.outcome, ", ".join(each.codes) or "nothing"
        verdict = "ready" if each.ready else "not ready" if each.level == "not ready" else "faults"
        cells = (each.case.name, each.case.fault or "nothing", found, verdict)
        curves = (_ends(outcome.success), _ends(outcome.reward), _grew(outcome.grew))
        lines.append(f"| {' | '.join((*cells, *curves))} |")
    return "\n".join(lines)


def detectors(compared: Sequence[Comparison]) -> str:
    """Every detector: how often its fault was planted and found, and where else it spoke."""
    lines = [
        "| detector | planted | found | on other faults, too | on controls |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(map(str, row))} |" for row in _by_detector(compared)]
    return "\n".join(lines)


def _by_detector(compared: Sequence[Comparison]) -> Iterator[tuple[str, int, int, int, int]]:
    codes = {each.case.fault for each in compared} | {c for each in compared for c in each.codes}
    for code in sorted(codes - {""}):
        own = [each for each in compared if each.case.fault == code]
        others = [each for each in compared if each.case.fault not in ("", code)]
        healthy = [each for each in compared if not each.case.fault]
        yield (
            code,
            len(own),
            sum(code in each.codes for each in own),
            sum(code in each.codes for each in others),
            sum(code in each.codes for each in healthy),
        )


def _grew(grew: tuple[str, float, float] | None) -> str:
    return "" if grew is None else f"{grew[0]} {grew[1]:.0%} → {grew[2]:.0%}"


def _ends(ends: tuple[float, float] | None) -> str:
    return "none" if ends is None else f"{ends[0]:.2f} → {ends[1]:.2f}"


def plot(compared: Sequence[Comparison], path: Path) -> None:
    """Truth and reward over the steps, an environment a panel."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "rollout"
    across = 6
    down = -(-len(compared) // across)
    figure, panels = plt.subplots(
        down, across, figsize=(2.6 * across, 1.7 * down), sharex=True, sharey=True
    )
    for panel, each in zip(panels.flat, compared, strict=False):
        steps = [step.step for step in each.steps]
        panel.plot(steps, [step.reward for step in each.steps], color="#999999", lw=1)
        panel.plot(steps, [step.success for step in each.steps], color="#1f77b4", lw=1.5)
        mark = "" if not each.case.fault else (" found" if each.right else " MISSED")
        panel.set_title(each.case.name + mark, fontsize=8)
        panel.set_ylim(-0.05, 1.6)
    for panel in panels.flat[len(compared) :]:
        panel.axis("off")
    figure.suptitle("truth (blue) and reward (grey) over steps of training", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
