"""Tasksets of `verifiers` (its v1 API) as agents: their rollouts run with a client that is the episode.

A task's data is the instance. The taskset's rewards, metrics and stops are its own; every model call of
its rollout goes through verifiers' interception server, as ever, and ends in ``Episode.sample``.

verifiers' own chat loop is a script that ``uv`` installs when a rollout begins, which needs a network and
seconds. Here the same loop runs in this process, unless a harness is named.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any

from rollout.adapters.packages import needed
from rollout.agent import Outcome, agent
from rollout.episode import Episode
from rollout.errors import AgentError, OutOfTime, ToolBroken

# Errors that verifiers records for what stands behind a rollout; the rest are the task's or harness's.
_BEHIND = frozenset({"ToolsetError", "SandboxError", "InterceptionError", "TunnelError"})
# Share of the rollout's time in which the policy may act; what is left is for scoring.
_ACTING = 0.9


def verifiers(
    taskset: str | type[Any],
    *,
    harness: str | None = None,
    config: Mapping[str, Any] | None = None,
    max_turns: int | None = None,
    replay: bool = True,
) -> Callable[[Any], Any]:
    """An agent that plays a taskset of verifiers'.

    Example::

        wiki = verifiers("wiki-search", config={"task": {"limit": 5}})

    ``rollout rows environments.NAME:AGENT`` writes a dataset of the taskset's tasks.

    Args:
        taskset: its id, as ``vf-eval`` takes it: the installed package that exports it; or its class.
        harness: id of a harness that runs as a program of its own (``bash``, ``null``); it must fit the
            subprocess runtime. By default the chat loop with the task's tools, in this process.
        config: the taskset's settings, ``{"task": {…}}`` for the task's.
        max_turns: after which the task is scored as it stands.
        replay: False for a taskset whose tools or setup do not give the same again.
    """

    @cache
    def loaded() -> Any:
        return _taskset(taskset, dict(config or {}))

    def rows(size: int, seed: int) -> Iterator[dict[str, Any]]:
        known = loaded()
        drawn = known.shuffle(seed) if known.bounded else known.skip(seed * size)
        for task in drawn.take(size):
            yield task.data.model_dump(mode="json", exclude_defaults=True)

    @agent(replay=replay, rows=rows)
    async def play(episode: Episode) -> Outcome:
        known = loaded()
        return await _played(episode, known, _task(known, episode.instance), harness, max_turns)

    return play


async def _played(
    episode: Episode, taskset: Any, task: Any, harness: str | None, max_turns: int | None
) -> Outcome:
    vf = _library()
    from rollout.adapters.verifiers_episode import EpisodeClient, EpisodeHarness

    launching: Any = needed("verifiers.v1.mcp.launch", "verifiers")
    interception: Any = needed("verifiers.v1.interception", "verifiers")
    client = EpisodeClient(episode)
    endpoint = vf.EvalClientConfig(base_url="http://policy.invalid/v1", api_key_var="NO_KEY")
    seat = vf.AgentConfig(
        harness=vf.harness_config_type(harness or "null")(id=harness or "null"),
        runtime=vf.SubprocessConfig(),
        model="policy",
        client=endpoint,
        max_turns=max_turns,
        timeout={"rollout": max(1.0, episode.remaining() * _ACTING)},
    )
    async with AsyncExitStack() as opened:
        toolsets = taskset.toolsets(taskset.config)
        shared = await opened.enter_async_context(launching.serve_shared(toolsets))
        keys = tuple(tool.state_secret for tool in shared.values() if tool.state_secret)
        server = interception.InterceptionServer(state_service_secrets=keys)
        # The server keeps a client for each endpoint by its settings; this one's is the episode.
        server.clients[endpoint.model_dump_json()] = client
        await opened.enter_async_context(server)
        player = vf.make_agent(seat, interception=server)
        if harness is None:
            player.harness = EpisodeHarness(player.harness.config, client)
        trace = await player.run(task, tools=shared)
    client.raise_failure()
    _check(trace, client)
    return _outcome(trace)


def _check(trace: Any, client: Any) -> None:
    """Raise what verifiers recorded, as the error of its boundary.

    Raises:
        ToolBroken: a tool server, a sandbox or what connects them.
        DeadlineError: the budget was spent and the harness did not take it.
        AgentError: the task, its scoring or its harness.
    """
    if not trace.ok:
        if client.spent is not None:
            raise client.spent
        kind = trace.errors[-1].type if trace.errors else "an error"
        if kind in _BEHIND:
            raise ToolBroken(f"verifiers recorded {kind}: what is behind its tools is gone.")
        raise AgentError(
            f"verifiers recorded {kind} ({trace.stop_condition}); rehearse the taskset to see it."
        )
    if not trace.rewards:
        raise AgentError("The task gave no reward; it needs a method marked @vf.reward.")
    if any(reward is None for reward in trace.rewards.values()):
        raise OutOfTime(f"The task was not scored in time ({trace.stop_condition}).")


def _outcome(trace: Any) -> Outcome:
    scores = {name: reward.score for name, reward in trace.rewards.items()}
    metrics = {name: value for name, value in trace.metrics.items() if value is not None}
    return Outcome(trace.reward, {**scores, **metrics}, {"stop": trace.stop_condition})


def _taskset(named: str | type[Any], config: dict[str, Any]) -> Any:
    """Load a taskset.

    Raises:
        AgentError: there is none, its settings are wrong, or it has an environment of its own.
    """
    vf = _library()
    generic: Any = needed("verifiers.v1.utils.generic", "verifiers")
    try:
        if isinstance(named, str):
            kind, settings = vf.environment_class(named), vf.taskset_config_type(named)
            made = vf.load_taskset(settings.model_validate({**config, "id": named}))
        else:
            settings = generic.concrete_type(named, vf.TasksetConfig, origin=vf.Taskset)
            made = named((settings or vf.TasksetConfig).model_validate(config))
            kind = vf.SingleAgentEnv
    except Exception as error:
        raise AgentError(
            f"verifiers cannot load the taskset {named!r}: {type(error).__name__}: {error}"
        ) from error
    if kind is not vf.SingleAgentEnv:
        raise AgentError(
            f"The taskset {named!r} brings an environment of its own, {kind.__name__}; an episode is "
            "one agent's."
        )
    return made


def _task(taskset: Any, instance: Mapping[str, Any]) -> Any:
    """The instance as a task.

    Raises:
        AgentError: it is not the data of one.
    """
    kind: Any = taskset.task_type()
    try:
        data = kind.data_type().model_validate(instance)
    except ValueError as error:
        raise AgentError(
            f"The instance is no {kind.data_type().__name__}: {type(error).__name__} at "
            f"{', '.join(_places(error)) or 'its top'}."
        ) from None
    return kind(data, taskset.config.task)


def _places(error: ValueError) -> list[str]:
    """Fields a validation failed at; their values stay out of it."""
    listed: Any = getattr(error, "errors", list)
    return [".".join(map(str, each["loc"])) for each in listed()]


@cache
def _library() -> Any:
    """The package's v1 module.

    It makes its cache's place of the home directory when it is imported, and a function's is read-only.
    Its tool servers are processes, which find packages by PYTHONPATH; Lambda's runtime does not set it.
    """
    home = os.environ.get("HOME")
    if not os.access(Path("~").expanduser(), os.W_OK):
        os.environ["HOME"] = tempfile.gettempdir()
    try:
        library = needed("verifiers.v1", "verifiers")
    finally:
        if home is not None:
            os.environ["HOME"] = home
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    every = dict.fromkeys(str(Path(place).resolve()) for place in (*known, *sys.path) if place)
    os.environ["PYTHONPATH"] = os.pathsep.join(every)
    return library
