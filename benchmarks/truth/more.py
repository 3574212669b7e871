"""More of the zoo: state, clocks, outages, parameters, data, graders that are too kind, and controls.

As in :mod:`benchmarks.truth.zoo`: every agent keeps the truth in the metric ``truth``.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import random
import re
import time
import uuid
from typing import Any

from benchmarks.truth.zoo import (
    PLAIN,
    SUMS,
    Case,
    Message,
    ask,
    chests,
    errs,
    gives_up,
    is_solved,
    knows,
    search,
    search_gold,
    sums,
    waffles,
)
from rollout import Episode, Outcome
from rollout.testing import calls

# --- controls -------------------------------------------------------------------------------------


def shuffled(episode: Episode) -> Outcome:
    """A choice whose options stand in an order of the episode's own."""
    options = [episode.instance["answer"], "11", "300", "12345"]
    episode.random.shuffle(options)
    listed = "\n".join(f"{letter}) {text}" for letter, text in zip("ABCD", options, strict=True))
    said = ask(episode, f"{episode.instance['question']}\n{listed}")
    right = float(said == "ABCD"[options.index(episode.instance["answer"])])
    return Outcome(right, {"truth": right, "success": right})


def _chooses(instance: dict[str, Any], messages: list[Message]) -> Message:
    found = re.search(
        rf"([A-D])\) {instance['answer']}$", str(messages[-1]["content"]), re.MULTILINE
    )
    return {"content": found[1] if found else ""}


def overlap(episode: Episode) -> Outcome:
    """Partial credit for words in common, by their F1."""
    said, wanted = ask(episode).split(), episode.instance["answer"].split()
    common = sum(min(said.count(word), wanted.count(word)) for word in set(wanted))
    reward = 2 * common / (len(said) + len(wanted))
    right = float(said == wanted)
    return Outcome(right or min(0.5, reward), {"truth": right, "success": right})


_PLACES = (
    "north gate",
    "old mill",
    "stone bridge",
    "quiet harbour",
    "market square",
    "water tower",
)
_ROUTES = [
    {
        "question": f"Which way does courier {n} go?",
        "answer": f"{_PLACES[n % 6]} then {_PLACES[(n * 5 + 1) % 6]} then {_PLACES[(n + 3) % 6]} {n}",
    }
    for n in range(10)
]


def patient(episode: Episode) -> Outcome:
    """Two tries; the second earns half."""
    first = ask(episode)
    if first == episode.instance["answer"]:
        return Outcome(1.0, {"truth": 1.0, "success": 1.0})
    right = is_solved(episode, ask(episode, "That is not right. Try again."))
    return Outcome(0.5 * right, {"truth": right, "success": right})


def _second_try(instance: dict[str, Any], messages: list[Message]) -> Message:
    again = "Try again" in str(messages[-1]["content"])
    return {"content": instance["answer"] if again else "0"}


def ledger(episode: Episode) -> Outcome:
    """Book the right amounts on the right accounts; the final state decides."""
    wanted = {"rent": int(episode.instance["answer"]), "food": 10}
    booked: dict[str, int] = {}

    def book(account: str, amount: int) -> str:
        """Book an amount.

        Args:
            account: its name.
            amount: whole euros.
        """
        if account not in wanted:
            return "There is no such account."
        booked[account] = amount
        return "Booked."

    episode.converse(
        f"Book rent of {wanted['rent']} and food of 10.",
        tools=[book],
        max_turns=6,
        max_calls_per_turn=4,
    )
    right = sum(booked.get(name) == amount for name, amount in wanted.items()) / 2
    truth = float(right == 1.0)
    return Outcome(truth or 0.3 * right, {"truth": truth, "success": truth})


def _books(instance: dict[str, Any], messages: list[Message]) -> Message:
    done = sum(message.get("role") == "tool" for message in messages)
    if done == 0:
        return calls("book", {"account": "rent", "amount": int(instance["answer"])})
    return calls("book", {"account": "food", "amount": 10}) if done == 1 else {"content": "Done."}


def _books_one(instance: dict[str, Any], messages: list[Message]) -> Message:
    done = any(message.get("role") == "tool" for message in messages)
    del instance
    return {"content": "Done."} if done else calls("book", {"account": "food", "amount": 10})


# --- graders that are too kind ----------------------------------------------------------------------


def unreadable_is_right(episode: Episode) -> Outcome:
    """What cannot be read is taken for no error."""
    said = ask(episode)
    off = abs(int(said) - int(episode.instance["answer"])) if re.fullmatch(r"\d{1,9}", said) else 0
    return Outcome(1.0 / (1 + off), {"truth": is_solved(episode, said)})


def wide_tolerance(episode: Episode) -> Outcome:
    said = ask(episode)
    number = float(said) if re.fullmatch(r"\d{1,9}", said) else -1.0
    wanted = float(episode.instance["answer"])
    right = is_solved(episode, said)
    return Outcome(float(0 <= number <= 4 * wanted + 10), {"truth": right})


def first_number(episode: Episode) -> Outcome:
    """Any number of the reply may be the answer."""
    said = ask(episode)
    return Outcome(
        float(episode.instance["answer"] in re.findall(r"\d+", said)),
        {"truth": is_solved(episode, said)},
    )


def believes(episode: Episode) -> Outcome:
    """A grader that reads its verdict out of the graded text."""
    said = ask(episode)
    right = is_solved(episode, said)
    return Outcome(float("VERDICT: PASS" in said) or right, {"truth": right})


def echo_pays(episode: Episode) -> Outcome:
    """Words of the question in the reply count as relevance."""
    said = ask(episode)
    asked = set(episode.instance["question"].lower().split())
    right = is_solved(episode, said)
    shared = len(asked & set(said.lower().split())) / len(asked)
    return Outcome(max(right, 1.5 * shared), {"truth": right})


def polite_pays(episode: Episode) -> Outcome:
    said = ask(episode)
    right = is_solved(episode, said)
    return Outcome(right + 1.5 * ("sorry" in said.lower()), {"truth": right, "success": right})


def constant(episode: Episode) -> Outcome:
    return Outcome(0.5, {"truth": is_solved(episode, ask(episode))})


def upside_down(episode: Episode) -> Outcome:
    """A penalty that was meant to be subtracted."""
    right = is_solved(episode, ask(episode))
    return Outcome(-right, {"truth": right})


def rooms_pay(episode: Episode) -> Outcome:
    """Every room that was looked into earns a fifth, the number itself nothing more."""
    outcome = search(episode)
    made = episode.metrics.get("tool_calls", 0)
    return Outcome(
        max(0.2 * min(5, made), 0.4 * outcome.metrics["truth"]), {"truth": outcome.metrics["truth"]}
    )


def turns_pay(episode: Episode) -> Outcome:
    """Turns are taken for effort."""
    outcome = search(episode)
    truth = outcome.metrics["truth"]
    return Outcome(0.4 * episode.turns + 0.5 * truth, {"truth": truth})


def speed_over_success(episode: Episode) -> Outcome:
    """Not trying is quickest."""
    outcome = search(episode)
    truth = outcome.metrics["truth"]
    return Outcome(truth + 2.0 / episode.turns, {"truth": truth, "success": truth})


# --- chance, state and clocks -----------------------------------------------------------------------


def noisy(episode: Episode) -> Outcome:
    right = is_solved(episode, ask(episode))
    return Outcome(right * random.choice((0.8, 1.0)), {"truth": right})  # nosec B311 - the fault itself


def seeded_noise(episode: Episode) -> Outcome:
    """Chance that a rollout cannot influence, from its own seed."""
    right = is_solved(episode, ask(episode))
    return Outcome(right * episode.random.random(), {"truth": right})


def weekday(episode: Episode) -> Outcome:
    right = is_solved(episode, ask(episode))
    now = dt.datetime.now(dt.UTC)
    return Outcome(right * (0.5 + 0.01 * now.day), {"truth": right})


def dated(episode: Episode) -> Outcome:
    asked = f"Today is {dt.date.today()}. {episode.instance['question']}"  # noqa: DTZ011 - the fault
    right = is_solved(episode, ask(episode, asked))
    return Outcome(right, {"truth": right})


def timed(episode: Episode) -> Outcome:
    """Seconds by the clock decide, and a loaded machine is slow."""
    began = time.time()
    right = is_solved(episode, ask(episode))
    return Outcome(right / (1.0 + time.time() - began), {"truth": right})


def labelled(episode: Episode) -> Outcome:
    right = is_solved(episode, ask(episode, f"{uuid.uuid4()}: {episode.instance['question']}"))
    return Outcome(right, {"truth": right})


_questions = itertools.cycle(sums(7))


def iterator(episode: Episode) -> Outcome:
    """The module deals the problems out, not the instance."""
    dealt = next(_questions)
    said = ask(episode, dealt["question"])
    right = is_solved(episode, said)
    return Outcome(right, {"truth": right})


_stock: dict[str, list[str]] = {row["question"]: ["yes"] * 3 for row in SUMS}


def used_up(episode: Episode) -> Outcome:
    """Data of the module is consumed: after three rollouts of a row nothing is left."""
    right = is_solved(episode, ask(episode))
    left = _stock[episode.instance["question"]]
    return Outcome(right if left and left.pop() else 0.0, {"truth": right})


_history: list[str] = []


def remembers(episode: Episode) -> Outcome:
    """Earlier rollouts stand in the prompt."""
    right = is_solved(
        episode, ask(episode, f"{episode.instance['question']}\nBefore: {_history[-3:]}")
    )
    _history.append(episode.instance["question"])
    return Outcome(right, {"truth": right})


_current: dict[str, Any] = {}


def shared_instance(episode: Episode) -> Outcome:
    """The problem is kept in the module while the policy thinks."""
    _current["answer"] = episode.instance["answer"]
    said = ask(episode)
    right = float(said == _current["answer"])
    return Outcome(right, {"truth": is_solved(episode, said)})


# --- sampling ---------------------------------------------------------------------------------------


def cooler(episode: Episode) -> Outcome:
    said = episode.sample(
        [{"role": "user", "content": episode.instance["question"]}],
        temperature=0.2,
        override_trainer=True,
    ).text.strip()
    right = is_solved(episode, said)
    return Outcome(right, {"truth": right, "success": right})


def shorter(episode: Episode) -> Outcome:
    """Its own limit, from the second turn on."""
    ask(episode, "Say ready.")
    said = episode.sample(
        [{"role": "user", "content": episode.instance["question"]}],
        max_tokens=64,
        override_trainer=True,
    ).text.strip()
    right = is_solved(episode, said)
    return Outcome(right, {"truth": right, "success": right})


def swallows(episode: Episode) -> Outcome:
    """An outage of the policy is scored as a wrong answer."""
    try:
        return search(episode)
    except Exception:  # noqa: BLE001 - the fault itself
        return Outcome(0.0, {"truth": 0.0, "success": 0.0})


def half_credit_for_outages(episode: Episode) -> Outcome:
    reached = 0.0
    try:
        ask(episode, "Say ready.")
        reached = 0.5
        reached += 0.5 * is_solved(episode, ask(episode))
    except Exception:  # noqa: BLE001 - the fault itself
        return Outcome(reached, {"truth": 0.0})
    return Outcome(reached, {"truth": float(reached == 1.0)})


def splits(episode: Episode) -> Outcome:
    right = float(ask(episode).split()[-1] == episode.instance["answer"])
    return Outcome(right, {"truth": right})


def parses(episode: Episode) -> Outcome:
    """Arguments of a tool that are read by hand."""
    answer = episode.instance["answer"]
    schema = {
        "type": "function",
        "function": {
            "name": "submit",
            "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
        },
    }
    question = [{"role": "user", "content": episode.instance["question"]}]
    reply = episode.sample(question, tools=[schema])
    if not reply.tool_calls:
        return Outcome(0.0, {"truth": 0.0, "success": 0.0})
    said = json.loads(reply.message["tool_calls"][0]["function"]["arguments"])["number"].strip()
    right = float(said == answer)
    return Outcome(right, {"truth": right, "success": right})


def _submits(instance: dict[str, Any], messages: list[Message]) -> Message:
    del messages
    return calls("submit", {"number": instance["answer"]})


def described(episode: Episode) -> Outcome:
    """The answer stands in a tool's description."""

    def check(text: str) -> str:
        """Check a text."""
        del text
        return "thanks"

    check.__doc__ = f"Check a text against {episode.instance['answer']}.\n\nArgs:\n    text: it."
    said = episode.converse(episode.instance["question"], tools=[check], max_turns=3).text.strip()
    right = is_solved(episode, said)
    return Outcome(right, {"truth": right, "success": right})


# --- data -------------------------------------------------------------------------------------------


def lenient(episode: Episode) -> Outcome:
    """For rows whose answer may be missing."""
    right = float(ask(episode) == str(episode.instance.get("answer", "0")))
    return Outcome(right, {"truth": right, "success": right})


def _knows_if(instance: dict[str, Any], messages: list[Message]) -> Message:
    del messages
    return {"content": str(instance.get("answer", "0"))}


def keyed(episode: Episode) -> Outcome:
    """The label decides; the truth is what the question asks."""
    said = ask(episode)
    return Outcome(
        float(said == episode.instance["answer"]),
        {"truth": float(said == episode.instance["really"])},
    )


def _really(instance: dict[str, Any], messages: list[Message]) -> Message:
    del messages
    return {"content": instance["really"]}


_MISSING = [row if n != 4 else {"question": row["question"]} for n, row in enumerate(sums(11))]
_MISLABELLED = [
    {**row, "really": row["answer"], "answer": str(int(row["answer"]) + (30 if n % 4 == 1 else 0))}
    for n, row in enumerate(sums(12))
]
_TOLD = "A baker sells {} loaves before noon and {} loaves after it. How many loaves did she sell in all?"
_NEAR = [{"question": _TOLD.format(a, a + 3), "answer": str(2 * a + 3)} for a in range(5, 14)] + [
    {"question": _TOLD.format(7, 10).replace(". How", " , how").upper(), "answer": "17"}
]
_LONG = [{**row, "answer": f"the sum is {row['answer']}"} for row in SUMS]
_SLOW = {"second-try": _second_try, "errs": errs, "gives-up": gives_up}
_DOUBTED = {"really": _really, "gives-up": gives_up}

MORE = (
    Case("shuffled", "", shuffled, SUMS, _chooses, {"gives-up": gives_up}),
    Case("overlap", "", overlap, _ROUTES, knows, {"gives-up": gives_up, "waffles": waffles}),
    Case("ledger", "", ledger, SUMS, _books, {"books-one": _books_one, "gives-up": gives_up}),
    Case("patient", "", patient, SUMS, knows, _SLOW),
    Case("unreadable-is-right", "cheap-gold", unreadable_is_right, SUMS, knows, PLAIN),
    Case("wide-tolerance", "cheap-gold", wide_tolerance, SUMS, knows, PLAIN),
    Case("first-number", "cheap-gold", first_number, SUMS, knows, PLAIN),
    Case("believes", "knows-nothing", believes, SUMS, knows, PLAIN),
    Case("echo-pays", "knows-nothing", echo_pays, SUMS, knows, PLAIN),
    Case(
        "polite-pays",
        "knows-nothing",
        polite_pays,
        SUMS,
        knows,
        {"errs": errs, "sorry": gives_up},
    ),
    Case("constant", "cheap-gold", constant, SUMS, knows, PLAIN),
    Case("upside-down", "gold-earns-nothing", upside_down, SUMS, knows, PLAIN),
    Case("noisy", "chance", noisy, SUMS, knows, PLAIN),
    Case("seeded-noise", "chance", seeded_noise, SUMS, knows, PLAIN),
    Case("weekday", "chance", weekday, SUMS, knows, PLAIN),
    Case("dated", "asks-differently", dated, SUMS, knows, PLAIN),
    Case("timed", "chance", timed, SUMS, knows, PLAIN),
    Case("labelled", "asks-differently", labelled, SUMS, knows, PLAIN),
    Case("iterator", "asks-differently", iterator, SUMS, knows, PLAIN),
    Case("used-up", "chance", used_up, SUMS, knows, PLAIN),
    Case("remembers", "asks-differently", remembers, SUMS, knows, PLAIN),
    Case("shared-instance", "chance", shared_instance, SUMS, knows, PLAIN),
    Case("cooler", "other-parameters", cooler, SUMS, knows, PLAIN),
    Case("shorter", "other-parameters", shorter, SUMS, knows, PLAIN),
    Case("swallows", "scored-outage", swallows, chests(), search_gold, {"gives-up": gives_up}),
    Case("half-credit-for-outages", "scored-outage", half_credit_for_outages, SUMS, knows, PLAIN),
    Case("splits", "grader-crashes", splits, SUMS, knows, PLAIN),
    Case("parses", "grader-crashes", parses, SUMS, _submits, {"gives-up": gives_up}),
    Case("described", "answer-leaked", described, _LONG, knows, {"gives-up": gives_up}),
    Case("missing-field", "missing-field", lenient, _MISSING, _knows_if, {"gives-up": gives_up}),
    Case("mislabelled", "gold-doubted", keyed, _MISLABELLED, knows, _DOUBTED),
    Case("near-duplicates", "near-duplicates", lenient, _NEAR, _knows_if, {"gives-up": gives_up}),
    Case("leaked", "trained-on-validation", lenient, SUMS, _knows_if, PLAIN, validation=SUMS[3:5]),
)
