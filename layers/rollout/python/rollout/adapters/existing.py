"""Functions and servers written for the reference SDK, as agents.

Their code stays as it is: it finds an endpoint in the payload's metadata, samples there with any HTTP
client, and reports there or returns its reward. The endpoint is a server on loopback that belongs to
the one episode (:mod:`rollout.adapters.loopback`): turns end in ``Episode.sample``, and reports are kept
as the agent's outcome rather than sent.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from rollout.adapters.http_server import Answer, error_answer, json_answer, listening
from rollout.adapters.loopback import Chat
from rollout.adapters.packages import needed
from rollout.adapters.transport import CHAT
from rollout.agent import Outcome, agent, call
from rollout.episode import Episode
from rollout.errors import AgentError, AgentUnavailable
from rollout.feedback import Status, kept_by

# What a decorated function or server was trained to see as a job.
_JOB = "arn:aws:sagemaker:us-west-2:000000000000:job/AgentRFT/episode"


def rft_agent(function: Callable[[dict[str, Any]], Any]) -> Callable[[Episode], Any]:
    """A function of the SDK's ``@sagemaker_rft_handler`` shape as an agent.

    Args:
        function: takes the payload (``instance``, ``metadata``, ``inference_params``), returns
            ``{"reward": …}``; sync or async. Leave the SDK's own decorator away.
    """

    @agent
    def play(episode: Episode) -> Outcome:
        return _Runtime(episode).play(function)

    return play


def server_agent(app: Any, path: str = "/rollout") -> Callable[[Episode], Any]:
    """An ASGI rollout server (FastAPI, Starlette) as an agent; needs ``httpx`` or ``httpx2``.

    Args:
        app: the application.
        path: of the endpoint that takes a RolloutRequest.
    """

    async def post(payload: dict[str, Any]) -> Any:
        http_library = _http_library()
        transport = http_library.ASGITransport(app=app)
        async with http_library.AsyncClient(transport=transport, base_url="http://server") as http:
            answer = await http.post(path, json=payload, timeout=None)
        if answer.is_error:
            raise AgentError(f"The server answered {answer.status_code} to {path}.")
        return answer.json()

    return rft_agent(post)


def _http_library() -> Any:
    """``httpx``, or ``httpx2``, which comes with openai 3."""
    try:
        return needed("httpx", "httpx")
    except AgentUnavailable:
        return needed("httpx2", "httpx2 (or httpx)")


class _Runtime:
    """The Job Runtime of one episode on a loopback port."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._chat = Chat(episode)
        # The code brings a key of its own making; what nobody can guess stands in the path.
        self._path = f"/{secrets.token_urlsafe(32)}"
        self._status: Status = "ready"
        self._rewards: list[float] | None = None

    def play(self, function: Callable[[dict[str, Any]], Any]) -> Outcome:
        """Call the function; its reward is the one it returned, or else reported."""
        with self._chat.watched(), listening(self._respond) as port, kept_by(self):
            value = call(function, self._payload(port))
        return self._outcome(value)

    def _payload(self, port: int) -> dict[str, Any]:
        metadata = {
            "job_arn": _JOB,
            "trajectory_id": self._episode.trajectory_id,
            "endpoint": f"http://127.0.0.1:{port}{self._path}",
            "region": "us-west-2",
        }
        return {
            "instance": self._episode.instance,
            "metadata": metadata,
            "inference_params": self._episode.inference_params,
        }

    def _outcome(self, value: Any) -> Outcome:
        known: dict[str, Any] = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if self._status == "failed" or known.get("status") == "error":
            raise AgentError("The function reported that its rollout failed.")
        reward: Any = known.get("reward", self._rewards)
        if reward is None:
            raise AgentError('The function neither returned {"reward": …} nor reported one.')
        output = {k: v for k, v in known.items() if k != "reward"} or None
        if reward == self._rewards and len(self._rewards or ()) == 1:
            reward = reward[0]  # a single reward is reported as a list of one
        return Outcome(reward, output=output)

    # What RolloutFeedbackClient and the reports' HTTP calls end in.
    def complete(self, status: Status) -> None:
        self._status = status

    def reward(self, rewards: Sequence[float]) -> None:
        self._rewards = list(rewards)

    def _respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one call of the function."""
        if not path.startswith(f"{self._path}/"):
            return error_answer(404, "There is no such path; use metadata.endpoint.", "not_found")
        if path.endswith("/sample"):
            path = CHAT
        if not path.endswith(("/complete-rollout", "/update-reward")):
            return self._chat.respond(method, path, headers, body)
        try:
            document = json.loads(body)
            if path.endswith("/complete-rollout"):
                self.complete(document.get("Status", "ready"))
            else:
                self.reward(document["Rewards"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return error_answer(400, "This report cannot be read.", "bad_request")
        return json_answer({})
