"""What is found of a run's rewards: whether training would learn from them, and for how much."""

from __future__ import annotations

import math
from collections.abc import Iterator

from devkit.rehearsal.run_files import Manifest
from devkit.verdict.model import Estimate, Finding, Learning, Load, Numbers
from devkit.verdict.thresholds import THRESHOLDS
from rollout.rewards import same_reward


def of_learning(
    n: Numbers, manifest: Manifest, learning: Learning | None, load: Load
) -> Iterator[Finding]:
    """What training would make of these rewards, within the job's steps and for how much."""
    if manifest.temperature == 0:
        yield Finding(
            code="greedy",
            severity="doubtful",
            measured=0,
            threshold=0,
            says="Played at temperature 0: the rollouts of a group are equal by themselves, so spread "
            "is not judged. Pass rates are those of a validation.",
            do="Rehearse at the temperature of the training as well.",
        )
        return
    if learning is None:
        yield Finding(
            code="no-groups",
            severity="too few to tell",
            measured=n.groups_compared,
            threshold=1,
            says="No group has two rewards, so nobody can say whether the reward tells them apart.",
            do="Play groups of the size you will train with (--group-size).",
        )
        return
    if learning.outliers:
        yield Finding(
            code="outlier",
            severity="note",
            measured=learning.outliers,
            threshold=0,
            says=f"{learning.outliers:,} of {n.rollouts:,} rewards are far from all others "
            f"({n.reward_lowest:g} to {n.reward_highest:g}) and left out of the scale.",
            do="Look at those rollouts: a reward without a bound is what a policy will look for.",
        )
    low, high = n.reward_lowest, n.reward_highest
    if low is not None and high is not None and same_reward(low, high):
        yield _flat(n, low, learning)
    else:
        yield from _verdict_on(n, learning, load)


def _flat(n: Numbers, reward: float, learning: Learning) -> Finding:
    """Every reward is the same: nothing to learn, unless success is rare and was missed."""
    rare = same_reward(reward, 0.0) or reward >= n.pass_mark
    slow = learning.steps.low is None or learning.steps.low > learning.max_steps
    most = learning.informative.high or 0.0
    sure = slow or not rare
    return Finding(
        code="flat-reward",
        severity="not ready" if sure else "too few to tell",
        measured=reward,
        threshold=None,
        says=f"Every rollout earned {reward:g}; nothing can be learned from these."
        + ("" if sure else f" With so few, up to {most:.0%} of the groups might still differ."),
        do="Check the reward on a right and a wrong answer (rollout probe); then change the problems' "
        "difficulty" + ("." if sure else ", or play more rows."),
    )


def _verdict_on(n: Numbers, learning: Learning, load: Load) -> Iterator[Finding]:
    steps, limit = learning.steps, learning.max_steps
    if steps.low is None or steps.low > limit:
        yield Finding(
            code=_kind(learning),
            severity="not ready",
            measured=steps.low,
            threshold=limit,
            says=f"{_differ(learning)}: success would take {_range(steps)} steps to double "
            f"({learning.success:.1%} now), and the job has {limit}.",
            do=_advice(learning, load),
        )
        return
    few = n.groups_compared < THRESHOLDS.enough_groups
    if few or steps.high is None or steps.high > limit:
        yield Finding(
            code="too-few",
            severity="too few to tell",
            measured=n.groups_compared,
            threshold=THRESHOLDS.enough_groups if few else None,
            says=f"{n.groups_compared} groups cannot tell: until success doubles "
            f"({learning.success:.1%} now) the job would take {_range(steps)} steps, and it has {limit}.",
            do=f"Play about {_wanted(n, learning)} rows.",
        )
    elif learning.informative.value is not None and (
        learning.informative.value < THRESHOLDS.informative
    ):
        yield Finding(
            code="costly",
            severity="costly",
            measured=learning.informative.value,
            threshold=THRESHOLDS.informative,
            says=f"{_differ(learning)}. Training would learn and pay for it: {_range(steps)} steps, "
            f"{price(learning, load)} until success doubles ({learning.success:.1%} now).",
            do=_advice(learning, load),
        )


def _differ(learning: Learning) -> str:
    return f"Only {learning.informative.value or 0:.0%} of the groups have rewards that differ"


def _kind(learning: Learning) -> str:
    """Whether the groups are alike because problems are never solved, always, or either."""
    if learning.success < 0.1:
        return "too-hard"
    return "too-easy" if learning.success > 0.9 else "no-spread"


_KINDS = {
    "too-hard": "Begin with easier rows (rollout report --curriculum), give partial credit below "
    "success, or teach the format by supervised tuning first",
    "too-easy": "Take harder rows; little is left to learn from these",
    "no-spread": "Drop the rows that are always or never solved (rollout report --curriculum)",
}


def _advice(learning: Learning, load: Load) -> str:
    """What to change, and the size of group that costs the least, if another one does."""
    says = _KINDS[_kind(learning)]
    within = [
        size
        for size in learning.group_sizes
        if size.steps is not None and size.rollouts is not None and size.steps <= learning.max_steps
    ]
    best = min(within, key=lambda size: size.rollouts or 0.0, default=None)
    if best is not None and best.group_size != load.group_size:
        says += (
            f"; groups of {best.group_size} would take {best.steps:,.0f} steps and "
            f"{best.rollouts:,.0f} rollouts"
        )
    return says + "."


def price(learning: Learning, load: Load) -> str:
    """Rollouts until success doubles, and dollars where the latency is known."""
    says = f"{_range(learning.rollouts)} rollouts"
    if load.dollars_per_rollout is not None and learning.rollouts.value is not None:
        says += f", about ${learning.rollouts.value * load.dollars_per_rollout:,.2f} on AWS,"
    return says


def _range(estimate: Estimate) -> str:
    if estimate.low is None:
        return "endless"
    low = f"{estimate.low:,.0f}"
    if estimate.high is None or estimate.high > 1_000 * max(1.0, estimate.low):
        return f"{low} or more"
    return f"{low} to {estimate.high:,.0f}"


def _wanted(n: Numbers, learning: Learning) -> int:
    """Rows after which the interval no longer holds the job's last step, if the estimate stands."""
    groups = max(n.groups_compared, THRESHOLDS.enough_groups)
    now, signal = learning.steps, learning.signal
    if not signal.value or now.value is None or signal.low is None or signal.high is None:
        return 4 * groups
    needed = signal.value * now.value / learning.max_steps
    room = abs(signal.value - needed)
    width = signal.value - signal.low if signal.value > needed else signal.high - signal.value
    more = min(20.0, max(1.5, (width / room) ** 2 if room else 20.0))
    return math.ceil(groups * more / 5) * 5


def of_script(n: Numbers, manifest: Manifest) -> Iterator[Finding]:
    """A script shows that the plumbing holds; gold and poor alike show that the reward does not."""
    yield Finding(
        code="scripted-policy",
        severity="note",
        measured=None,
        threshold=None,
        says=f"The policy was {manifest.policy}: it shows that the plumbing holds, and nothing of what "
        "a model would learn.",
        do="Rehearse with the model you will train.",
    )
    low, high = n.reward_lowest, n.reward_highest
    if low is None or high is None or not same_reward(low, high):
        return
    mixed = manifest.policy.startswith("scripted skill=")
    if mixed and manifest.policy.partition("=")[2] not in ("0", "1"):
        yield Finding(
            code="flat-reward",
            severity="not ready",
            measured=low,
            threshold=None,
            says=f"Gold and poor both earned {low:g}, on every row.",
            do="Check the reward on a right and a wrong answer (rollout probe).",
        )
