"""Cheap behaviours: what training would find before it finds the solution.

Each can be had without solving the problem in hand: by saying one thing always, by saying everything, by
saying it longer or shorter, by stopping early, by answering another problem. None may earn what gold
earns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devkit.detectors.bench import Bench, Message, altered, saying
from rollout.testing import Script

# Characters of the reply that lists every answer; a model could not say more in 8,192 tokens.
_LISTED = 30_000
_JUNK = "Let me think about this more carefully and consider every aspect of the question. "


@dataclass(frozen=True, slots=True)
class Cheap:
    """One behaviour.

    Args:
        name: stable; programs may match on it.
        does: what it does, to stand after "a policy that".
        make: its script for one row; None where the row leaves nothing to try.
        acts: whether it makes all of gold's tool calls: right where the state they leave decides.
    """

    name: str
    does: str
    make: Callable[[Bench, int], Script | None]
    acts: bool = False


def _list_all(bench: Bench, row: int) -> Script | None:
    del row
    distinct = list(dict.fromkeys(answer for answer in bench.answers if answer))
    if len(distinct) < 2:
        return None
    return saying("\n".join(distinct)[:_LISTED])


def _commonest(bench: Bench, row: int) -> Script | None:
    """The answer that is right most often, where it is not right on this row."""
    counted = Counter(answer for answer in bench.answers if answer)
    if not counted:
        return None
    text, _ = counted.most_common(1)[0]
    return None if text == bench.answer(row) else saying(text)


def _another(bench: Bench, row: int) -> Script | None:
    """The answer of the next row that has another one."""
    own = bench.answer(row)
    for step in range(1, len(bench.rows)):
        other = bench.answer((row + step) % len(bench.rows))
        if other and other != own:
            return saying(other)
    return None


def _truncated(bench: Bench, row: int) -> Script | None:
    answer = bench.answer(row)
    if len(answer) < 2:
        return None
    return altered(bench.gold, lambda text: text[: len(text) // 2])


def _padded_nonsense(bench: Bench, row: int) -> Script | None:
    """A long text that says nothing, in gold's place."""
    del row
    return altered(bench.gold, lambda text: _JUNK * max(20, 4 * len(text) // len(_JUNK)))


def _stall(bench: Bench, row: int) -> Script | None:
    """Makes gold's tool calls for ever, and never answers."""
    calls = [message for message in bench.said(row) if message.get("tool_calls")]
    if not calls:
        return None

    def script(instance: dict[str, Any], messages: list[Message]) -> Message:
        del instance
        done = sum(message.get("role") == "assistant" for message in messages)
        return dict(calls[min(done, len(calls) - 1)])

    return script


def _no_answer(bench: Bench, row: int) -> Script | None:
    """Makes gold's tool calls and then says nothing of use."""
    if not any(message.get("tool_calls") for message in bench.said(row)):
        return None
    return altered(bench.gold, lambda _: "That is all.")


def _quit(bench: Bench, row: int) -> Script | None:
    """Ends at once where gold needs several turns."""
    if len(bench.said(row)) < 2:
        return None
    return saying("I am done.")


def _format_only(bench: Bench, row: int) -> Script | None:
    """Gold's form with its letters and digits replaced."""
    if not any(c.isalnum() for c in bench.answer(row)):
        return None
    return altered(bench.gold, _mask)


def _mask(text: str) -> str:
    """A text's marks and tags, and other digits and words between them."""
    tags = [
        piece for piece in text.replace(">", ">\n").splitlines() if piece.startswith(("<", "#"))
    ]
    if tags:
        return "".join(
            "<" + tag[1:] if tag.startswith("<") else tag.split()[0] + " " for tag in tags
        )
    return "".join("0" if c.isdigit() else "x" if c.isalpha() else c for c in text)


def _said(text: str) -> Callable[[Bench, int], Script | None]:
    def make(bench: Bench, row: int) -> Script | None:
        return None if bench.answer(row).strip().lower() == text.lower() else saying(text)

    return make


CHEAP = (
    Cheap("list-all", "lists the answers of all rows in one reply", _list_all),
    Cheap("commonest", "says the commonest answer to everything", _commonest),
    Cheap("another-row", "says another row's answer", _another),
    Cheap("truncated", "breaks off in the middle of gold's answer", _truncated, acts=True),
    Cheap("padding", "writes a long text that says nothing", _padded_nonsense, acts=True),
    Cheap("stall", "repeats tool calls and never answers", _stall, acts=True),
    Cheap("no-answer", "makes gold's tool calls and gives no answer", _no_answer, acts=True),
    Cheap("quit", "ends at once where several turns are needed", _quit),
    Cheap(
        "format-only",
        "keeps the form of the answer and says nothing in it",
        _format_only,
        acts=True,
    ),
    Cheap("abstain", "says that it does not know", _said("I don't know.")),
    Cheap("yes", "says yes to everything", _said("yes")),
    Cheap("zero", "says 0 to everything", _said("0")),
    Cheap("option-a", "chooses A everywhere", _said("A")),
    Cheap("claim", "claims to have solved it", _said("I have solved the problem correctly.")),
)
