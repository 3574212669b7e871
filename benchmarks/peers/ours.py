"""Our own endpoint, with a path that only parses beside the real ones, and its library by itself."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import api
from rollout import Episode, RolloutFeedbackClient, agent, trust
from rollout.agent import Agent
from rollout.aws.feedback import feedback_for
from rollout.aws.job_runtime import policy_for
from rollout.contract import parse_rollout, read_body, validate_rollout
from rollout.results import Report, Result, Rollout
from rollout.run import run
from rollout.service.play_inline import play_inline
from rollout.settings import settings
from rollout.steps import InlineSteps


@api.app.post("/parse")
def parse() -> Any:
    """What POST /rollout does with a body before it plays."""
    event = api.app.current_event
    body = read_body(event.body, event.is_base64_encoded, settings().max_body_bytes)
    request = parse_rollout(body)
    return api._json({"trajectory_id": request.metadata.trajectory_id})  # noqa: SLF001 - the endpoint's own


handler = api.handler


def unrecorded(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The endpoint, with a POST /rollout that records nothing."""
    if event["path"] != "/rollout":
        return api.handler(event, context)
    result = play(parse_rollout(event["body"].encode()).metadata.model_dump(), 1)
    return {"statusCode": 200, "body": json.dumps(result.answer("t"))}


@agent
def turns(episode: Episode) -> float:
    """Sample some turns; each is a conversation of its own, or goes on from the one before."""
    messages: list[dict[str, Any]] = []
    for turn in range(episode.instance.get("turns", 1)):
        if not episode.instance.get("grow"):
            messages = []
        messages.append({"role": "user", "content": f"turn {turn}"})
        messages.append(episode.sample(messages).message)
    return 1.0


@dataclass(slots=True)
class Kept:
    """Records that are held in memory only."""

    results: list[Result] = field(default_factory=list[Result])

    def scored(self, result: Result) -> None:
        """Keep the result."""
        self.results.append(result)

    def note(self, result: Result) -> None:
        """There is one place only."""

    def keep(self, result: Result) -> None:
        """Trajectories are not kept."""

    def kept(self) -> None:
        """Nor named."""

    def reported(self, result: Result, report: Report) -> None:
        """Its report is on its way."""
        if report.delivery != "delivered":
            raise RuntimeError(f"{result.status}: {report.detail}")


def accept(body: str) -> Rollout:
    """What is done with a request before it is played: parse, check, identify."""
    request = parse_rollout(read_body(body, encoded=False, limit=settings().max_body_bytes))
    return Rollout.of(request, trust.check(request, settings()))


def play(metadata: dict[str, Any], turns_: int, grow: Any = None) -> Result:
    """Play a rollout as ``POST /rollout`` does, without its records in DynamoDB and S3."""
    request = validate_rollout({"instance": {"turns": turns_, "grow": grow}, "metadata": metadata})
    checked = Rollout.of(request, trust.check(request, settings()))
    end = time.time() + 600
    result, _ = run(
        checked,
        agent=Agent("benchmarks:turns", turns),
        policy=policy_for(checked.destination, settings()),
        steps=InlineSteps(lambda: None, report_deadline=end),
        feedback=feedback_for(checked.destination),
        ledger=Kept(),
        limits=settings().limits,
        deadline=end,
    )
    if result.status != "ready":
        raise RuntimeError(f"The rollout failed: {result.failure}")
    return result


def play_recorded(metadata: dict[str, Any], turns_: int) -> None:
    """Play a rollout as ``POST /rollout`` does, records included."""
    request = validate_rollout({"instance": {"turns": turns_}, "metadata": metadata})
    played = play_inline(request, settings(), 600.0)
    if played.result.status != "ready":
        raise RuntimeError(f"The rollout failed: {played.result.failure}")


def report(metadata: dict[str, Any]) -> None:
    """Complete the trajectory and give it its reward."""
    RolloutFeedbackClient(metadata).report_complete(1.0)
