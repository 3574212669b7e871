"""What an agent holds while it plays: one rollout's problem, policy, budgets and record of turns."""

from __future__ import annotations

import hashlib
import json
import marshal
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from rollout.awaiting import awaited, awaiting
from rollout.contract import InferenceParams
from rollout.conversation import shared
from rollout.errors import (
    AgentError,
    AlreadyRunning,
    BudgetSpent,
    ContextFull,
    OutOfTime,
    RolloutError,
    SampleFailed,
    StepRaised,
    Unavailable,
)
from rollout.judgement import ends_agent, of_step
from rollout.policy import Policy
from rollout.reply import Message, Reply, read_reply, sendable
from rollout.steps import Steps
from rollout.text_tool_calls import text_calls
from rollout.tools import Tool, ToolCall, as_tool, ending_at_outages, run_with_retries
from rollout.values import NotJson, jsonable

if TYPE_CHECKING:
    from rollout.adapters.loopback import BaseUrl

F = TypeVar("F", bound=Callable[..., Any])
# Characters of an unknown tool's name that are told back to the policy.
_SHOWN = 64
# Bytes of replies after which no further turn is sampled: token counts are the policy's own word.
_MOST_REPLY_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one rollout may use.

    Args:
        turns: Samples.
        tokens: completion tokens over all turns, as the policy's usage counts them.
        tool_calls: calls that ``converse`` makes.
        deadline: epoch seconds by which the agent must have answered.
    """

    turns: int
    tokens: int
    tool_calls: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn as it is remembered.

    Args:
        messages: what the request added to the conversation of the turn before.
        repeated: how many messages it began with that the turn before had, unchanged and in order.
        params: everything else of the request.
        reply: the chat completion.
        seconds: how long the Sample took.
    """

    messages: list[Any]
    repeated: int
    params: dict[str, Any]
    reply: dict[str, Any]
    seconds: float

    def document(self) -> dict[str, Any]:
        """The turn as a trajectory holds it; it shares what it holds, for a transcript may be large."""
        return {
            "messages": self.messages,
            "repeated": self.repeated,
            "params": self.params,
            "reply": self.reply,
            "seconds": self.seconds,
        }


class _Written(NamedTuple):
    """A message as JSON, and a mark that tells whether it has changed since."""

    text: str
    mark: bytes | None


@dataclass(slots=True)
class _Transcript:
    turns: list[Turn] = field(default_factory=list[Turn])
    written: list[_Written] = field(default_factory=list[_Written])
    size: int = 0
    usage: dict[str, int] = field(
        default_factory=lambda: {"prompt_tokens": 0, "completion_tokens": 0}
    )


class Episode:
    """One rollout, as its agent sees it.

    Args:
        instance: the problem, as the dataset holds it.
        trajectory_id: seeds ``random``.
        policy: the model being trained.
        steps: makes each side effect once.
        budget: what the rollout may use.
        params: the trainer's sampling parameters; they win over the agent's own.
        model: value of ``model`` in each request.
    """

    def __init__(
        self,
        *,
        instance: dict[str, Any],
        trajectory_id: str,
        policy: Policy,
        steps: Steps,
        budget: Budget,
        params: InferenceParams | None = None,
        model: str | None = None,
    ) -> None:
        self.instance = instance
        self.trajectory_id = trajectory_id
        self.metrics: dict[str, float] = {}
        seed = hashlib.sha256(trajectory_id.encode("utf-8", "replace")).digest()
        self.random = random.Random(seed)  # noqa: S311 - reproducible on purpose, not for secrets
        self._policy = policy
        self._steps = steps
        self._budget = budget
        self._params = params.model_dump(exclude_none=True) if params else {}
        self._model = model
        self._transcript = _Transcript()
        self._lock = Lock()
        self._started = 0
        self._tool_calls = 0
        self._closed = False
        self._outage: RolloutError | None = None
        self._refused = 0

    # --- what an agent uses -------------------------------------------------------------------

    @property
    def turns(self) -> int:
        """How many turns have been sampled and read."""
        return len(self._transcript.turns)

    @property
    def inference_params(self) -> dict[str, Any]:
        """The trainer's sampling parameters that are set: ``temperature``, ``max_tokens``, ``top_p``."""
        return dict(self._params)

    def openai(self) -> Any:
        """An ``openai.OpenAI`` client whose chat completions are this episode's turns.

        Needs the ``openai`` package. Everything :meth:`sample` raises comes through the client.
        """
        from rollout.adapters.openai import client

        return client(self)

    def async_openai(self) -> Any:
        """As :meth:`openai`, asynchronous."""
        from rollout.adapters.openai import async_client

        return async_client(self)

    def base_url(self) -> AbstractContextManager[BaseUrl]:
        """Serve this episode as an OpenAI-compatible server on 127.0.0.1, for a ``with`` block.

        For a program in another process or language, and for frameworks that take a URL::

            with episode.base_url() as base:
                program = ["node", "agent.mjs"]
                subprocess.run(program, env=base.environ, timeout=episode.remaining(), check=True)

        What :meth:`sample` raises is answered as an error, and raised when the block
        ends; see :func:`rollout.adapters.loopback.base_url`.

        Returns:
            A context manager of :class:`~rollout.adapters.loopback.BaseUrl`: ``url``, ``key`` and
            ``environ``, from which OpenAI's clients read both.
        """
        from rollout.adapters.loopback import base_url

        return base_url(self)

    def tool(self, function: F) -> F:
        """A tool for a framework that tells its model whatever a tool raises (``converse`` needs none).

        Strands and the OpenAI Agents SDK do: an outage behind a tool would be read as the policy's
        mistake, and scored. Of what is returned here an outage (see :mod:`rollout.judgement`) ends the
        rollout: the next sample raises it, and so does the end of the agent. Everything else passes.

        Args:
            function: sync or async; what comes back has its name, signature and docstring.
        """
        return ending_at_outages(function, self._end_at)

    def remaining(self) -> float:
        """Seconds left for the agent; never negative."""
        return max(0.0, self._budget.deadline - time.time())

    def sample(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Callable[..., Any] | Tool | dict[str, Any]] = (),
        override_trainer: bool = False,
        **params: Any,
    ) -> Reply:
        """Sample one turn from the policy.

        Args:
            messages: the whole conversation so far, in the chat-completions format.
            tools: functions, :class:`~rollout.tools.Tool` objects or ready schemas to offer.
            override_trainer: whether ``params`` win over the trainer's. Not for training: the trainer
                learns from samples of the temperature it asked for.
            **params: further fields of the request (``stop``, ``tool_choice``, ``response_format``,
                ``seed``, ``logprobs`` …), passed through as they are. The trainer's ``temperature``,
                ``max_tokens`` and ``top_p`` win over these.

        Raises:
            OutOfTime: no time is left; the agent may catch it and score what was reached.
            BudgetSpent: the same, for turns or tokens.
            SampleFailed: the policy or its runtime failed.
            BadReply: the policy's answer is not a chat completion.
        """
        request = _merged(self._params, params, override_trainer=override_trainer)
        if tools:
            request["tools"] = [t if isinstance(t, dict) else as_tool(t).schema() for t in tools]
        if self._model:
            request["model"] = self._model
        written = _write(messages, self._transcript.written)
        body = _body(written, request)
        index = self._take_turn()
        try:
            data, seconds = self._steps.turn(
                index, body, lambda: self._policy.sample(body, self._budget.deadline)
            )
        except RolloutError as error:
            if _provably_refused(error):
                with self._lock:
                    self._refused += 1
            raise
        self._transcript.size += len(data)
        # What is unreadable to us is stored by the platform.
        reply = read_reply(data, _names(request), index)
        self._remember(written, request, reply, seconds)
        return reply

    def converse(
        self,
        prompt: str | Sequence[Message],
        *,
        tools: Sequence[Callable[..., Any] | Tool] | AbstractContextManager[Sequence[Tool]] = (),
        system: str | None = None,
        max_turns: int | None = None,
        max_calls_per_turn: int | None = None,
        tool_attempts: int = 3,
        recover_text_calls: bool = False,
        **params: Any,
    ) -> Reply:
        """Let the policy answer, calling tools as it wants to, until it answers without one.

        Args:
            prompt: the user's message, or a conversation to go on from.
            tools: functions the policy may call, or what opens them (``rollout.adapters.mcp``).
            system: a system message to begin with.
            max_turns: return the last reply after this many turns, tool calls or not.
            max_calls_per_turn: calls of one reply beyond this are not made, and the model is told.
            tool_attempts: how often a tool is called while its infrastructure is broken.
            recover_text_calls: read tool calls that the policy wrote as plain text, and count them
                in the metric ``text_tool_calls``; see :mod:`rollout.text_tool_calls`. A call that the
                policy only thinks of, or quotes, is none.
            **params: as for :meth:`sample`.

        Returns:
            The last reply.

        Raises:
            ToolBroken: the infrastructure behind a tool failed.
            BudgetSpent: the budget of turns, tokens or tool calls is spent.
            OutOfTime, SampleFailed, BadReply: as for :meth:`sample`.
        """
        with ExitStack() as opened:
            opened.enter_context(awaiting(self.remaining))
            if isinstance(tools, AbstractContextManager):
                tools = opened.enter_context(tools)
            return self._converse(
                _messages(prompt, system),
                [as_tool(tool) for tool in tools],
                _Loop(max_turns, max_calls_per_turn, tool_attempts, recover_text_calls),
                params,
            )

    def _converse(
        self, messages: list[Message], offered: list[Tool], loop: _Loop, params: dict[str, Any]
    ) -> Reply:
        by_name = {tool.name: tool for tool in offered}
        turns = 0
        while True:
            reply = self.sample(messages, tools=offered, **params)
            turns += 1
            calls, in_text = reply.tool_calls, False
            if loop.recover_text_calls and not calls:
                calls = text_calls(reply.text, {n: t.parameters for n, t in by_name.items()})
                in_text = bool(calls)
                self._count("text_tool_calls", len(calls))
            if not calls or (loop.max_turns is not None and turns >= loop.max_turns):
                return replace(reply, conversation=[*messages, reply.message])
            messages.append(reply.message)
            most = len(calls) if loop.max_calls is None else loop.max_calls
            answers = [
                self._answer(call, by_name, loop.attempts)
                if place < most
                else _too_many(call, most)
                for place, call in enumerate(calls)
            ]
            if in_text:  # no tool message may answer a call that the message does not hold
                answers = [
                    {"role": "user", "content": f"{call.name}: {answer['content']}"}
                    for call, answer in zip(calls, answers, strict=True)
                ]
            messages.extend(answers)

    def step(self, name: str, effect: Callable[[], Any], *, idempotent: bool = False) -> Any:
        """Make a side effect once, also when the rollout replays.

        Args:
            name: tells the step apart in the execution's history.
            effect: does it, and returns what :mod:`rollout.values` makes JSON of; may be ``async def``.
            idempotent: whether it may be made a second time where the process died in the middle of it.

        Returns:
            The value as JSON: a tuple is a list, keys are text. The same inline and durable.

        Raises:
            StepRaised: the effect raised, its value is no JSON, or it died and may not be made again.
            ToolBroken: what the effect calls is down; see :mod:`rollout.judgement`.
        """
        self._check_open()
        return self._steps.step(name, lambda: _made(name, effect), idempotent=idempotent)

    # --- what the run uses --------------------------------------------------------------------

    @property
    def transcript(self) -> list[Turn]:
        """The turns read so far."""
        return self._transcript.turns

    def check_outage(self) -> None:
        """Raise the outage that a framework has kept from us; see :meth:`tool`."""
        if self._outage is not None:
            raise self._outage

    def close(self) -> None:
        """End the episode: whatever still runs in the agent gets OutOfTime from now on."""
        with self._lock:
            self._closed = True

    def captured(self) -> tuple[int, int]:
        """Turns that were read, and turns that may have been captured besides.

        Whatever was begun and is not provably refused may have been: a Sample that is still under way, a
        reply nobody could read, an answer that was lost.
        """
        with self._lock:
            read = len(self._transcript.turns)
            return read, self._started - self._refused - read

    def usage(self) -> dict[str, int]:
        """Prompt and completion tokens over all turns."""
        return dict(self._transcript.usage)

    # --- inside -------------------------------------------------------------------------------

    def _end_at(self, outage: RolloutError) -> None:
        self._outage = self._outage or outage

    def _check_open(self) -> None:
        # What replays has happened in time; only what is new is held against the clock.
        late = self.remaining() <= 0 and not self._steps.replaying()
        if self._closed or late:
            raise OutOfTime("The rollout's time is over; score what was reached.")

    def _take_turn(self) -> int:
        """Count one more turn if every budget allows it; return its index."""
        with self._lock:
            self.check_outage()
            self._check_open()
            if self._started >= self._budget.turns:
                raise BudgetSpent(f"The rollout's {self._budget.turns} turns are spent.")
            if self._transcript.usage["completion_tokens"] >= self._budget.tokens:
                raise BudgetSpent(f"The rollout's {self._budget.tokens} tokens are spent.")
            if self._transcript.size >= _MOST_REPLY_BYTES:
                raise BudgetSpent(f"The replies are larger than {_MOST_REPLY_BYTES} bytes in all.")
            self._started += 1
            return self._started - 1

    def _remember(
        self, written: list[_Written], request: dict[str, Any], reply: Reply, seconds: float
    ) -> None:
        """Keep the turn as what it added, so that memory grows with the turns, not their square."""
        with self._lock:
            repeated = shared(
                [message.text for message in self._transcript.written],
                [message.text for message in written],
            )
            added = [json.loads(message.text) for message in written[repeated:]]
            self._transcript.written = written
            for kind in self._transcript.usage:
                self._transcript.usage[kind] += reply.usage.get(kind, 0)
            self._transcript.turns.append(Turn(added, repeated, request, reply.raw, seconds))

    def _answer(self, call: ToolCall, by_name: dict[str, Tool], attempts: int) -> Message:
        """Make one tool call; its result, or what was wrong with it, as a message for the model."""
        self._check_open()
        if self._tool_calls >= self._budget.tool_calls:
            raise BudgetSpent(f"The rollout's {self._budget.tool_calls} tool calls are spent.")
        self._tool_calls += 1
        self._count("tool_calls")
        tool = by_name.get(call.name)
        if tool is None:
            named = call.name[:_SHOWN]  # as long as the policy likes
            content = f"Error: there is no tool {named!r}; use {', '.join(by_name)}."
            self._count("tool_errors")
        else:
            result = run_with_retries(
                tool, call.arguments, attempts=attempts, remaining=self.remaining
            )
            content = result.content
            if result.failed:
                self._count("tool_errors")
        return {"role": "tool", "tool_call_id": call.id, "content": content}

    def _count(self, metric: str, by: int = 1) -> None:
        if by:
            self.metrics[metric] = self.metrics.get(metric, 0) + by


@dataclass(frozen=True, slots=True)
class _Loop:
    """The limits of one ``converse``."""

    max_turns: int | None
    max_calls: int | None
    attempts: int
    recover_text_calls: bool


def _merged(
    trainers: dict[str, Any], own: dict[str, Any], *, override_trainer: bool
) -> dict[str, Any]:
    """The parameters of a request; one limit of tokens goes out, whatever name a client has for it."""
    first, second = (trainers, own) if override_trainer else (own, trainers)
    merged = {**first, **second}
    if "max_tokens" in merged and "max_completion_tokens" in merged:
        winner = second if "max_tokens" in second or "max_completion_tokens" in second else first
        merged.pop("max_completion_tokens" if "max_tokens" in winner else "max_tokens")
    return merged


def _names(request: dict[str, Any]) -> list[str]:
    """Names of the tools that a request offers."""
    tools: list[dict[str, Any]] = request.get("tools") or []
    functions: list[Any] = [tool.get("function") for tool in tools]
    return [str(cast("dict[str, Any]", f).get("name")) for f in functions if isinstance(f, dict)]


def _made(name: str, effect: Callable[[], Any]) -> Any:
    """What a step's effect comes to; every failure as the error it will be when the step replays."""
    try:
        value = awaited(effect())
    except RolloutError:
        raise
    except BaseException as error:
        if not ends_agent(error):
            raise
        raise of_step(error, name) from error
    try:
        return jsonable(value)
    except NotJson as error:
        raise StepRaised(
            f"The step {name!r} returned what cannot be written as JSON: {error}."
        ) from None


def _provably_refused(error: RolloutError) -> bool:
    """Whether a failed turn was certainly not captured: no answer is needed to know it."""
    if isinstance(error, SampleFailed):
        return error.captured == "no"
    # No time was left for another try, or storage did not let the first one begin.
    return isinstance(error, (ContextFull, OutOfTime, Unavailable, AlreadyRunning))


def _messages(prompt: str | Sequence[Message], system: str | None) -> list[Message]:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    if isinstance(prompt, str):
        return [*messages, {"role": "user", "content": prompt}]
    return [*messages, *prompt]


def _too_many(call: ToolCall, most: int) -> Message:
    content = f"Error: not called; at most {most} calls are made per message."
    return {"role": "tool", "tool_call_id": call.id, "content": content}


def _write(messages: Sequence[Message], before: list[_Written]) -> list[_Written]:
    """Write messages as JSON; what stands unchanged where it stood before is not written again.

    Every turn repeats the conversation, and writing it is most of what a late turn costs: comparing
    the marks of 600 messages takes a twentieth of the time.
    """
    written: list[_Written] = []
    for place, message in enumerate(messages):
        try:
            mark = marshal.dumps(message, 2)  # by value and exact type; version 2 has no references
        except ValueError:  # a subclass of str, say, which JSON can write
            mark = None
        known = before[place] if place < len(before) else None
        same = known is not None and mark is not None and known.mark == mark
        written.append(known if known and same else _Written(_encode(sendable(message)), mark))
    return written


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _encode(message: Message) -> str:
    try:
        return _json(message)
    except (TypeError, ValueError, RecursionError):
        pass  # a client's message object, a date: what has a form in JSON is given it
    try:
        return _json(jsonable(message))
    except NotJson as error:
        raise AgentError(f"A message or parameter cannot be written as JSON: {error}.") from None


def _json(value: Any) -> str:
    """JSON as it goes out; ValueError covers NaN, circular references and half surrogate pairs."""
    text = _JSON.encode(value)
    text.encode()
    return text


def _body(written: list[_Written], request: dict[str, Any]) -> bytes:
    rest = _encode(request)
    messages = f'{{"messages":[{",".join(message.text for message in written)}]'
    return (messages + (f",{rest[1:]}" if request else "}")).encode()
