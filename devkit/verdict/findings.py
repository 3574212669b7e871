"""What is wrong with a run, the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from devkit.rehearsal.run_files import Manifest
from devkit.verdict.learning_findings import of_learning, of_script
from devkit.verdict.load import INLINE_SECONDS, is_script
from devkit.verdict.model import Finding, Learning, Load, Numbers
from devkit.verdict.thresholds import THRESHOLDS

_ORDER = ("not ready", "too few to tell", "doubtful", "costly", "note")


def find(
    numbers: Numbers, manifest: Manifest, learning: Learning | None, load: Load
) -> list[Finding]:
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
    found = [*_broken(numbers, manifest, load), *_habits(numbers)]
    found += [*_slow(numbers, manifest, load), *_weak(numbers, manifest)]
    if is_script(manifest):
        found += of_script(numbers, manifest)
    else:
        found += of_learning(numbers, manifest, learning, load)
    return in_order(found)


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """Findings, the worst first."""
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))


def _broken(n: Numbers, manifest: Manifest, load: Load) -> Iterator[Finding]:
    """The environment does not hold."""
    late = sum(failure.rollouts for failure in n.failures if failure.boundary == "deadline")
    if late and not _needs_the_time(n, load, inline=manifest.mode == "inline"):
        yield Finding(
            code="late-here",
            severity="doubtful",
            measured=late / n.rollouts,
            threshold=0,
            says=f"{late:,} of {n.rollouts:,} rollouts ran out of time on this machine, though the "
            f"policy took no more than {n.policy_seconds.max if n.policy_seconds else 0:.0f} s.",
            do="Play again with a lower --concurrency; what is still late has slow tools.",
        )
    else:
        late = 0
    if n.failed > late:
        share = (n.failed - late) / n.rollouts
        worst = next(f for f in n.failures if not late or f.boundary != "deadline")
        yield Finding(
            code="failed",
            severity="not ready" if share > THRESHOLDS.failed else "doubtful",
            measured=share,
            threshold=THRESHOLDS.failed,
            says=f"{n.failed - late:,} of {n.rollouts:,} rollouts failed, most of them at the boundary "
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


def _needs_the_time(n: Numbers, load: Load, *, inline: bool) -> bool:
    """Whether the policy alone comes near to what an inline or a durable rollout is given."""
    if load.rollout_seconds is None:
        return False
    allowed = INLINE_SECONDS if inline else n.rollout_timeout
    return load.rollout_seconds.max > THRESHOLDS.of_timeout / 2 * allowed


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


def _slow(n: Numbers, manifest: Manifest, load: Load) -> Iterator[Finding]:
    """Rollouts that take too long with the policy's own latency; or did here, for whatever reason."""
    limit = THRESHOLDS.of_timeout * manifest.rollout_timeout
    seconds = load.rollout_seconds
    if seconds and seconds.max > limit:
        often = seconds.p95 > limit
        yield Finding(
            code="slow",
            severity="not ready" if often else "doubtful",
            measured=seconds.p95 if often else seconds.max,
            threshold=limit,
            says=f"{'One in twenty rollouts takes' if often else 'The slowest rollout takes'} "
            f"{seconds.p95 if often else seconds.max:.0f} s or more of the job's "
            f"{manifest.rollout_timeout:.0f} s.",
            do="Raise rollout_timeout (and JobTimeout), or allow fewer turns.",
        )
    elif n.seconds and n.seconds.max > limit:
        waited = (
            "" if n.policy_seconds is None else f" of which the policy {n.policy_seconds.max:.0f}"
        )
        yield Finding(
            code="slow-here",
            severity="doubtful",
            measured=n.seconds.max,
            threshold=limit,
            says=f"The slowest rollout took {n.seconds.max:.0f} s on this machine{waited}: its tools are "
            "slow, or the machine was busy.",
            do="Play again with --concurrency 1; what stays slow are the tools.",
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
    if manifest.faults:
        yield Finding(
            code="faults-played",
            severity="note",
            measured=None,
            threshold=None,
            says=f"Faults were played on purpose ({manifest.faults}): failures and times are theirs too.",
            do="Judge the reward by a run without faults.",
        )
