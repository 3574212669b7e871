"""Functions and servers written for the reference SDK, as agents.

Their code stays as it is: it finds an endpoint in the payload's metadata, samples there with any HTTP
client, and reports there or returns its reward. The endpoint is a server on loopback that belongs to
the one episode: turns end in ``Episode.sample``, and reports are kept as the agent's outcome rather
than sent. The OpenAI client must not retry (``max_retries=0``), or it samples a turn twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self, cast

from rollout.adapters.packages import needed
from rollout.adapters.transport import chunks, sample_body
from rollout.agent import Outcome, agent, call
from rollout.episode import Episode
from rollout.errors import AgentError, AgentUnavailable, NotFound, RolloutError
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
        with _Loopback(episode) as runtime:
            value = runtime.watched(lambda: call(function, runtime.payload()))
        return runtime.outcome(value)

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


class _Loopback:
    """The Job Runtime of one episode on a loopback port."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._failure: BaseException | None = None
        self._status: Status = "ready"
        self._rewards: list[float] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def payload(self) -> dict[str, Any]:
        """What the function is called with."""
        metadata = {
            "job_arn": _JOB,
            "trajectory_id": self._episode.trajectory_id,
            "endpoint": f"http://127.0.0.1:{self._server.server_port}",
            "region": "us-west-2",
        }
        params = self._episode.inference_params
        return {
            "instance": self._episode.instance,
            "metadata": metadata,
            "inference_params": params,
        }

    def watched(self, play: Callable[[], Any]) -> Any:
        """Run the function; what went wrong in the episode wins over what it made of that."""
        try:
            with kept_by(self):
                value = play()
        except Exception:
            if self._failure:
                raise self._failure from None
            raise
        if self._failure:
            raise self._failure
        return value

    def outcome(self, value: Any) -> Outcome:
        """The reward that was returned, or else reported."""
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

    def serve(self, path: str, body: bytes) -> dict[str, Any]:
        """Answer one call of the function."""
        if path.endswith(("/chat/completions", "/sample")):
            try:
                return sample_body(self._episode, body)
            except BaseException as error:
                self._failure = error
                raise
        document = json.loads(body)
        if path.endswith("/complete-rollout"):
            self.complete(document.get("Status", "ready"))
        elif path.endswith("/update-reward"):
            self.reward(document["Rewards"])
        else:
            raise NotFound(f"There is no {path}.")
        return {}


def _handler(runtime: _Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                answer, status = runtime.serve(self.path, body), 200
            except NotFound as error:
                answer, status = {"error": {"message": error.detail}}, 404
            except RolloutError as error:
                answer, status = {"error": {"message": error.detail, "type": error.slug}}, 400
            except BaseException as error:  # noqa: BLE001 - a suspension too; watched() raises it
                answer, status = {"error": {"message": type(error).__name__}}, 503
            streamed = status == 200 and json.loads(body).get("stream")
            data = chunks(answer) if streamed else json.dumps(answer).encode()
            self.send_response(status)
            kind = "text/event-stream" if streamed else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Nothing: a request line is no news."""

    return Handler
