"""The number an answer ends on, read exactly.

``1,000``, ``1/2``, ``0.5``, ``1 1/2``, ``5e3``, ``-$5``, LaTeX's fractions, powers of ten and
separators, and a minus sign of any keyboard are numbers, compared as fractions. What is no single number
(``3-5``, ``12:30``, ``1,5``) is no answer: reading a part of it would pay for what was not said.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from rollout.thoughts import said

# Characters from the end of a text in which its number is looked for.
_LOOKED_AT = 20_000
# Digits of a number; what is longer answers no problem, and Python refuses to read 4,300 of them.
_LONGEST = 1_000
_LARGEST_POWER = 300

_SIGNS = str.maketrans(dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\uff0d\ufe63", "-"))
_SCALES = {"thousand": 10**3, "k": 10**3, "million": 10**6, "billion": 10**9}
# LaTeX and Markdown around a number, in the order in which they are taken away.
_REWRITTEN = [
    (re.compile(r"\\[dtc]?frac\s*\{\s*([-+]?[\d.]+)\s*\}\s*\{\s*([\d.]+)\s*\}"), r" \1/\2 "),
    (re.compile(r"\\[dtc]?frac\s*(\d)\s*(\d)"), r" \1/\2 "),
    (re.compile(r"(?<=\d)(?:\{,\}|\\,|\\!|[\u00a0\u2009\u202f])(?=\d{3})"), ","),
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\(?:times|cdot)(?![a-zA-Z])|\u00d7"), "*"),
    (re.compile(r"\^\{([^{}]*)\}"), r"^\1"),
    (re.compile(r"(?<!\d)\*\*|\*\*(?!\d)|`|\\(?:left|right|displaystyle)\b|\\[()\[\],;! ]"), " "),
    (re.compile(r"\\?[$€£¥]|\\(?=%)"), ""),
]
_DIGITS = r"(?:\d{1,3}(?:,\d{2})*,\d{3}(?![\d])|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    r"(?:(?<![\w)])(?P<sign>[-+])\s*)?(?<![\w.,])(?:"
    r"(?P<mixed>\d+)\s+(?P<over>\d+)/(?P<under>\d+)"
    rf"|(?P<first>{_DIGITS})"
    rf"(?:\s*/\s*(?P<second>{_DIGITS})"
    r"|(?:[eE]|\s*\*\s*10\s*(?:\^|\*\*))\s*(?P<exponent>[-+]?\d{1,4})(?!\d)"
    r"|\s*(?:\^|\*\*)\s*(?P<power>\d{1,3})(?!\d))?"
    r"(?:\s*(?P<scale>thousand|million|billion)\b|(?P<kilo>[kK])\b)?)(?!,?\d)"
)
_FILLER = re.compile(
    r"(?:(?:the\s+)?(?:final\s+)?(?:answer|result)\s*(?:is|:)?|is|:|\()?\s*", re.IGNORECASE
)
# After a number: a title goes on in words, an expression in another number.
_TITLE = re.compile(r"\s*[.:)]\s*[^\W\d]")
_EXPRESSION = re.compile(r"\s*[-+*/^:.,\u00f7\u00b1]\s*[(.\d]")


class _Unclear(Exception):
    """There is an answer, and it is no single number."""


def number_in(text: str) -> Fraction | None:
    """The number a text ends on: in the last ``####`` line, else the last box, else its last one.

    What the policy thinks is not searched, and a ``####`` line that is a title is none.
    """
    text = said(text)[-_LOOKED_AT:]
    try:
        for line in reversed(text.split("####")[1:]):
            found = _alone(line.partition("\n")[0])
            if found is not None:
                return found
        boxed = _boxed(text)
        if boxed is not None:
            return _alone(boxed)
    except _Unclear:
        return None
    found = list(_NUMBER.finditer(_plain(text)))
    return _value(found[-1]) if found else None


def _alone(payload: str) -> Fraction | None:
    """The number that a line or a box gives; None where it is a title.

    Raises:
        _Unclear: it is an expression.
    """
    plain = _plain(payload).rpartition("=")[2].strip()
    start = _FILLER.match(plain)
    number = _NUMBER.match(plain, start.end() if start else 0)
    if number is None or _TITLE.match(plain, number.end()):
        return None
    if _EXPRESSION.match(plain, number.end()):
        raise _Unclear
    value = _value(number)
    if value is None:
        raise _Unclear
    return value


def _boxed(text: str) -> str | None:
    """What the last box holds; braces in it are balanced."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed")
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin + 1 : place]
    return text[begin + 1 :]


def _plain(text: str) -> str:
    """A text without what stands around its numbers in LaTeX and Markdown."""
    text = "".join(
        f" {unicodedata.normalize('NFKC', c)} "
        if unicodedata.decomposition(c)[:10] == "<fraction>"
        else c
        for c in text
    )
    text = text.replace("\u2044", "/").translate(_SIGNS)
    for pattern, by in _REWRITTEN:
        text = pattern.sub(by, text)
    return text


def _value(number: re.Match[str]) -> Fraction | None:
    """None for what has no value: a division by zero, more digits than an answer has."""
    part = number.groupdict()
    if len(number[0]) > _LONGEST:
        return None
    if part["mixed"]:
        under = Fraction(part["under"])
        value = Fraction(part["mixed"]) + Fraction(part["over"]) / under if under else None
    else:
        value = _simple(part)
    scale = _SCALES.get((part["scale"] or part["kilo"] or "").lower(), 1)
    return None if value is None else value * scale * (-1 if part["sign"] == "-" else 1)


def _simple(part: dict[str, str | None]) -> Fraction | None:
    value = Fraction((part["first"] or "0").replace(",", ""))
    if part["second"]:
        under = Fraction(part["second"].replace(",", ""))
        return value / under if under else None
    if part["exponent"]:
        power = int(part["exponent"])
        return value * Fraction(10) ** power if abs(power) <= _LARGEST_POWER else None
    if part["power"]:
        power = int(part["power"])
        return value**power if power <= _LARGEST_POWER and value < _LONGEST else None
    return value
