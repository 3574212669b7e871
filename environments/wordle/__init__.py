"""Wordle: find a five-letter word in six guesses.

An instance has ``word``. The policy guesses with ``<guess>crane</guess>`` and reads, letter by letter,
``G`` (right place), ``Y`` (elsewhere in the word) or ``-``. The reward is dominated by the outcome: any
win beats any loss, a fast win a slow one, and playing at all beats not playing.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from rollout import Episode, Outcome, agent
from rollout.errors import AgentError, DeadlineError
from rollout.thoughts import said

GUESSES = 6
SYSTEM = (
    "We play Wordle. Guess the five-letter English word in six guesses. Write each guess as "
    "<guess>crane</guess>. I answer with a mark for each letter: G right place, Y elsewhere in the "
    "word, - not in it."
)
# Our own list; the hidden words of the dataset come from it.
WORDS = Path(__file__).with_name("words.txt").read_text().split()

_GUESS = re.compile(r"<guess>\s*([A-Za-z]+)\s*</guess>")


@agent
def wordle(episode: Episode) -> Outcome:
    """Play one game; a win earns 0.5 to 1.0 by its speed, a loss at most 0.2, not playing 0."""
    word = str(episode.instance.get("word", "")).lower()
    if not re.fullmatch("[a-z]{5}", word):
        raise AgentError("The instance's 'word' is not a five-letter word.")
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Your first guess?"},
    ]
    played, won, nearest = 0, False, 0
    try:
        for turn in range(GUESSES):
            reply = episode.sample(messages)
            guess = guess_in(reply.text)
            messages.append(reply.message)
            if guess is None:
                answer = "That is no guess; write five letters as <guess>crane</guess>."
            else:
                played += 1
                marked = marks(guess, word)
                nearest = max(nearest, marked.count("G"))
                won = guess == word
                answer = f"{guess}: {marked}. {GUESSES - turn - 1} guesses left."
            if won:
                break
            messages.append({"role": "user", "content": answer})
    except DeadlineError:
        pass  # what was reached is scored
    return Outcome(
        reward=score(won=won, guesses=episode.turns, played=played, nearest=nearest),
        metrics={"won": float(won), "guesses": float(played)},
        output={"won": won},
    )


def score(*, won: bool, guesses: int, played: int, nearest: int) -> float:
    """The reward of a game.

    Args:
        guesses: turns taken, 1 to 6.
        played: of which were guesses.
        nearest: most letters in the right place in one guess.
    """
    if won:
        return round(1.0 - 0.1 * (guesses - 1), 3)
    return round(0.1 + 0.02 * nearest, 3) if played else 0.0


def guess_in(text: str) -> str | None:
    """The last guess a reply says; None if there is no five-letter word in its tag."""
    found = [guess.lower() for guess in _GUESS.findall(said(text)) if len(guess) == len("crane")]
    return found[-1] if found else None


def marks(guess: str, word: str) -> str:
    """G, Y and - for each letter; a letter is marked no more often than the word has it."""
    left = Counter(w for g, w in zip(guess, word, strict=True) if g != w)
    marked: list[str] = []
    for letter, right in zip(guess, word, strict=True):
        if letter == right:
            marked.append("G")
        elif left[letter] > 0:
            left[letter] -= 1
            marked.append("Y")
        else:
            marked.append("-")
    return "".join(marked)
