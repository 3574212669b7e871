"""Play an agent with a scripted policy, in this process and with nothing else: no AWS, no server.

An environment has scripts beside its agent, in ``scripts.py``: what a perfect and a poor policy would
say. They prove that the reward tells them apart before a model is asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rollout.agent import Agent, observing_errors
from rollout.contract import InferenceParams, RolloutMetadata, RolloutRequest
from rollout.policy import Policy
from rollout.results import Result, Rollout
from rollout.rewards import same_reward
from rollout.rubric import criteria_of
from rollout.run import play
from rollout.settings import Limits
from rollout.steps import InlineSteps
from rollout.trust import Destination

# Takes the instance and the conversation so far, returns the next assistant message.
Script = Callable[[dict[str, Any], list[dict[str, Any]]], Mapping[str, Any]]


def rehearse(
    function: Callable[[Any], Any],
    instance: dict[str, Any],
    script: Script,
    *,
    trajectory_id: str = "rehearsal",
    max_turns: int = 50,
    seconds: float = 60.0,
) -> Result:
    """Play one rollout of an agent against a script.

    Args:
        function: the agent.
        instance: the problem.
        script: the policy.
        trajectory_id: seeds ``episode.random``.
        max_turns: the budget of turns.
        seconds: the budget of time.

    Returns:
        How it ended; a failure is a result, not an exception.
    """
    return play_with(
        function,
        instance,
        ScriptPolicy(instance, script),
        trajectory_id=trajectory_id,
        model_endpoint="script",
        max_turns=max_turns,
        seconds=seconds,
    )


def play_with(
    function: Callable[[Any], Any],
    instance: dict[str, Any],
    policy: Policy,
    *,
    trajectory_id: str,
    params: Mapping[str, Any] | None = None,
    model_endpoint: str = "",
    max_turns: int = 50,
    seconds: float = 60.0,
) -> Result:
    """Play one rollout of an agent against a policy.

    Args:
        function: the agent; it gets the instance itself, and may change it.
        policy: answers its turns.
        trajectory_id: seeds ``episode.random``.
        params: the trainer's ``temperature``, ``top_p`` and ``max_tokens``.
        model_endpoint: the hosted endpoint that the policy stands for; empty where it is a job's.
        max_turns: the budget of turns.
        seconds: the budget of time.

    Returns:
        How it ended; a failure is a result, not an exception.
    """
    request = RolloutRequest(
        instance=instance,
        metadata=RolloutMetadata(job_arn="", trajectory_id=trajectory_id, endpoint=""),
        inference_params=None if params is None else InferenceParams(**params),
    )
    destination = Destination("", trajectory_id, "", "us-west-2", model_endpoint)
    deadline = time.time() + seconds
    return play(
        Rollout.of(request, destination),
        agent=Agent(getattr(function, "__name__", "agent"), function),
        policy=policy,
        steps=InlineSteps(lambda: None, deadline),
        limits=Limits(max_turns=max_turns),
        deadline=deadline,
    )


class ScriptPolicy:
    """A policy that says what a script says.

    Its replies are whole chat completions: the clients of frameworks miss what is left out of one.

    Args:
        instance: the problem.
        script: says the next assistant message.
    """

    def __init__(self, instance: dict[str, Any], script: Script) -> None:
        self._instance = instance
        self._script = script
        self._turns = 0

    def sample(self, body: bytes, deadline: float) -> bytes:
        """The script's next message as a chat completion."""
        del deadline
        request = json.loads(body)
        said = {"role": "assistant", **self._script(self._instance, request["messages"])}
        self._turns += 1
        prompt, generated = len(body) // 4, max(1, len(json.dumps(said)) // 4)
        reason = "tool_calls" if said.get("tool_calls") else "stop"
        completion = {
            "id": f"chatcmpl-{self._turns}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": str(request.get("model") or "script"),
            "choices": [{"index": 0, "message": said, "finish_reason": reason}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": generated,
                "total_tokens": prompt + generated,
            },
        }
        return json.dumps(completion).encode()


def calls(name: str, arguments: Mapping[str, Any], identifier: str = "call_0") -> dict[str, Any]:
    """An assistant message that calls one tool, for a script to say."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": identifier, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def check_order(
    function: Callable[[Any], Any],
    instance: dict[str, Any],
    scripts: Sequence[tuple[str, Script]],
    *,
    best: float = 1.0,
) -> list[float]:
    """Hold an agent's reward to its order: the first script earns ``best``, each next strictly less.

    Returns:
        The rewards, in order.

    Raises:
        ValueError: naming the script that earned too much, too little or nothing at all.
    """
    rewards: list[float] = []
    for name, script in scripts:
        reward, _ = _scored(function, instance, name, script)
        if not rewards and not same_reward(reward, best):
            raise ValueError(f"script {name!r} earned {reward:g}, not the {best:g} of gold")
        if rewards and (reward > rewards[-1] or same_reward(reward, rewards[-1])):
            raise ValueError(f"script {name!r} earned {reward:g}, no less than the one before it")
        rewards.append(reward)
    return rewards


def check_grades(
    function: Callable[[Any], Any],
    instance: dict[str, Any],
    *,
    equal: Sequence[tuple[str, Script]] = (),
    less: Sequence[tuple[str, Script]] = (),
    best: float = 1.0,
) -> None:
    """Hold an agent's reward to what it means: the second half of a proof, beside :func:`check_order`.

    Args:
        equal: scripts that reach the goal in another way or say the answer in another form; each must
            earn ``best``.
        less: near misses, and the right end by forbidden means; none may earn as much as ``best``.

    Raises:
        ValueError: naming the script that earned too much, too little or nothing at all.
    """
    for name, script in [*equal, *less]:
        reward, _ = _scored(function, instance, name, script)
        earned = same_reward(reward, best)
        if (name, script) in equal and not earned:
            raise ValueError(f"script {name!r} is as good as gold and earned {reward:g}")
        if (name, script) in less and (earned or reward > best):
            raise ValueError(f"script {name!r} is not right and earned {reward:g}")


def check_criteria(
    function: Callable[[Any], Any],
    instance: dict[str, Any],
    orders: Mapping[str, Sequence[tuple[str, Script]]],
    *,
    unproved: Sequence[str] = (),
) -> dict[str, list[float]]:
    """Hold each criterion of a rubric to its own order, whatever the reward makes of them together.

    Args:
        orders: scripts by the criterion's name, best first; each must have a strictly smaller value than
            the one before it.
        unproved: criteria that this instance cannot tell apart.

    Returns:
        The values, in order, by the criterion's name.

    Raises:
        ValueError: naming criterion and script; or a criterion without an order, or without a value.
    """
    found: dict[str, list[float]] = {}
    met: set[str] = set()
    for criterion, scripts in orders.items():
        values = found[criterion] = list[float]()
        for name, script in scripts:
            _, metrics = _scored(function, instance, name, script)
            known = criteria_of(metrics)
            met |= known.keys()
            if criterion not in known:
                raise ValueError(f"script {name!r} has no value for criterion {criterion!r}")
            value = known[criterion]
            if values and (value > values[-1] or same_reward(value, values[-1])):
                raise ValueError(
                    f"script {name!r} has {value:g} for criterion {criterion!r}, no less than the one "
                    "before it"
                )
            values.append(value)
    if left := sorted(met - orders.keys() - set(unproved)):
        raise ValueError(f"nothing proves criterion {left[0]!r}: give scripts that differ in it")
    return found


def _scored(
    function: Callable[[Any], Any], instance: dict[str, Any], name: str, script: Script
) -> tuple[float, dict[str, float]]:
    """Reward and metrics of a script.

    Raises:
        ValueError: it has none; raised from what the agent raised, for its traceback.
    """
    raised: list[BaseException] = []
    with observing_errors(raised.append):
        result = rehearse(function, instance, script)
    if result.reward is None:
        detail = result.failure.detail if result.failure else ""
        cause = raised[-1] if raised else None
        text = f" ({type(cause).__name__}: {cause})" if cause else ""
        raise ValueError(f"script {name!r} failed: {detail}{text}") from cause
    return result.reward, result.metrics


def says(text: str) -> Script:
    """A script that says one text, whatever it is asked."""
    return lambda instance, messages: {"content": text}  # noqa: ARG005 - a script's arguments
