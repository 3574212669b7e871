"""What a policy thinks, told apart from what it says.

Reasoning stays in the transcript. It is not the answer: a number it weighs is not given, a call it
imagines is not made. Servers with a reasoning parser send it in a field of its own
(``reasoning_content``, ``reasoning``); without one it stands in the text, between the marks that models
were trained on. A block that is not closed is thought to its end; a closing mark without an opening one
(chat templates write the opening) makes thought of all that stands before it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Opening and closing mark by family; of a family whose name is None both are given.
_TAGS = "think thinking thought thoughts reasoning reflection scratchpad seed:think"
_PAIRS: dict[str, tuple[str, str]] = {
    **{tag: (f"<{tag}>", f"</{tag}>") for tag in _TAGS.split()},
    "mistral": ("[THINK]", "[/THINK]"),
    "kimi": ("◁think▷", "◁/think▷"),
    "cohere": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "openthinker": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "apertus": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "gemma": ("<|channel>thought", "<channel|>"),
    "medgemma": ("<unused94>thought", "<unused95>"),
    "bars": ("<|think|>", "<|/think|>"),
}
_OPENING = {opening.lower(): family for family, (opening, _) in _PAIRS.items()}
_CLOSING = {closing.lower(): family for family, (_, closing) in _PAIRS.items()}
# The first character is looked at alone, so that a long text without marks is passed over quickly.
_MARK = re.compile(
    f"(?=[<[◁])(?:{'|'.join(map(re.escape, [*_OPENING, *_CLOSING]))})", re.IGNORECASE
)

# The channels of gpt-oss (OpenAI's harmony format), and what is left of them where a server has dropped
# the special tokens.
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w{1,32})([^<]{0,200})(?:<\|constrain\|>[^<]{0,200})?<\|message\|>"
)
_CHANNEL_END = re.compile(r"<\|(?:end|start|call|return|channel)\|>")
_BARE_CHANNELS = re.compile(r"\Aanalysis(.*?)assistantfinal", re.DOTALL)


class Spoken(NamedTuple):
    """A text in two parts."""

    thoughts: str
    said: str


def spoken(text: str) -> Spoken:
    """Tell thoughts from what is said; a text without marks is said as it stands."""
    if "<|channel|>" in text:
        return _channels(text)
    bare = _BARE_CHANNELS.match(text)
    if bare is not None:
        return Spoken(bare[1].strip(), text[bare.end() :].strip())
    return _blocks(text)


def said(text: str) -> str:
    """What a text says, without its thoughts."""
    return spoken(text).said


def _channels(text: str) -> Spoken:
    thoughts: list[str] = []
    final: list[str] = []
    for head in _CHANNEL.finditer(text):
        end = _CHANNEL_END.search(text, head.end())
        inner = text[head.end() : end.start() if end else len(text)]
        if head[1] == "final":
            final.append(inner)
        elif "to=" not in head[2]:  # a call is neither thought nor said
            thoughts.append(inner)
    return Spoken("\n".join(thoughts).strip(), "".join(final).strip())


def _blocks(text: str) -> Spoken:
    thoughts: list[str] = []
    pieces: list[str] = []
    place, family, marked = 0, "", False
    for mark in _MARK.finditer(text):
        if _is_quoted(text, mark):
            continue
        word = mark[0].lower()
        if family:
            if _CLOSING.get(word) == family:
                thoughts.append(text[place : mark.start()])
                place, family = mark.end(), ""
        elif word in _OPENING:
            pieces.append(text[place : mark.start()])
            place, family, marked = mark.end(), _OPENING[word], True
        else:  # closes what the prompt opened
            thoughts += [*pieces, text[place : mark.start()]]
            pieces, place, marked = [], mark.end(), True
    if not marked:
        return Spoken("", text)
    (thoughts if family else pieces).append(text[place:])
    return Spoken("\n".join(thoughts).strip(), "".join(pieces).strip())


def _is_quoted(text: str, mark: re.Match[str]) -> bool:
    """Whether a mark is named, not used: it stands between backticks."""
    return text[mark.start() - 1 : mark.start()] == "`" and text[mark.end() : mark.end() + 1] == "`"
