"""What four players would guess, from knowing the word to not playing, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.wordle import GUESSES, WORDS, wordle
from rollout.testing import check_grades, check_order, says


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Knows the word."""
    del messages
    return {"content": f"<guess>{instance['word']}</guess>"}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Guesses down the list, never the word."""
    done = sum(message["role"] == "assistant" for message in messages)
    others = [word for word in WORDS if word != instance["word"]]
    return {"content": f"<guess>{others[done]}</guess>"}


def slow(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Finds the word with its last guess."""
    done = sum(message["role"] == "assistant" for message in messages)
    return (gold if done == GUESSES - 1 else poor)(instance, messages)


def silent(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Never guesses."""
    del instance, messages
    return {"content": "I would rather not."}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that a fast win beats a slow win, a slow win a loss, and a loss not playing.

    Raises:
        ValueError: the order does not hold for this instance.
    """
    word = instance["word"]
    other = next(each for each in WORDS if each != word)
    equal = {
        "capitals": f"<guess>{word.upper()}</guess>",
        "thought of another first": f"<think><guess>{other}</guess></think><guess>{word}</guess>",
        "with reasons": f"It has these letters, so I say <guess> {word} </guess>",
    }
    less = {
        "without the tag": word,
        "thought alone": f"<think><guess>{word}</guess></think>",
        "another at last": f"<guess>{word}</guess> or <guess>{other}</guess>",
        "one letter more": f"<guess>{word}s</guess>",
    }
    check_grades(
        wordle,
        instance,
        equal=[(name, says(text)) for name, text in equal.items()],
        less=[(name, says(text)) for name, text in less.items()],
    )
    scripts = [("gold", gold), ("slow", slow), ("poor", poor), ("silent", silent)]
    return check_order(wordle, instance, scripts)
