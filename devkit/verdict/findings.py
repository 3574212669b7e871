"""What is wrong with a run, and from which number on.

Every threshold stands in :class:`Thresholds` with its reason; docs/readiness.md repeats them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from devkit.rehearsal.run_files import Manifest
from devkit.verdict.model import Finding, Numbers


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares are 0 to 1; a finding is made when its number is *over* the threshold."""

    # The trainer compares the rollouts of a group. Over a half flat: most of what a step samples teaches
    # nothing. Over a quarter: training works, but pays for a third more sampling than it uses.
    flat_not_ready: float = 0.5
    flat_doubtful: float = 0.25
    # The mean this near to the lowest or highest reward leaves nearly every group flat sooner or later.
    edge: float = 0.05
    # Permanently failed rollouts over 1 % mean a broken environment; a single one has ended a job.
    failed: float = 0.01
    # A model under training load is slower than in a rehearsal: a fifth of the time is kept for that.
    of_timeout: float = 0.8
    # A reply that was cut off is scored as an answer that it is not.
    truncated: float = 0.05
    # Over 1 % the policy is slipping out of the format; over 10 % its template or parser is wrong.
    text_calls_doubtful: float = 0.01
    text_calls_not_ready: float = 0.1
    # A model errs now and then; over a quarter the tool's description misleads it.
    tool_errors: float = 0.25
    # With fewer groups the intervals are wider than the differences one trains for.
    few_groups: int = 20


THRESHOLDS = Thresholds()


def find(numbers: Numbers, manifest: Manifest) -> list[Finding]:
    """All findings on a run, the worst first."""
    if not numbers.rollouts:
        return [
            Finding(
                code="nothing-played",
                severity="not ready",
                measured=0,
                threshold=0,
                says="The run holds no rollout.",
                do="Play it: rollout rehearse.",
            )
        ]
    found = [*_broken(numbers), *_learning(numbers, manifest), *_habits(numbers)]
    found += [*_slow(numbers, manifest), *_weak(numbers, manifest)]
    order = ["not ready", "doubtful", "note"]
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _broken(n: Numbers) -> Iterator[Finding]:
    """The environment does not hold."""
    if n.failed:
        share = n.failed / n.rollouts
        worst = n.failures[0]
        yield Finding(
            code="failed",
            severity="not ready" if share > THRESHOLDS.failed else "doubtful",
            measured=share,
            threshold=THRESHOLDS.failed,
            says=f"{n.failed:,} of {n.rollouts:,} rollouts failed, most of them at the boundary "
            f"{worst.boundary}: {worst.title}.",
            do="Open them in the report and mend the cause; one failed rollout can end a job.",
        )
    if n.unsampled:
        yield Finding(
            code="not-sampled",
            severity="not ready",
            measured=n.unsampled / n.rollouts,
            threshold=0,
            says=f"{n.unsampled:,} rollouts made no sampling request.",
            do='Let the agent sample before it decides; a job fails with "No sampling requests were '
            'received".',
        )
    if n.unrewarded:
        yield Finding(
            code="unrewarded",
            severity="not ready",
            measured=n.unrewarded / n.rollouts,
            threshold=0,
            says=f"{n.unrewarded:,} rollouts ended ready, but the trainer took no reward for them.",
            do="Look at their reports; a job fails when a reward does not come in time.",
        )
    if n.miscounted:
        yield Finding(
            code="turns-lost",
            severity="doubtful",
            measured=n.miscounted / n.rollouts,
            threshold=0,
            says=f"In {n.miscounted:,} rollouts the runtime captured other turns than the agent saw.",
            do="A reply was lost on its way or sampled twice; look at the policy's errors.",
        )


def _learning(n: Numbers, manifest: Manifest) -> Iterator[Finding]:
    """The reward teaches nothing."""
    flat = n.groups_without_spread.value
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
    if flat is None:
        yield Finding(
            code="no-groups",
            severity="doubtful",
            measured=n.groups_compared,
            threshold=1,
            says="No group has two rewards, so nobody can say whether the reward tells them apart.",
            do="Play groups of the size you will train with (--group-size).",
        )
        return
    if n.reward_lowest == n.reward_highest:
        yield Finding(
            code="flat-reward",
            severity="not ready",
            measured=n.reward_lowest,
            threshold=None,
            says=f"Every rollout earned {n.reward_lowest:g}; nothing can be learned.",
            do="Check the reward on a right and a wrong answer; then change the problems' difficulty.",
        )
        return
    if flat > THRESHOLDS.flat_doubtful:
        bad = flat > THRESHOLDS.flat_not_ready
        yield Finding(
            code="no-spread",
            severity="not ready" if bad else "doubtful",
            measured=flat,
            threshold=THRESHOLDS.flat_not_ready if bad else THRESHOLDS.flat_doubtful,
            says=f"{flat:.0%} of the groups have equal rewards throughout and teach nothing.",
            do="Drop problems that are always or never solved, give partial credit below success, or "
            "play larger groups.",
        )
    yield from _edges(n)


def _edges(n: Numbers) -> Iterator[Finding]:
    if n.reward.value is None or n.reward_lowest is None or n.reward_highest is None:
        return
    place = (n.reward.value - n.reward_lowest) / (n.reward_highest - n.reward_lowest)
    if place < THRESHOLDS.edge:
        yield Finding(
            code="too-hard",
            severity="doubtful",
            measured=place,
            threshold=THRESHOLDS.edge,
            says=f"The mean reward, {n.reward.value:.3g}, is hardly above the lowest.",
            do="Begin with easier problems, or teach the format by supervised tuning first.",
        )
    if place > 1 - THRESHOLDS.edge:
        yield Finding(
            code="too-easy",
            severity="doubtful",
            measured=place,
            threshold=1 - THRESHOLDS.edge,
            says=f"The mean reward, {n.reward.value:.3g}, is hardly below the highest.",
            do="Take harder problems; little is left to learn from these.",
        )


def _habits(n: Numbers) -> Iterator[Finding]:
    """The policy writes what the agent cannot read."""
    truncated, texts = n.truncated / n.rollouts, n.text_tool_calls / n.rollouts
    if truncated > THRESHOLDS.truncated:
        yield Finding(
            code="truncated",
            severity="doubtful",
            measured=truncated,
            threshold=THRESHOLDS.truncated,
            says=f"{truncated:.0%} of the rollouts hold a reply that max_tokens cut off.",
            do="Raise sampling_max_tokens (up to 8,192), or ask for shorter replies.",
        )
    if texts > THRESHOLDS.text_calls_doubtful:
        bad = texts > THRESHOLDS.text_calls_not_ready
        yield Finding(
            code="text-tool-calls",
            severity="not ready" if bad else "doubtful",
            measured=texts,
            threshold=THRESHOLDS.text_calls_not_ready if bad else THRESHOLDS.text_calls_doubtful,
            says=f"{texts:.1%} of the rollouts hold a tool call written as plain text.",
            do="Check the model's chat template and tool parser; converse(recover_text_calls=True) "
            "reads such calls, docs/rewards.md says how to charge for them.",
        )
    if n.tool_calls and n.tool_errors / n.tool_calls > THRESHOLDS.tool_errors:
        yield Finding(
            code="tool-errors",
            severity="doubtful",
            measured=n.tool_errors / n.tool_calls,
            threshold=THRESHOLDS.tool_errors,
            says=f"{n.tool_errors:,} of {n.tool_calls:,} tool calls came to an error.",
            do="Read what the model tried; mend the tools' descriptions and arguments.",
        )


def _slow(n: Numbers, manifest: Manifest) -> Iterator[Finding]:
    if n.seconds is None:
        return
    limit = THRESHOLDS.of_timeout * manifest.rollout_timeout
    often = n.seconds.p95 > limit
    if often or n.seconds.max > limit:
        yield Finding(
            code="slow",
            severity="not ready" if often else "doubtful",
            measured=n.seconds.p95 if often else n.seconds.max,
            threshold=limit,
            says=f"{'One in twenty rollouts takes' if often else 'The slowest rollout took'} "
            f"{n.seconds.p95 if often else n.seconds.max:.0f} s or more of the job's "
            f"{manifest.rollout_timeout:.0f} s.",
            do="Raise rollout_timeout (and JobTimeout), or allow fewer turns.",
        )


def _weak(n: Numbers, manifest: Manifest) -> Iterator[Finding]:
    """The run itself says less than it seems to."""
    if n.rollouts < n.expected:
        yield Finding(
            code="incomplete",
            severity="doubtful",
            measured=n.rollouts,
            threshold=n.expected,
            says=f"{n.rollouts:,} of {n.expected:,} rollouts were played.",
            do="Start the same rehearsal again; it goes on where it stopped.",
        )
    if n.groups < THRESHOLDS.few_groups:
        yield Finding(
            code="few-groups",
            severity="note",
            measured=n.groups,
            threshold=THRESHOLDS.few_groups,
            says=f"Only {n.groups} groups were played; mind the width of the intervals.",
            do="Play more rows before you decide on the reward.",
        )
    if n.without_usage:
        yield Finding(
            code="no-usage",
            severity="note",
            measured=n.without_usage / n.rollouts,
            threshold=0,
            says=f"In {n.without_usage:,} rollouts the policy counted no tokens; they are left out of "
            "the token figures.",
            do="Use a server that returns usage.",
        )
    if manifest.policy.startswith(("scripted", "probe:")):
        yield Finding(
            code="scripted-policy",
            severity="note",
            measured=None,
            threshold=None,
            says=f"The policy was {manifest.policy}: rewards, turns and times are the script's.",
            do="Rehearse with the model you will train before you trust the spread.",
        )
    if manifest.faults:
        yield Finding(
            code="faults-played",
            severity="note",
            measured=None,
            threshold=None,
            says=f"Faults were played on purpose ({manifest.faults}): failures and times are theirs too.",
            do="Judge the reward by a run without faults.",
        )
