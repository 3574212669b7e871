from __future__ import annotations

from pathlib import Path

import pytest

from devkit.rehearsal.play import read_rows
from environments.wordle import WORDS, marks, problems, scripts, wordle
from rollout.testing import rehearse

ROWS = read_rows(Path(__file__).with_name("dataset.jsonl"), 1_000)


def test_gold_earns_the_most_and_the_order_holds_on_every_row():
    assert len(ROWS) >= 12
    for row in ROWS:
        rewards = scripts.validate(row)
        assert rewards[0] == 1.0
        assert rewards == sorted(rewards, reverse=True)


def test_the_dataset_is_as_generated():
    assert problems.instances() == ROWS


@pytest.mark.parametrize(
    ("guess", "word", "marked"),
    [
        ("crane", "crane", "GGGGG"),
        ("allee", "apple", "GY--G"),
        ("eerie", "steel", "YY---"),
        ("speed", "erase", "Y-YY-"),
    ],
)
def test_wordle_marks_a_letter_no_more_often_than_the_word_has_it(guess, word, marked):
    assert marks(guess, word) == marked


def test_the_words_are_words():
    assert len(set(WORDS)) == len(WORDS) > 150
    assert all(len(w) == 5 and w.isalpha() and w.islower() for w in WORDS)


def test_an_instance_that_cannot_be_used_names_what_is_wrong():
    result = rehearse(wordle, {"word": "toolong"}, scripts.silent)
    assert result.failure is not None
    assert "five-letter" in result.failure.detail
