"""The dataset's questions and databases, generated; always the same."""

from __future__ import annotations

import random
from typing import Any


def instances() -> list[dict[str, Any]]:
    """Questions to small shops and libraries, each database filled differently."""
    dice = random.Random(2)  # noqa: S311 - the same each time, on purpose
    found: list[dict[str, Any]] = []
    for _ in range(4):
        setup = _shop(dice)
        found += [
            {"question": question, "setup": setup, "query": query} for question, query in _SHOP
        ]
    return found


_SHOP = [
    ("How many orders are there?", "SELECT count(*) FROM orders"),
    (
        "Which customers have spent more than 100 in total? Give their names.",
        (
            "SELECT c.name FROM customers c JOIN orders o ON o.customer = c.id GROUP BY c.id "
            "HAVING sum(o.amount) > 100"
        ),
    ),
    (
        "List each city with its number of customers, the largest number first, then by name.",
        "SELECT city, count(*) AS n FROM customers GROUP BY city ORDER BY n DESC, city",
    ),
    (
        "What is the average amount of an order of customers in Lyon?",
        (
            "SELECT avg(o.amount) FROM orders o JOIN customers c ON c.id = o.customer "
            "WHERE c.city = 'Lyon'"
        ),
    ),
    (
        "Which customers have never ordered? Give their names.",
        "SELECT name FROM customers WHERE id NOT IN (SELECT customer FROM orders)",
    ),
]


def _shop(dice: random.Random) -> str:
    names = ["Ada", "Ben", "Chloe", "Dev", "Elif", "Finn", "Gita", "Hugo"]
    cities = ["Lyon", "Oslo", "Porto"]
    lines = [
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, amount REAL);",
    ]
    for number, name in enumerate(names, 1):
        city = cities[number % 3] if number < 4 else dice.choice(cities)
        lines.append(f"INSERT INTO customers VALUES ({number}, '{name}', '{city}');")  # noqa: S608 - ours
    for number in range(1, dice.randint(12, 20)):
        customer = dice.randint(1, len(names) - 1)  # the last one never orders
        amount = dice.randint(5, 90)
        lines.append(f"INSERT INTO orders VALUES ({number}, {customer}, {amount});")  # noqa: S608 - ours
    return "\n".join(lines)
