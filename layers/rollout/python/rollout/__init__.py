"""Serverless rollouts for SageMaker agentic reinforcement fine-tuning.

An agent is one function::

    from rollout import Episode, agent

    @agent
    def my_agent(episode: Episode) -> float:
        reply = episode.converse(episode.instance["question"])
        return float(reply.text.strip() == episode.instance["answer"])
"""

from typing import TYPE_CHECKING, Any

from rollout.agent import Agent, Outcome, agent
from rollout.contract import InferenceParams, RolloutMetadata, RolloutRequest
from rollout.episode import Episode
from rollout.reply import Reply
from rollout.rubric import Criterion, Rubric, Trajectory

if TYPE_CHECKING:
    from rollout.aws.feedback import RolloutFeedbackClient, make_inference_headers

__all__ = [
    "Agent",
    "Criterion",
    "Episode",
    "InferenceParams",
    "Outcome",
    "Reply",
    "RolloutFeedbackClient",
    "RolloutMetadata",
    "RolloutRequest",
    "Rubric",
    "Trajectory",
    "agent",
    "make_inference_headers",
]


def __getattr__(name: str) -> Any:
    # The top level knows no AWS; who wants to report by himself asks for it by name.
    if name in ("RolloutFeedbackClient", "make_inference_headers"):
        from rollout.aws import feedback

        return getattr(feedback, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
