"""Grade-school word problems with a calculator, in GSM8K's format.

An instance has ``question`` and ``answer``; the answer ends in ``#### number`` as GSM8K publishes it
(Cobbe et al., 2021), or is the number itself. The reward is 1.0 for the right number, else 0.0. Numbers
are compared exactly, whatever form they are written in: see :mod:`environments.calculator.answers`.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from environments.calculator.answers import number_in
from rollout import Episode, Outcome, agent
from rollout.errors import AgentError, DeadlineError

SYSTEM = (
    "Solve the problem step by step. Use the evaluate tool for every calculation. "
    "End your last message with a line '#### ' followed by the number alone."
)

_LONGEST = 200
# What else Python would read is none, and its parser writes warnings about it to the log.
_ARITHMETIC = re.compile(r"[0-9.eE_+\-*/%()\s]*")


def _divide(left: Fraction, right: Fraction) -> Fraction:
    return left / right


def _floor_divide(left: Fraction, right: Fraction) -> Fraction:
    return Fraction(left // right)


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: _floor_divide,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


@agent
def calculator(episode: Episode) -> Outcome:
    """Answer a word problem with a calculator tool; 1.0 if the number is right."""
    if not isinstance(episode.instance.get("question"), str):
        raise AgentError(
            "The instance has no 'question' text; GSM8K rows have question and answer."
        )
    expected = number_in(str(episode.instance.get("answer", "")))
    if expected is None:
        raise AgentError("The instance's 'answer' holds no number to compare with.")
    given = None
    try:
        reply = episode.converse(episode.instance["question"], tools=[evaluate], system=SYSTEM)
        given = number_in(reply.text)
    except DeadlineError:
        pass  # it was still calling the tool: no answer, no reward
    return Outcome(
        reward=float(given == expected),
        metrics={"answered": float(given is not None)},
        output={"answer": None if given is None else str(given)},
    )


def evaluate(expression: str) -> str:
    """Evaluate an arithmetic expression exactly.

    Args:
        expression: numbers, + - * / // % and parentheses, e.g. "(16 - 3 - 4) * 2".
    """
    if len(expression) > _LONGEST:
        raise ValueError(f"the expression is longer than {_LONGEST} characters")
    cleaned = expression.replace(",", "").replace("$", "")
    if not _ARITHMETIC.fullmatch(cleaned):
        raise ValueError("only numbers, + - * / // % and parentheses are allowed")
    try:
        value = _evaluate(ast.parse(cleaned.strip(), mode="eval").body)
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("this is not an arithmetic expression") from None
    return _text(value)


def _evaluate(node: ast.AST) -> Fraction:
    # No power operator and a length limit: no expression can cost more than its own reading.
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Fraction(str(node.value))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.operand))
    raise ValueError("only numbers, + - * / // % and parentheses are allowed")


def _text(value: Fraction) -> str:
    """The value exactly: as a decimal where it has an end, else as a fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    places = 0
    for factor in (2, 5):
        count = 0
        while rest % factor == 0:
            rest //= factor
            count += 1
        places = max(places, count)
    if rest != 1:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
