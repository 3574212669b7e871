"""How an agent samples: with the trainer's parameters, through outages, and whatever the policy says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

from devkit.detectors.bench import PARAMS, Bench, Message
from devkit.detectors.fault import Fault
from devkit.emulator.job_runtime import PolicyFunction, SampleRequest
from devkit.policies.probes import example, tools_of
from rollout.errors import SampleFailed

# Rows on which the policy is cut off.
_ROWS = 3
_ODD_TEXTS = (
    "",
    " ",
    "\u0000",
    "\ud7ff\u2028",
    "🦀" * 200,
    "9" * 5_000,
    "[" * 2_000,
    '{"a": ' * 200,
    "<think>",
    "</answer>",
    "a\n" * 20_000,
    "-",
    "1e999",
    "NaN",
    "None",
    "0/0",
)
_ODD_ARGUMENTS = ("null", "[]", '"x"', "{}", "", '{"nobody": 1}')
_ODD_VALUES: tuple[Any, ...] = ("", "\u0000", "x" * 10_000, -1, 10**30, 1e300, None, [], {})


def other_parameters(bench: Bench) -> Iterator[Fault]:
    """The trainer learns from samples of the distribution it asked for; any other teaches nonsense."""
    wrong: list[tuple[int, int, str]] = []
    for row in bench.proven:
        for turn, asked in enumerate(bench.golden[row].transcript):
            wrong += [(row, turn, text) for text in not_the_trainers(asked["params"], PARAMS)]
    if wrong:
        row, turn, text = wrong[0]
        yield Fault(
            "other-parameters",
            len({(row, turn) for row, turn, _ in wrong}),
            tuple({row for row, _, _ in wrong}),
            "The policy is not sampled with the trainer's parameters.",
            f"row {bench.number(row)}, turn {turn + 1}: {text}",
            "Leave temperature, top_p, max_tokens and model to the trainer (no override_trainer=True).",
        )


def not_the_trainers(sent: dict[str, Any], wanted: Any, model: str = "") -> list[str]:
    """How the parameters of a request differ from those of the trainer; empty if they do not."""
    found = [
        f"{name} {sent.get(name)!r} where the trainer asked for {value!r}"
        for name, value in wanted.items()
        if value is not None and sent.get(name) != value
    ]
    if "max_completion_tokens" in sent:
        found.append("max_completion_tokens beside the trainer's max_tokens")
    if model and sent.get("model") != model:
        found.append(f"model {sent.get('model')!r} where {model!r} was sent before")
    return found


def scored_outages(bench: Bench) -> Iterator[Fault]:
    """A rollout whose policy failed is scored all the same."""
    for row in bench.proven[:_ROWS]:
        for turn in range(len(bench.said(row))):
            result = bench.ask(_cut_off(bench, turn), row)
            if result.failure is None and result.reward is not None:
                yield Fault(
                    "scored-outage",
                    result.reward,
                    (row,),
                    f"A rollout whose policy failed in turn {turn + 1} earns {result.reward:g}.",
                    f"row {bench.number(row)}: gold {bench.rewards[row]}, cut off in turn {turn + 1} "
                    f"{result.reward:g}",
                    "Catch no SampleFailed (an except Exception does): an outage is no answer. Catch "
                    "DeadlineError where a spent budget is to be scored.",
                )
                return


def _cut_off(bench: Bench, turn: int) -> Callable[[SampleRequest], Any]:
    def policy(asked: SampleRequest) -> Any:
        if asked.turn >= turn:
            raise SampleFailed("The policy's server is gone.", captured="unknown")
        return bench.gold(asked.instance, asked.messages)

    return policy


def crashes(bench: Bench) -> Iterator[Fault]:
    """Odd replies that make the agent or its grader raise; each is tried on another row."""
    rows = itertools.cycle(bench.proven)
    for (what, policy), row in zip(_odd_policies(bench), rows, strict=False):
        result = bench.ask(policy, row)
        if result.failure is not None and result.failure.boundary in ("agent", "platform"):
            yield Fault(
                "grader-crashes",
                1.0,
                (row,),
                "The agent fails on an odd reply.",
                f"row {bench.number(row)}: {what} -> {result.failure}",
                "A bad reply is data: score it, or end the episode; a failed rollout can end a job.",
            )
            return


def _odd_policies(bench: Bench) -> Iterator[tuple[str, PolicyFunction]]:
    for text in _ODD_TEXTS:
        shown = repr(text[:40])
        yield shown, _saying({"content": text})
        yield f"{shown} as gold's last reply", _ending(bench, {"content": text})
    for message in ({"content": None}, {"content": [{"type": "text", "text": "7"}]}):
        yield repr(message), _saying(message)
        yield f"{message!r} as gold's last reply", _ending(bench, message)
    if any(turn["params"].get("tools") for result in bench.golden for turn in result.transcript):
        for text in _ODD_ARGUMENTS:
            yield f"a call with arguments {text}", _calling(lambda _, t=text: t)
        for value in _ODD_VALUES:
            shown = f"a call whose arguments are {str(value)[:40]!r}"
            yield shown, _calling(lambda schema, v=value: _filled(schema, v))


def _saying(message: Message) -> Callable[[SampleRequest], Any]:
    return lambda asked: message  # noqa: ARG005 - a policy's argument


def _ending(bench: Bench, message: Message) -> Callable[[SampleRequest], Any]:
    """Gold, with another message in place of each reply that calls no tool."""

    def policy(asked: SampleRequest) -> Any:
        said = bench.gold(asked.instance, asked.messages)
        return said if said.get("tool_calls") else message

    return policy


def _calling(arguments: Callable[[dict[str, Any]], str]) -> Callable[[SampleRequest], Any]:
    """Calls the offered tools one after the other, then says that it is done."""

    def policy(asked: SampleRequest) -> Any:
        tools = list(tools_of(asked).items())
        if asked.turn >= len(tools):
            return {"content": "done"}
        name, schema = tools[asked.turn]
        function = {"name": name, "arguments": arguments(schema)}
        call = {"id": f"odd_{asked.turn}", "type": "function", "function": function}
        return {"content": None, "tool_calls": [call]}

    return policy


def _filled(schema: dict[str, Any], value: Any) -> str:
    """Arguments of the schema's names that all have one value."""
    names: Any = example(schema)
    return json.dumps(dict.fromkeys(names, value) if names else value)
