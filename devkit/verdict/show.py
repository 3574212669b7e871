"""A verdict as a person reads it: the word first, then why, then the numbers."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from devkit.verdict.model import Criterion, Estimate, Numbers, Spread, Verdict

_COLOUR = {
    "ready": "green",
    "plumbing holds": "cyan",
    "costly": "yellow",
    "doubtful": "yellow",
    "too few to tell": "magenta",
    "not ready": "red",
    "note": "cyan",
}


def show(verdict: Verdict, console: Console) -> None:
    """Print a verdict."""
    colour = _COLOUR[verdict.level]
    console.print(
        f"\n[bold {colour}]{verdict.level.upper()}[/]  {escape(verdict.agent)} with "
        f"{escape(verdict.policy)}, {verdict.numbers.rollouts} rollouts in "
        f"{verdict.numbers.groups} groups",
        highlight=False,
    )
    if not verdict.findings:
        console.print("Nothing was found that speaks against training with it.")
    for finding in verdict.findings:
        mark = _COLOUR[finding.severity]
        console.print(
            f"\n[{mark}]{finding.severity}[/] [bold]{escape(finding.code)}[/]", highlight=False
        )
        text = f"{escape(finding.says)}\n[dim]{escape(finding.do)}[/]"
        console.print(Padding(text, (0, 0, 0, 2)), highlight=False)
    if verdict.numbers.rollouts:
        console.print()
        console.print(_table("measured", figures(verdict.numbers)))
        if verdict.learning:
            console.print()
            console.print(_table("what a step can learn", learning_lines(verdict)))
        console.print()
        console.print(_table("a training step", load_lines(verdict)))


def _table(title: str, lines: Iterator[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, text in lines:
        table.add_row(name, text)
    return table


def figures(n: Numbers) -> Iterator[tuple[str, str]]:
    """The numbers as lines of a name and a text, for people."""
    yield "reward", f"{estimate(n.reward)}, {_range(n.reward_lowest, n.reward_highest)}"
    if n.reward_deviation is not None:
        within = n.reward_deviation_within_groups
        yield (
            "reward deviation",
            f"{n.reward_deviation:.3g}"
            + ("" if within is None else f", within a group {within:.3g}"),
        )
    for name, values in n.criteria.items():
        yield f"criterion {name}", _criterion(values)
    yield (
        "groups without spread",
        f"{estimate(n.groups_without_spread, share=True)} of {n.groups_compared}",
    )
    for passes in n.passes:
        yield (
            f"pass@{passes.k}, pass^{passes.k}",
            f"{estimate(passes.pass_at_k, share=True)}, {estimate(passes.pass_hat_k, share=True)}",
        )
    yield "passed means", f"a reward of {n.pass_mark:g} or more"
    yield "turns", spread(n.turns)
    yield "completion tokens", spread(n.completion_tokens)
    yield "prompt tokens", spread(n.prompt_tokens)
    yield "seconds here", f"{spread(n.seconds)}; the job allows {n.rollout_timeout:g}"
    yield "of which the policy", spread(n.policy_seconds)
    yield "seconds a turn", spread(n.turn_seconds)
    yield "failed", share(n.failed, n.rollouts)
    yield "without a sample", share(n.unsampled, n.rollouts)
    yield "cut off by max_tokens", share(n.truncated, n.rollouts)
    yield "tool calls as text", share(n.text_tool_calls, n.rollouts)
    yield "tool errors", share(n.tool_errors, n.tool_calls, of="calls")
    if n.unrewarded is not None:
        yield "reward not taken", share(n.unrewarded, n.rollouts)


def _criterion(values: Criterion) -> str:
    if values.flat:
        return f"always {values.mean:.3g}, in {values.rollouts:,} rollouts: it decides nothing here"
    return (
        f"mean {values.mean:.3g}, {_range(values.lowest, values.highest)}, "
        f"in {values.rollouts:,} rollouts"
    )


def learning_lines(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What a step can learn from, as lines of a name and a text."""
    learning, load = verdict.learning, verdict.load
    if learning is None:
        return
    then = f"{learning.success_after:.1%} forecast after {learning.max_steps} steps"
    yield "success", f"{learning.success:.1%} now, {then}"
    each = f"{learning.informative_groups_per_step:.1f} of {load.batch_size} a step"
    yield "groups that differ", f"{estimate(learning.informative, share=True)}, {each}"
    yield "signal", estimate(learning.signal)
    yield f"steps to {learning.success_aimed_at:.1%}", _until(learning.steps)
    yield "rollouts until then", _until(learning.rollouts)
    if load.dollars_per_rollout is not None and learning.rollouts.value is not None:
        yield "dollars until then", f"{learning.rollouts.value * load.dollars_per_rollout:,.2f}"
    for size in learning.group_sizes:
        steps = (
            "never"
            if size.steps is None or size.rollouts is None
            else f"{size.steps:,.1f} steps, {size.rollouts:,.0f} rollouts"
        )
        yield f"in groups of {size.group_size}", f"{size.informative:.0%} differ; {steps}"


def _until(value: Estimate) -> str:
    """An estimate of which null is never."""
    low, middle, high = (
        "never" if each is None or each > 1e6 else f"{each:,.0f}"
        for each in (value.low, value.value, value.high)
    )
    return f"{middle} ({low} to {high})"


def load_lines(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What a training step needs, as lines of a name and a text."""
    load = verdict.load
    yield "rollouts", f"{load.batch_size} x {load.group_size} = {load.rollouts_per_step:,}"
    yield "at once", f"{load.in_flight}, at most {load.concurrency} of each job (jobs: {load.jobs})"
    if load.latency is not None:
        yield "latency", f"{_number(load.latency)} s a turn"
        yield "seconds a rollout", spread(load.rollout_seconds)
    else:
        yield "latency", "unknown of a script; state it with --latency"
    if load.dollars_per_rollout is not None and load.dollars_per_step is not None:
        thousand = f"{1_000 * load.dollars_per_rollout:,.2f} a thousand rollouts"
        yield "dollars on AWS", f"{load.dollars_per_step:,.2f} a step, {thousand}"
    if load.step_seconds_at_least is not None and load.step_seconds_at_most is not None:
        yield (
            "duration",
            f"{duration(load.step_seconds_at_least)} to {duration(load.step_seconds_at_most)}",
        )
    if load.completion_tokens_per_step is not None and load.prompt_tokens_per_step is not None:
        yield (
            "tokens",
            f"{load.completion_tokens_per_step:,.0f} sampled, {load.prompt_tokens_per_step:,.0f} read",
        )
    if load.completion_tokens_per_second is not None:
        yield "tokens a second", f"{load.completion_tokens_per_second:,.0f} sampled"
    yield "mode", load.mode
    yield "parameters", " ".join(f"{name}={value}" for name, value in load.parameters.items())


def estimate(value: Estimate, *, share: bool = False) -> str:
    """An estimate with its interval."""
    if value.value is None or value.low is None or value.high is None:
        return "not measured"
    if share:
        return f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})"
    return f"{value.value:.3g} ({value.low:.3g} to {value.high:.3g})"


def spread(value: Spread | None) -> str:
    """Mean, median, p95 and the most."""
    if value is None:
        return "not measured"
    return (
        f"mean {_number(value.mean)}, median {_number(value.median)}, "
        f"p95 {_number(value.p95)}, most {_number(value.max)}"
    )


def share(part: int, whole: int, of: str = "") -> str:
    """A count and its share."""
    if not whole:
        return "0"
    return f"{part:,} of {whole:,} {of}".rstrip() + f" ({part / whole:.1%})"


def duration(seconds: float) -> str:
    """Seconds in the unit that fits."""
    if seconds < 120:
        return f"{_number(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _range(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else f"from {low:.3g} to {high:.3g}"
