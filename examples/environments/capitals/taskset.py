"""A taskset of verifiers': one question, one answer."""

from __future__ import annotations

from collections.abc import Iterable

import verifiers.v1 as vf

_CAPITALS = {
    "France": "Paris", "Japan": "Tokyo", "Kenya": "Nairobi", "Peru": "Lima", "Norway": "Oslo",
    "Canada": "Ottawa", "Egypt": "Cairo", "Chile": "Santiago",
}  # fmt: skip


class CapitalData(vf.TaskData):
    """A question and what answers it."""

    answer: str


class CapitalTask(vf.Task[CapitalData]):
    """Asks for a capital; half a point for naming it among other words."""

    @vf.reward
    async def right(self, task: CapitalData, trace: vf.Trace) -> float:
        """Whether the answer is the capital alone, or has it."""
        said = trace.last_reply.strip().strip(".")
        return 1.0 if said == task.answer else 0.5 * float(task.answer in said)

    @vf.metric
    async def words(self, trace: vf.Trace) -> float:
        """How much was said."""
        return float(len(trace.last_reply.split()))


class CapitalsTaskset(vf.Taskset[CapitalTask]):
    """Eight countries."""

    def load(self) -> Iterable[CapitalTask]:
        """One task for each country."""
        for country, capital in _CAPITALS.items():
            yield CapitalTask(
                CapitalData(
                    prompt=f"What is the capital of {country}?",
                    system_prompt="Answer with the name alone.",
                    answer=capital,
                )
            )


__all__ = ["CapitalsTaskset"]
