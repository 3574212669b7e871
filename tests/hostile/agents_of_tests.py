"""An agent that uses all that reads a reply."""

from __future__ import annotations

from rollout import Episode, Outcome, agent


def evaluate(expression: str, times: float = 1.0) -> str:
    """Repeat an expression.

    Args:
        expression: any text.
        times: any number.
    """
    return f"{expression} {times}"


@agent
def recovering(episode: Episode) -> Outcome:
    """Reads tool calls also where the policy wrote them as text."""
    reply = episode.converse(
        str(episode.instance.get("question")), tools=[evaluate], recover_text_calls=True
    )
    return Outcome(len(reply.text) / 1e9, {"calls": len(reply.tool_calls)}, {"text": reply.text})
