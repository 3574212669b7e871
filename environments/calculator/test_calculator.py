from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from devkit.rehearsal.play import read_rows
from environments.calculator import evaluate, number_in, scripts

ROWS = read_rows(Path(__file__).with_name("dataset.jsonl"), 1_000)


def test_gold_earns_the_most_and_the_order_holds_on_every_row():
    assert len(ROWS) >= 12
    for row in ROWS:
        rewards = scripts.validate(row)
        assert rewards[0] == 1.0
        assert rewards == sorted(rewards, reverse=True)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(16-3-4)*2", "18"),
        ("80000*1.5", "120000"),
        ("1/4", "0.25"),
        ("-3+$1,000", "997"),
        ("7//2", "3"),
        (".5*4", "2"),
        ("100000000001/2", "50000000000.5"),
        ("10/3", "10/3"),
        ("-1/8", "-0.125"),
    ],
)
def test_arithmetic(expression, value):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "2**9999",
        "1/0",
        "x",
        "",
        "(" * 150,
        "9" * 201,
        "1 if 1 else 2",
        "'a'*9",
        "True+1",
    ],
)
def test_anything_else_is_refused(expression):
    with pytest.raises(ValueError):
        evaluate(expression)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 18", 18),
        ("so 3 and 4", 4),
        ("#### $1,250.50 or so 7", 1250.5),
        ("none", None),
        ("#### -4", -4),
        ("#### \u22125", -5),
        ("#### 1/2", Fraction(1, 2)),
        (r"\boxed{\frac{1}{2}}", Fraction(1, 2)),
        (r"\boxed{1{,}000}", 1000),
        (r"\boxed{1\frac{1}{2}}", Fraction(3, 2)),
        ("#### 1\u00bd", Fraction(3, 2)),
        (r"\boxed{-\dfrac34}", Fraction(-3, 4)),
        (r"\boxed{5 \text{ apples}}", 5),
        (r"so $x = 5 \times 10^{3}$", 5000),
        (r"\boxed{\$5}", 5),
        ("**5**", 5),
        ("#### 5 million", 5_000_000),
        ("#### 2 + 3 = 5", 5),
        ("#### Step 4: add 3 and 4\nThe answer is 7", 7),
        ("#### 4. Add up\nso 7 apples", 7),
        ("#### 3-5", None),
        ("#### 12:30", None),
        ("#### 1,5", None),
        ("#### 1/0", None),
        ("<think>#### 5</think>\n#### 6", 6),
        ("<think>it is 5", None),
        ("x2 of H2O", None),
    ],
)
def test_numbers_in_text(text, number):
    assert number_in(text) == number
