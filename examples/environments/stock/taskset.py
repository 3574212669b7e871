"""A taskset of verifiers' with a tool server of its own for each rollout."""

from __future__ import annotations

from collections.abc import Iterable

import verifiers.v1 as vf
from pydantic import Field

_STOCK = {"bolt": 40, "nut": 12, "gear": 7, "belt": 0}


class StockData(vf.TaskData):
    """What is wanted, and what is right after it was taken."""

    item: str
    wanted: int
    left: int


class StockState(vf.State):
    """What was taken, by item; the tool server writes it, the reward reads it."""

    taken: dict[str, int] = Field(default_factory=dict)


class StockToolset(vf.Toolset[vf.ToolsetConfig, StockState]):
    """Counts and hands out parts."""

    TOOL_PREFIX = None

    @vf.tool
    async def count(self, item: str) -> int:
        """How many of an item there are.

        Args:
            item: its name.
        """
        return _STOCK[item] - self.state.taken.get(item, 0)

    @vf.tool
    async def take(self, item: str, number: int) -> str:
        """Take some of an item.

        Args:
            item: its name.
            number: how many.
        """
        left = _STOCK[item] - self.state.taken.get(item, 0)
        if number > left:
            raise ValueError(f"there are only {left}")
        self.state.taken[item] = self.state.taken.get(item, 0) + number
        return f"{left - number} left"


class StockTask(vf.Task[StockData, StockState]):
    """Take parts and say how many are left."""

    @classmethod
    def toolsets(cls, config: vf.TaskConfig) -> list[vf.Toolset]:
        """One server for each rollout."""
        del config
        return [StockToolset(vf.ToolsetConfig())]

    @vf.reward(weight=0.75)
    async def taken(self, task: StockData, trace: vf.Trace) -> float:
        """Whether just the right parts were taken."""
        return float(trace.state.taken == {task.item: task.wanted})

    @vf.reward(weight=0.25)
    async def told(self, task: StockData, trace: vf.Trace) -> float:
        """Whether the last message has what is left."""
        return float(str(task.left) in trace.last_reply.split())


class StockTaskset(vf.Taskset[StockTask]):
    """Three orders."""

    def load(self) -> Iterable[StockTask]:
        """One task for each order."""
        for item, wanted in (("bolt", 15), ("nut", 12), ("gear", 3)):
            left = _STOCK[item] - wanted
            prompt = f"Take {wanted} of {item}. Then say how many are left, as a number alone."
            yield StockTask(StockData(prompt=prompt, item=item, wanted=wanted, left=left))


__all__ = ["StockTaskset"]

if __name__ == "__main__":
    StockToolset.run()
