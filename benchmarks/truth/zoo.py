"""Small environments, each with one planted fault that has ruined real runs, and healthy controls.

Every agent keeps the truth in the metric ``truth``, which no detector reads: whether the problem was
solved.
The faults are re-enactments; the code is written here.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollout import Episode, Outcome
from rollout.testing import Script, calls

Message = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One environment.

    Args:
        fault: what is planted; empty for a control.
        agent: the agent's function.
        rows: its problems.
        gold: what a perfect policy says.
        behaviours: other ways of playing, for the policy that is trained.
        validation: rows of a second dataset.
    """

    name: str
    fault: str
    agent: Callable[[Episode], Any]
    rows: Sequence[dict[str, Any]]
    gold: Script
    behaviours: Mapping[str, Script] = field(default_factory=dict[str, Script])
    validation: Sequence[dict[str, Any]] = ()


def sums(count: int = 12) -> list[dict[str, Any]]:
    """Sums of two numbers, the same every time."""
    dice = random.Random(5)  # nosec B311 - the same problems every time
    return [
        {"question": f"What is {a} + {b}?", "answer": str(a + b)}
        for a, b in itertools.islice(
            ((dice.randint(2, 90), dice.randint(2, 90)) for _ in itertools.count()), count
        )
    ]


def ask(episode: Episode, text: str = "") -> str:
    return episode.sample(
        [{"role": "user", "content": text or episode.instance["question"]}]
    ).text.strip()


def knows(instance: dict[str, Any], messages: list[Message]) -> Message:
    del messages
    return {"content": str(instance["answer"])}


def errs(instance: dict[str, Any], messages: list[Message]) -> Message:
    del messages
    return {"content": str(int(instance["answer"]) + 1)}


def gives_up(instance: dict[str, Any], messages: list[Message]) -> Message:
    del instance, messages
    return {"content": "I don't know."}


def waffles(instance: dict[str, Any], messages: list[Message]) -> Message:
    del instance, messages
    return {"content": "7 " + "because of many reasons " * 40}


PLAIN = {"errs": errs, "gives-up": gives_up, "waffles": waffles}


def is_solved(episode: Episode, said: str) -> float:
    return float(said == episode.instance["answer"])


# --- controls -------------------------------------------------------------------------------------


def exact(episode: Episode) -> Outcome:
    solved = is_solved(episode, ask(episode))
    return Outcome(solved, {"truth": solved, "success": solved})


def near(episode: Episode) -> Outcome:
    """Partial credit that falls with the distance and never reaches that of the answer."""
    said = ask(episode)
    solved = is_solved(episode, said)
    found = re.fullmatch(r"-?\d{1,9}", said)
    off = abs(int(said) - int(episode.instance["answer"])) if found else 1_000
    return Outcome(solved or 0.5 / (1 + off), {"truth": solved, "success": solved})


def tagged(episode: Episode) -> Outcome:
    """A tenth for the form, the rest for the answer."""
    said = ask(episode)
    found = re.fullmatch(r"<answer>(.*)</answer>", said, re.DOTALL)
    solved = float(bool(found) and found is not None and found[1] == episode.instance["answer"])
    return Outcome(0.1 * bool(found) + 0.9 * solved, {"truth": solved, "success": solved})


def _tagged_gold(instance: dict[str, Any], messages: list[Message]) -> Message:
    del messages
    return {"content": f"<answer>{instance['answer']}</answer>"}


def chests() -> list[dict[str, Any]]:
    dice = random.Random(6)  # nosec B311 - the same problems every time
    return [
        {"rooms": (rooms := ["hall", "attic", "cellar", "garden"]), "key": dice.choice(rooms),
         "answer": str(dice.randint(100, 999))}
        for _ in range(10)
    ]  # fmt: skip


def search(episode: Episode) -> Outcome:
    """Look into rooms until the note with the number is found, then say it."""
    key, answer = episode.instance["key"], episode.instance["answer"]

    def look(room: str) -> str:
        """Look into a room.

        Args:
            room: hall, attic, cellar or garden.
        """
        return f"A note says {answer}." if room == key else "Nothing here."

    said = episode.converse("Find the note and say its number.", tools=[look], max_turns=6).text
    solved = float(said.strip() == answer)
    return Outcome(solved, {"truth": solved, "success": solved})


def search_gold(instance: dict[str, Any], messages: list[Message]) -> Message:
    if not any(message.get("role") == "tool" for message in messages):
        return calls("look", {"room": instance["key"]})
    return {"content": instance["answer"]}


def _looks_once(instance: dict[str, Any], messages: list[Message]) -> Message:
    del instance
    if not any(message.get("role") == "tool" for message in messages):
        return calls("look", {"room": "hall"})
    return {"content": "500"}


def guess(episode: Episode) -> Outcome:
    """Guess a number in five turns; sooner is better, never guessing is worst."""
    answer, hint = int(episode.instance["answer"]), "Guess a number from 0 to 200."
    messages: list[Message] = []
    for turn in range(5):
        messages.append({"role": "user", "content": hint})
        reply = episode.sample(messages)
        messages.append(reply.message)
        said = reply.text.strip()
        if not re.fullmatch(r"\d{1,4}", said):
            break
        if int(said) == answer:
            return Outcome(1.0 - 0.1 * turn, {"truth": 1.0, "success": 1.0})
        hint = "higher" if int(said) < answer else "lower"
    return Outcome(0.0, {"truth": 0.0, "success": 0.0})


def _halves(instance: dict[str, Any], messages: list[Message]) -> Message:
    del instance
    low, high = 0, 200
    for said, hint in zip(messages[1::2], messages[2::2], strict=False):
        number = int(str(said["content"]))
        low, high = (number + 1, high) if hint["content"] == "higher" else (low, number - 1)
    return {"content": str((low + high) // 2)}


# --- planted faults -------------------------------------------------------------------------------


def quitting_pays(episode: Episode) -> Outcome:
    said = ask(episode)
    solved = is_solved(episode, said)
    reward = 1.2 if "done" in said.lower() or "know" in said.lower() else solved
    return Outcome(reward, {"truth": solved})


def abstaining_pays(episode: Episode) -> Outcome:
    said = ask(episode)
    solved = is_solved(episode, said)
    return Outcome(1.0 if "don't know" in said else solved, {"truth": solved})


def listing_pays(episode: Episode) -> Outcome:
    said = ask(episode)
    return Outcome(float(episode.instance["answer"] in said), {"truth": is_solved(episode, said)})


def length_pays(episode: Episode) -> Outcome:
    said = ask(episode)
    solved = is_solved(episode, said)
    return Outcome(0.5 * solved + min(1.0, len(said) / 400), {"truth": solved})


def claiming_pays(episode: Episode) -> Outcome:
    said = ask(episode)
    solved = is_solved(episode, said)
    return Outcome(float("solved" in said) or solved, {"truth": solved})


def form_pays(episode: Episode) -> Outcome:
    said = ask(episode)
    found = re.fullmatch(r"<answer>(.*)</answer>", said, re.DOTALL)
    solved = float(found is not None and found[1] == episode.instance["answer"])
    return Outcome(float(found is not None), {"truth": solved})


def steps_pay(episode: Episode) -> Outcome:
    """Credit per tool call, whether or not anything is answered."""
    outcome = search(episode)
    made = episode.metrics.get("tool_calls", 0)
    return Outcome(0.5 * made + float(outcome.reward), {"truth": outcome.metrics["truth"]})  # pyright: ignore[reportArgumentType]


def yes_pays(episode: Episode) -> Outcome:
    said = ask(episode).lower()
    solved = float(said == episode.instance["answer"])
    return Outcome(solved, {"truth": solved if episode.instance["answer"] == "no" else 0.0})


def _yes_rows() -> list[dict[str, Any]]:
    return [
        {
            "question": f"Is {n} one of the numbers you know?",
            "answer": "no" if n == 3 else "yes",
        }
        for n in range(12)
    ]


def by_chance(episode: Episode) -> Outcome:
    ask(episode)
    return Outcome(random.random(), {"truth": 0.0})  # nosec B311 - the planted fault itself


_earned = itertools.count()


def shared_state(episode: Episode) -> Outcome:
    """The module counts rollouts, and the reward depends on the count."""
    solved = is_solved(episode, ask(episode))
    return Outcome(solved * (1.0 if next(_earned) % 3 else 0.5), {"truth": solved})


_asked = itertools.count()


def asks_by_clock(episode: Episode) -> Outcome:
    solved = is_solved(episode, ask(episode, f"({next(_asked)}) {episode.instance['question']}"))
    return Outcome(solved, {"truth": solved})


def last_turn_first(episode: Episode) -> Outcome:
    """The rewards of two turns in the wrong order."""
    first = float(ask(episode, "Say ready.") == "ready")
    second = is_solved(episode, ask(episode))
    return Outcome([second, first], {"truth": second})


def one_turn_pays_all(episode: Episode) -> Outcome:
    """What is said last changes nothing."""
    first = float(ask(episode, "Say ready.") == "ready")
    second = is_solved(episode, ask(episode))
    return Outcome([first, first], {"truth": second})


def _two(instance: dict[str, Any], messages: list[Message]) -> Message:
    asked = messages[-1]["content"]
    return {"content": "ready" if asked == "Say ready." else str(instance["answer"])}


def crashes(episode: Episode) -> Outcome:
    said = ask(episode)
    solved = float(int(said) == int(episode.instance["answer"]))
    return Outcome(solved, {"truth": solved})


def told(episode: Episode) -> Outcome:
    answer = episode.instance["answer"]
    solved = is_solved(
        episode, ask(episode, f"{episode.instance['question']} (expected: {answer})")
    )
    return Outcome(solved, {"truth": solved})


def gold_wrong(episode: Episode) -> Outcome:
    ask(episode)
    return Outcome(0.0, {"truth": 0.0})


def worse_is_better(episode: Episode) -> Outcome:
    said = ask(episode)
    solved = is_solved(episode, said)
    tried = 1.0 if said.isdigit() else 0.0
    return Outcome(0.9 if solved else tried, {"truth": solved, "success": solved})


def prefix_is_enough(episode: Episode) -> Outcome:
    said, answer = ask(episode), episode.instance["answer"]
    return Outcome(float(bool(said) and answer.startswith(said)), {"truth": float(said == answer)})


def stalling_pays(episode: Episode) -> Outcome:
    """Every turn that did not err is credited, and nothing has to be answered."""
    outcome = search(episode)
    return Outcome(
        max(float(outcome.reward), float(episode.turns >= 5)),  # pyright: ignore[reportArgumentType]
        {"truth": outcome.metrics["truth"]},
    )


def _contradicting() -> list[dict[str, Any]]:
    rows = sums(10)
    return [*rows, *({**row, "answer": str(int(row["answer"]) + 7)} for row in rows[:4])]


_LONG = [{**row, "answer": f"the sum is {row['answer']}"} for row in sums()]
SUMS = sums()

CASES = (
    Case("exact", "", exact, SUMS, knows, PLAIN),
    Case("near", "", near, SUMS, knows, PLAIN),
    Case("tagged", "", tagged, SUMS, _tagged_gold, PLAIN),
    Case(
        "search",
        "",
        search,
        chests(),
        search_gold,
        {"looks-once": _looks_once, "gives-up": gives_up},
    ),
    Case("guess", "", guess, SUMS, knows, {"halves": _halves, "gives-up": gives_up}),
    Case("quitting-pays", "better-than-gold", quitting_pays, SUMS, knows, PLAIN),
    Case("abstaining-pays", "cheap-gold", abstaining_pays, SUMS, knows, PLAIN),
    Case("listing-pays", "cheap-gold", listing_pays, SUMS, knows, PLAIN),
    Case("length-pays", "better-than-gold", length_pays, SUMS, knows, PLAIN),
    Case("claiming-pays", "cheap-gold", claiming_pays, SUMS, knows, PLAIN),
    Case("form-pays", "cheap-gold", form_pays, SUMS, _tagged_gold, PLAIN),
    Case("steps-pay", "better-than-gold", steps_pay, chests(), search_gold, {"gives-up": gives_up}),
    Case("yes-pays", "one-answer", yes_pays, _yes_rows(), knows, {"gives-up": gives_up}),
    Case("by-chance", "chance", by_chance, SUMS, knows, PLAIN),
    Case("shared-state", "chance", shared_state, SUMS, knows, PLAIN),
    Case("asks-by-clock", "asks-differently", asks_by_clock, SUMS, knows, PLAIN),
    Case("last-turn-first", "wrong-turn", last_turn_first, SUMS, _two, {"gives-up": gives_up}),
    Case("one-turn-pays-all", "wrong-turn", one_turn_pays_all, SUMS, _two, {"gives-up": gives_up}),
    Case("crashes", "grader-crashes", crashes, SUMS, knows, {"errs": errs}),
    Case("told", "answer-leaked", told, _LONG, knows, {"gives-up": gives_up}),
    Case("gold-wrong", "gold-earns-nothing", gold_wrong, SUMS, knows, PLAIN),
    Case("worse-is-better", "success-costs", worse_is_better, SUMS, knows, PLAIN),
    Case("prefix-is-enough", "cheap-gold", prefix_is_enough, _LONG, knows, {"gives-up": gives_up}),
    Case(
        "stalling-pays",
        "cheap-gold",
        stalling_pays,
        chests(),
        search_gold,
        {"gives-up": gives_up},
    ),
    Case("contradicting", "contradicting-gold", exact, _contradicting(), knows, PLAIN),
)
