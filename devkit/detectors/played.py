"""Faults that show in a rehearsal: a model's rollouts beside gold, beside nothing, and beside themselves.

A run is read once; some hundred bytes a rollout are kept.
"""

from __future__ import annotations

import itertools
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from devkit.detectors.bench import Bench, text_of
from devkit.detectors.cheap import CHEAP
from devkit.detectors.fault import EQUAL, SHOWN, Fault, same
from devkit.detectors.sampling import not_the_trainers
from devkit.policies.probes import PROBES, probe
from devkit.rehearsal.counts import tool_calls
from devkit.rehearsal.rescoring import score_again
from devkit.rehearsal.run_files import Manifest, RolloutRecord
from rollout.agent import Agent
from rollout.settings import read_limits

# Rollouts that are scored again, rows on which gold and the probes are played, over the whole run.
_RESCORED, _ROWS = 64, 12
# A know-nothing counts as better than the model from this part of gold's reward on; where it earns less
# than half of gold's, partial credit leads on to the solution.
_MARGIN, _HALF = 0.1, 0.5
# Behaviours that know something of the row in hand are no know-nothings.
_KNOWING = {"truncated", "padding", "stall", "no-answer", "format-only"}
# So many rollouts of one row that agree on another answer than gold's, and their share of the row.
_AGREE, _SHARE = 3, 0.6
# An answer that is given on more of the rows than this is a habit.
_HABIT = 0.2
# A correlation from here on is told.
_CORRELATED = 0.3


@dataclass(frozen=True, slots=True)
class _Told:
    """What is kept of one rollout."""

    trajectory_id: str
    group: int
    reward: float
    success: float | None
    traits: tuple[float, ...]
    answer: str


_TRAITS = ("length", "turns", "tool calls", "form")


@dataclass
class PlayedRun:
    """A run as it is read, rollout by rollout.

    Args:
        manifest: of the run.
        success: name of the author's metric of what is wanted.
    """

    manifest: Manifest
    success: str = "success"
    told: list[_Told] = field(default_factory=list[_Told])
    instances: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    parameters: list[tuple[str, int, int, str]] = field(
        default_factory=list[tuple[str, int, int, str]]
    )

    def add(self, record: RolloutRecord) -> None:
        """Take one rollout in."""
        self.instances.setdefault(record.group, record.instance)
        self._add_parameters(record)
        if record.reward is None:
            return
        texts = [text_of(turn.message) for turn in record.turns]
        traits = (
            float(sum(map(len, texts))),
            float(record.turns_answered),
            float(tool_calls(record)[0]),
            float(bool(texts) and bool(re.search(r"<\w+>|####|\\boxed|```|^\s*\{", texts[-1]))),
        )
        answer = _answer(texts[-1]) if texts else ""
        success = record.metrics.get(self.success)
        self.told.append(
            _Told(record.trajectory_id, record.group, record.reward, success, traits, answer)
        )

    def _add_parameters(self, record: RolloutRecord) -> None:
        made = self.manifest
        wanted = {
            "temperature": made.temperature,
            "top_p": made.top_p,
            "max_tokens": made.max_tokens,
        }
        first = str(record.turns[0].params.get("model") or "") if record.turns else ""
        for number, turn in enumerate(record.turns):
            for text in not_the_trainers(turn.params, wanted, first):
                self.parameters.append((record.trajectory_id, record.group, number, text))

    def groups(self) -> dict[int, list[_Told]]:
        """The rewarded rollouts by row."""
        found: dict[int, list[_Told]] = defaultdict(list)
        for each in self.told:
            found[each.group].append(each)
        return found


def search_run(
    records: Iterable[RolloutRecord],
    manifest: Manifest,
    *,
    agent: Agent | None = None,
    bench: Bench | None = None,
    success: str = "success",
) -> list[Fault]:
    """What a run shows of its environment.

    Args:
        records: of the run.
        agent: as it played; its tools run again. None where it is not here.
        bench: the agent, rows of the run and gold; None where there is no gold script.
        success: name of the author's metric of what is wanted.
    """
    run = PlayedRun(manifest, success)
    kept: list[RolloutRecord] = []
    stride = max(1, manifest.rows * manifest.group_size // _RESCORED)
    for place, record in enumerate(records):
        run.add(record)
        if place % stride == 0 and len(kept) < _RESCORED:
            kept.append(record)
    found = [*_parameters(run), *_success_pays_less(run), *_who_is_paid(run), *_doubted_gold(run)]
    if agent is not None:
        found += _again(kept, agent, manifest)
    if bench is not None:
        found += [*_better_than_gold(run, bench), *_know_nothings(run, bench)]
    return found


def rows_of(records: Iterable[RolloutRecord]) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a run, evenly over it, that gold and probes are to be played on."""
    seen: dict[int, dict[str, Any]] = {}
    for record in records:
        seen.setdefault(record.group, record.instance)
    numbers = sorted(seen)
    return [(number, seen[number]) for number in numbers[:: max(1, len(numbers) // _ROWS)]][:_ROWS]


def _parameters(run: PlayedRun) -> Iterator[Fault]:
    if run.parameters:
        identifier, _, turn, text = run.parameters[0]
        yield Fault(
            "other-parameters",
            len(run.parameters),
            tuple(sorted({group for _, group, _, _ in run.parameters})),
            f"The policy was not sampled with the trainer's parameters in {len(run.parameters)} cases.",
            f"{identifier}, turn {turn + 1}: {text}",
            "Leave temperature, top_p, max_tokens and model to the trainer (no override_trainer=True).",
        )


def _success_pays_less(run: PlayedRun) -> Iterator[Fault]:
    """Of two rollouts of one row, the one with more success earned less."""
    pairs: list[tuple[_Told, _Told]] = []
    compared = 0
    for told in run.groups().values():
        for one, other in itertools.permutations(told, 2):
            if one.success is None or other.success is None or one.success <= other.success + EQUAL:
                continue
            compared += 1
            if one.reward < other.reward - EQUAL:
                pairs.append((one, other))
    if pairs:
        one, other = pairs[0]
        yield Fault(
            "success-costs",
            len(pairs) / compared,
            tuple(sorted({one.group for one, _ in pairs})),
            f"More {run.success} earned less in {len(pairs)} of {compared} pairs of rollouts.",
            f"{one.trajectory_id}: {run.success} {one.success:g}, reward {one.reward:g}; "
            f"{other.trajectory_id}: {run.success} {other.success:g}, reward {other.reward:g}",
            "Let more success never pay less.",
        )


def _who_is_paid(run: PlayedRun) -> Iterator[Fault]:
    """What the reward goes with among rollouts of one row and of equal success."""
    alike: dict[tuple[int, float | None], list[_Told]] = defaultdict(list)
    for each in run.told:
        alike[each.group, each.success].append(each)
    for place, trait in enumerate(_TRAITS):
        value = _correlation(list(alike.values()), place)
        if abs(value) >= _CORRELATED:
            more = "more" if value > 0 else "less"
            equal = (
                f" and equal {run.success}" if any(t.success is not None for t in run.told) else ""
            )
            yield Fault(
                "who-is-paid",
                value,
                (),
                f"Among rollouts of one row{equal}, more {trait} earned {more}.",
                f"correlation {value:.2f} over {len(run.told)} rollouts",
                "See whether that is what you want to teach; many healthy rewards do so.",
                "note",
            )


def _correlation(alike: Sequence[Sequence[_Told]], trait: int) -> float:
    """Pearson's, pooled over sets of rollouts, each about its own means."""
    both = own = theirs = 0.0
    for told in alike:
        x, y = fmean(t.traits[trait] for t in told), fmean(t.reward for t in told)
        both += sum((t.traits[trait] - x) * (t.reward - y) for t in told)
        own += sum((t.traits[trait] - x) ** 2 for t in told)
        theirs += sum((t.reward - y) ** 2 for t in told)
    return both / (own * theirs) ** 0.5 if own > EQUAL and theirs > EQUAL else 0.0


def _doubted_gold(run: PlayedRun) -> Iterator[Fault]:
    """Rows on which the rollouts agree on an answer that earns nothing, in a run that solves others."""
    if not run.told:
        return
    lowest, highest = min(t.reward for t in run.told), max(t.reward for t in run.told)
    half = (lowest + highest) / 2
    groups = run.groups()
    solved = sum(any(t.reward > half for t in told) for told in groups.values())
    doubted: list[tuple[int, str, int, int]] = []
    said_in = Counter(answer for told in groups.values() for answer in {t.answer for t in told})
    for group, told in groups.items():
        counted = Counter(t.answer for t in told if t.answer and t.reward <= lowest + EQUAL)
        if not counted or any(t.reward > half for t in told):
            continue
        answer, agree = counted.most_common(1)[0]
        habit = said_in[answer] > max(
            1, _HABIT * len(groups)
        )  # what is said everywhere is no answer
        if agree >= _AGREE and agree >= _SHARE * len(told) and not habit:
            doubted.append((group, answer, agree, len(told)))
    if doubted and highest > lowest + EQUAL and solved > len(groups) / 2:
        group, answer, agree, of = doubted[0]
        yield Fault(
            "gold-doubted",
            len(doubted) / len(groups),
            tuple(group for group, *_ in doubted),
            f"On {len(doubted)} rows the rollouts agree on an answer that earns nothing.",
            f"row {group}: {agree} of {of} said {answer[:SHOWN]!r}",
            "Look at these rows: the gold answer may be wrong, or the grader may miss its form.",
            "doubt",
        )


def _answer(text: str) -> str:
    """What a reply comes to: its last number, else its last line."""
    numbers = re.findall(r"-?\d+(?:[.,]\d+)*", text)
    if numbers:
        return str(numbers[-1]).replace(",", "")
    lines = text.strip().splitlines()
    return lines[-1].strip().casefold()[:SHOWN] if lines else ""


def _again(records: Sequence[RolloutRecord], agent: Agent, manifest: Manifest) -> Iterator[Fault]:
    """The recorded replies, scored a second time by the same agent."""
    limits = read_limits(os.environ)
    moved: list[tuple[RolloutRecord, RolloutRecord, str]] = []
    cut: list[RolloutRecord] = []
    scored = 0
    # In another order, for what a counter or a cache would hide.
    dice = random.Random(1)  # noqa: S311 - the same order every time
    for record in dice.sample(records, len(records)):
        if record.reward is None or not record.turns:
            continue
        new, divergence = score_again(record, agent, manifest, limits)
        scored += 1
        if divergence is not None and divergence.turn > len(record.turns):
            cut.append(record)  # it went on where it had been given no reply
        elif divergence is not None:
            moved.append((record, new, f"turn {divergence.turn}: {divergence.why}"))
        elif not same(record.rewards, new.rewards):
            moved.append((record, new, f"{record.rewards} when it was played, {new.rewards} again"))
    if cut:
        first = cut[0]
        yield Fault(
            "scored-outage",
            len(cut) / scored,
            tuple(sorted({record.group for record in cut})),
            f"{len(cut)} rollouts got a reward though their policy had failed before they ended.",
            f"{first.trajectory_id}: {first.reward} after turn {len(first.turns)}",
            "Catch no SampleFailed (an except Exception does): an outage is no answer.",
        )
    if moved:
        record, new, what = moved[0]
        yield Fault(
            "same-words-another-reward",
            len(moved) / scored,
            tuple(sorted({each.group for each, _, _ in moved})),
            f"{len(moved)} of {scored} rollouts come out otherwise when their replies are scored again.",
            f"{record.trajectory_id}: {what}",
            "Take chance from episode.random, keep no state outside the episode, compare with no clock.",
            evidence=tuple(
                {"messages": each.messages(), "rewards": each.rewards, "metrics": each.metrics}
                for each in (record, new)
            ),
        )


def _better_than_gold(run: PlayedRun, bench: Bench) -> Iterator[Fault]:
    """A rollout that earned more than gold on its row."""
    gold = {bench.number(row): bench.rewards[row] for row in bench.proven}
    more = [
        t for t in run.told if (best := gold.get(t.group)) is not None and t.reward > best + EQUAL
    ]
    if more:
        top = max(more, key=lambda each: each.reward - (gold[each.group] or 0.0))
        yield Fault(
            "better-than-gold",
            len(more) / len(run.told),
            tuple(sorted({each.group for each in more})),
            f"{len(more)} rollouts earned more than gold on their rows.",
            f"{top.trajectory_id}: {top.reward:g}, gold {gold[top.group]:g}",
            "Look at them: the reward pays for more than solving, or gold is not the best there is.",
        )


def _know_nothings(run: PlayedRun, bench: Bench) -> Iterator[Fault]:
    """A policy that knows nothing earns more than the model does, on the same rows."""
    means = {
        row: fmean(t.reward for t in told)
        for row in bench.proven
        if (told := run.groups().get(bench.number(row)))
    }
    if not means or run.manifest.policy.startswith("probe:"):
        return
    model = fmean(means.values())
    gold = fmean(bench.rewards[row] or 0.0 for row in means)
    for name, does, rewards in _nothing_known(bench, list(means)):
        mean = fmean(rewards) if rewards else None
        if mean is not None and mean > model + _MARGIN * abs(gold):
            yield Fault(
                "knows-nothing",
                mean - model,
                tuple(bench.number(row) for row in means),
                f"A policy that {does} earns {mean:.3g} on average, the rehearsed model {model:.3g}.",
                f"{name} on {len(means)} rows; gold earns {gold:.3g}",
                "Training goes where the reward is nearest: pay less for what needs no knowledge.",
                "fault" if mean >= _HALF * gold else "note",
            )


def _nothing_known(bench: Bench, rows: Sequence[int]) -> Iterator[tuple[str, str, list[float]]]:
    for name, each in PROBES.items():
        yield name, each.does, _scored([bench.ask(probe(name), row).reward for row in rows])
    for cheap in CHEAP:
        if cheap.name not in _KNOWING:
            scripts = [(row, cheap.make(bench, row)) for row in rows]
            played = [bench.play(script, row).reward for row, script in scripts if script]
            if len(played) > len(rows) / 2:
                yield cheap.name, cheap.does, _scored(played)


def _scored(rewards: Sequence[float | None]) -> list[float]:
    return [reward for reward in rewards if reward is not None]
