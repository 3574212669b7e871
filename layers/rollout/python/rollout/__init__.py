"""Serverless rollouts for SageMaker agentic reinforcement fine-tuning.

An agent is one function::

    from rollout import Episode, agent

    @agent
    def my_agent(episode: Episode) -> float:
        reply = episode.converse(episode.instance["question"])
        return float(reply.text.strip() == episode.instance["answer"])
"""

from rollout.agent import Agent, Outcome, agent
from rollout.contract import InferenceParams, RolloutMetadata, RolloutRequest
from rollout.episode import Episode
from rollout.feedback import RolloutFeedbackClient, make_inference_headers
from rollout.reply import Reply

__all__ = [
    "Agent",
    "Episode",
    "InferenceParams",
    "Outcome",
    "Reply",
    "RolloutFeedbackClient",
    "RolloutMetadata",
    "RolloutRequest",
    "agent",
    "make_inference_headers",
]
