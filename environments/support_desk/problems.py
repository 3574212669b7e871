"""The dataset's customers, generated; always the same."""

from __future__ import annotations

import random
from typing import Any


def instances() -> list[dict[str, Any]]:
    """Customers whose wish the procedure allows, and customers whose it does not."""
    dice = random.Random(3)  # noqa: S311 - the same each time, on purpose
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
