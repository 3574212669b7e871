"""Writes the datasets under ``environments``: JSONL with a ``prompt`` column, as a job reads them.

The platform passes ``prompt`` verbatim, so a row packs its instance into that string as JSON. The word
problems were written by hand and are only read here; the others are generated, always the same.
"""

from __future__ import annotations

import json
import random
from typing import Any

from devkit.places import dataset_of
from environments.wordle import WORDS

_Dice = random.Random  # seeded, so that the files are always the same
AGENTS = {
    "calculator": "environments.calculator:calculator",
    "wordle": "environments.wordle:wordle",
    "sql": "environments.sql:sql",
    "support_desk": "environments.support_desk:support_desk",
}


def games(count: int = 24) -> list[dict[str, Any]]:
    """Words for Wordle."""
    return [{"word": word} for word in _Dice(1).sample(WORDS, count)]


def questions() -> list[dict[str, Any]]:
    """Questions to small shops and libraries, each database filled differently."""
    dice = _Dice(2)
    found: list[dict[str, Any]] = []
    for _ in range(4):
        setup = _shop(dice)
        found += [
            {"question": question, "setup": setup, "query": query} for question, query in _SHOP
        ]
    return found


def customers() -> list[dict[str, Any]]:
    """Customers whose wish the procedure allows, and customers whose it does not."""
    dice = _Dice(3)
    names = ["Ada Novak", "Ben Okafor", "Chloe Martin", "Dev Patel", "Elif Kaya", "Finn Berg"]
    found: list[dict[str, Any]] = []
    for number, wish in enumerate(["refund", "cancel", "address"] * 6):
        name = names[number % len(names)]
        allowed = number % 9 < 6
        order_id = f"A{dice.randint(1000, 9999)}"
        delivered = {"refund": True, "cancel": not allowed, "address": not allowed}[wish]
        order: dict[str, Any] = {
            "status": "delivered" if delivered else "open",
            "amount": dice.randint(5, 200),
            "days_since_delivery": dice.randint(1, 29) if allowed else dice.randint(31, 90),
            "address": f"{dice.randint(1, 99)} Mill Lane",
        }
        if not delivered:
            del order["days_since_delivery"]
        address = f"{dice.randint(1, 99)} Harbour Street"
        changes = {
            "refund": {"status": "refunded", "refunded": order["amount"]},
            "cancel": {"status": "cancelled"},
            "address": {"address": address},
        }
        found.append(
            {
                "customer": {"name": name, "email": f"{name.split()[0].lower()}@example.com"},
                "orders": {order_id: order},
                "request": wish,
                "order_id": order_id,
                **({"address": address} if wish == "address" else {}),
                "expected": {order_id: {**order, **(changes[wish] if allowed else {})}},
            }
        )
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


def write(name: str, instances: list[dict[str, Any]]) -> None:
    """Write one dataset."""
    rows = [json.dumps({"prompt": json.dumps(instance)}) for instance in instances]
    dataset_of(AGENTS[name]).write_text("\n".join(rows) + "\n")


def main() -> None:
    """Write every dataset that is generated."""
    write("wordle", games())
    write("sql", questions())
    write("support_desk", customers())


if __name__ == "__main__":
    main()
