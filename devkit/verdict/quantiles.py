"""Quantiles of the beta and of Student's t distribution.

SciPy has them; it weighs a hundred megabytes, and a laptop's tool needs these two numbers. The tests hold
them to SciPy's.
"""

from __future__ import annotations

import math

_TINY = 1e-300
_STEPS = 300


def beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function: how much of Beta(a, b) lies below ``x``.

    By the continued fraction of Numerical Recipes (section 6.4), evaluated with Lentz's method.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def beta_quantile(a: float, b: float, share: float) -> float:
    """Where ``share`` of Beta(a, b) lies below."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if beta_share(a, b, middle) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def t_quantile(share: float, freedom: float) -> float:
    """Where ``share`` (0.5 to 1) of Student's t with ``freedom`` degrees lies below."""
    x = beta_quantile(freedom / 2, 0.5, 2 * (1 - share))
    return math.sqrt(freedom * (1 - x) / max(x, _TINY))


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for part in (even, odd):
            d = 1 / _off_zero(1 + part * d)
            c = _off_zero(1 + part / c)
            found *= d * c
        if abs(d * c - 1) < 1e-12:
            break
    return found


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
