"""A customer at a support desk: several turns, tools over a database, a written procedure to keep to.

An instance has ``customer`` (name and e-mail), ``orders``, what the customer wants (``request``, one of
refund, cancel, address) for ``order_id``, a new ``address`` where that is it, and ``expected``: the
orders as the procedure leaves them. The customer is scripted. The reward is the final state: 1.0 if
the orders are as expected and the customer was verified before anything changed, else 0; a quarter if
nothing was changed though it should have been, for a refusal harms less than a wrong refund.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Literal

from rollout import Episode, Outcome, agent
from rollout.errors import DeadlineError

MAX_TURNS = 8
PROCEDURE = """You work at the support desk of a shop. Keep to this procedure:
1. Ask for the order number and the e-mail address of the account, and verify them with verify_customer.
   Change nothing before that.
2. Refund: only orders that were delivered at most 30 days ago. Refund the amount that was paid.
3. Cancel: only orders that are not shipped yet.
4. Address: can be changed until the order is shipped.
5. If the procedure does not allow what the customer wants, say so and change nothing.
End the conversation with a message that contains the word GOODBYE."""


class Desk:
    """The shop's orders during one episode, and what was done to them."""

    def __init__(self, instance: dict[str, Any]) -> None:
        self._customer = instance["customer"]
        self.orders: dict[str, dict[str, Any]] = copy.deepcopy(instance["orders"])
        self.verified: set[str] = set()
        self.broke_procedure = False

    def verify_customer(self, order_id: str, email: str) -> str:
        """Check that an order belongs to the account with this e-mail address.

        Args:
            order_id: the order's number.
            email: the address of the account.
        """
        order = self._order(order_id)
        if email.strip().lower() != self._customer["email"]:
            raise ValueError("the e-mail address does not belong to this order")
        self.verified.add(order_id)
        return f"verified; the order is {order['status']}"

    def look_up_order(self, order_id: str) -> dict[str, Any]:
        """Read an order: status, amount in dollars, days since delivery, address.

        Args:
            order_id: the order's number.
        """
        return self._order(order_id)

    def refund(self, order_id: str, amount: float) -> str:
        """Refund an order.

        Args:
            order_id: the order's number.
            amount: dollars.
        """
        self._change(order_id, {"status": "refunded", "refunded": amount})
        return "refunded"

    def cancel(self, order_id: str) -> str:
        """Cancel an order.

        Args:
            order_id: the order's number.
        """
        self._change(order_id, {"status": "cancelled"})
        return "cancelled"

    def change_address(self, order_id: str, address: str) -> str:
        """Send an order to another address.

        Args:
            order_id: the order's number.
            address: where it goes.
        """
        self._change(order_id, {"address": address})
        return "changed"

    def _order(self, order_id: str) -> dict[str, Any]:
        if order_id not in self.orders:
            raise ValueError(f"there is no order {order_id}")
        return self.orders[order_id]

    def _change(self, order_id: str, change: dict[str, Any]) -> None:
        self._order(order_id).update(change)
        self.broke_procedure = self.broke_procedure or order_id not in self.verified


class Customer:
    """A scripted customer: answers what is asked for, and thanks when the desk says goodbye."""

    def __init__(self, instance: dict[str, Any]) -> None:
        self._instance = instance
        self._told: set[str] = set()

    def opening(self) -> str:
        """The first message."""
        wishes = {
            "refund": "I want my money back for something I ordered.",
            "cancel": "Please cancel an order of mine.",
            "address": f"An order of mine must go to {self._instance.get('address')}.",
        }
        return f"Hello, this is {self._instance['customer']['name']}. {wishes[self._instance['request']]}"

    def answer(self, text: str) -> str:
        """The reply to a message of the desk."""
        wanted: list[str] = []
        if re.search(r"order|number", text, re.IGNORECASE) and "order" not in self._told:
            self._told.add("order")
            wanted.append(f"The order is {self._instance['order_id']}.")
        if re.search(r"e-?mail|account|verify", text, re.IGNORECASE) and "email" not in self._told:
            self._told.add("email")
            wanted.append(f"My e-mail is {self._instance['customer']['email']}.")
        return " ".join(wanted) or "I have told you everything. Can you do it or not?"


@agent
def support_desk(episode: Episode) -> Outcome:
    """Serve one customer; scored by the state the orders are left in."""
    desk, customer = Desk(episode.instance), Customer(episode.instance)
    tools = [
        desk.verify_customer, desk.look_up_order, desk.refund, desk.cancel, desk.change_address,
    ]  # fmt: skip
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": PROCEDURE},
        {"role": "user", "content": customer.opening()},
    ]
    ended = False
    try:
        while not ended and episode.turns < 4 * MAX_TURNS:
            reply = episode.converse(messages, tools=tools, max_calls_per_turn=4)
            messages = reply.conversation
            ended = "GOODBYE" in reply.text.upper()
            if not ended:
                messages.append({"role": "user", "content": customer.answer(reply.text)})
                if sum(m["role"] == "user" for m in messages) > MAX_TURNS:
                    break
    except DeadlineError:
        pass  # the orders are as they are
    verdict = judge(desk, episode.instance)
    rewards = {"right": 1.0, "unchanged": 0.25, "wrong": 0.0}
    return Outcome(
        reward=rewards[verdict] if ended or verdict != "unchanged" else 0.0,
        metrics={"ended": float(ended), "broke_procedure": float(desk.broke_procedure)},
        output={"verdict": verdict, "orders": desk.orders},
    )


def judge(desk: Desk, instance: dict[str, Any]) -> Literal["right", "unchanged", "wrong"]:
    """What the orders' final state is worth."""
    if desk.orders == instance["expected"] and not desk.broke_procedure:
        served = instance["expected"] != instance["orders"] or bool(desk.verified)
        return "right" if served else "unchanged"
    return "unchanged" if desk.orders == instance["orders"] else "wrong"
