"""Generators of `reasoning-gym` as agents, scored by their own scorers.

An instance is an entry as reasoning-gym generates it: ``question``, ``answer`` and ``metadata``, whose
``source_dataset`` names the generator. So entries that were generated elsewhere, and published, play too.

Nine scorers pass what the policy wrote to ``eval`` or to SymPy's parser, which evaluates too: in a
function that would be code of the policy's beside its credentials, and beside its own score. They are
given literals and plain arithmetic only.
"""

from __future__ import annotations

import ast
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, cast

from rollout.adapters.packages import needed
from rollout.agent import Outcome, agent
from rollout.errors import AgentError, ToolRefused
from rollout.tools import policy_code

# Generators whose score_answer evaluates the answer, by eval() or SymPy's parser; a test holds the list.
EVALUATING = frozenset({
    "binary_matrix", "countdown", "intermediate_integration", "n_queens", "polynomial_multiplication",
    "puzzle24", "simple_integration", "spiral_matrix", "string_insertion",
})  # fmt: skip
# Generators whose scorer compares with tuples, which JSON makes lists.
_TUPLES = frozenset({"arc_agi", "rearc"})
# What an answer that SymPy parses may hold: arithmetic, names, and these functions.
_FUNCTIONS = frozenset(
    {
        "Abs",
        "acos",
        "asin",
        "atan",
        "cos",
        "cosh",
        "exp",
        "ln",
        "log",
        "sin",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
    }
)
_ARITHMETIC = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.Name, ast.Load, ast.Call, ast.operator,
    ast.unaryop,
)  # fmt: skip
_LONGEST, _LARGEST_POWER, _MOST_POWERS = 2_000, 100, 20
_LARGEST_SEED = 2**31


def reasoning_gym(
    task: str | Mapping[str, float],
    *,
    system: str | None = None,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    **config: Any,
) -> Callable[[Any], Any]:
    """An agent that asks the question of an entry once and scores what stands between its answer tags.

    Example::

        sudoku = reasoning_gym("sudoku", min_empty=20, max_empty=30)
        mixed = reasoning_gym({"sudoku": 1, "chain_sum": 3}, configs={"chain_sum": {"max_terms": 4}})

    The agent makes rows: ``rollout rows environments.NAME:AGENT`` writes a dataset of them.

    Args:
        task: a generator's name, or names with their weights in the rows of a mixture.
        system: the system message; reasoning-gym's own default otherwise. It must ask for
            ``<answer>`` tags.
        configs: of the generators of a mixture, by name.
        **config: of a single generator.

    Raises:
        AgentError: a name or a setting is none that reasoning-gym knows, or it is not installed.
    """
    weights = {task: 1.0} if isinstance(task, str) else {n: float(w) for n, w in task.items()}
    if not weights or min(weights.values()) <= 0:
        raise AgentError("A mixture names one generator or more, each with a weight above 0.")
    every = {**(configs or {}), **({task: config} if isinstance(task, str) else {})}
    if unknown := set(every) - set(weights):
        raise AgentError(f"configs names {sorted(unknown)}, which the mixture does not.")
    if config and not isinstance(task, str):
        raise AgentError("The settings of a mixture's generators stand in configs, by name.")
    known = {name: dict(every.get(name, {})) for name in weights}
    for name in weights:
        _dataset(name, json.dumps(known[name]))

    def rows(size: int, seed: int) -> Iterator[dict[str, Any]]:
        return _rows(weights, known, size, seed)

    @agent(rows=rows)
    def play(episode: Any) -> Outcome:
        entry = _entry(episode.instance, weights)
        name = entry["metadata"]["source_dataset"]
        library = _library()
        prompt = library.utils.SYSTEM_PROMPTS["default"] if system is None else system
        reply = episode.converse(entry["question"], system=prompt)
        answer = library.utils.extract_answer(reply.text)
        reward = 0.0
        metrics = {"answered": float(answer is not None)}
        if answer is not None:
            try:
                reward = _score(known[name], answer, entry)
            except ToolRefused:
                _prove_gold(known[name], entry)
                metrics["unscorable"] = 1.0
        if len(weights) > 1:
            metrics[name] = reward
        return Outcome(reward, metrics, {"answer": answer})

    return play


def _score(config: Mapping[str, Any], answer: str | None, entry: Mapping[str, Any]) -> float:
    """Score an answer by the generator of its entry.

    Args:
        config: the generator's settings.
        entry: with ``question``, ``answer`` and ``metadata``, as JSON holds them.

    Raises:
        ToolRefused: the scorer cannot deal with the answer.
    """
    name = entry["metadata"]["source_dataset"]
    known = {**entry, "metadata": _frozen(entry["metadata"])} if name in _TUPLES else dict(entry)
    scorer = _dataset(name, json.dumps(config))
    with policy_code():
        return float(scorer.score_answer(answer, known))


def _prove_gold(config: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    """Hold the scorer to its own answer, when it failed at the policy's.

    Raises:
        AgentError: it fails at both, so the row is at fault and not the policy.
    """
    try:
        _score(config, entry["answer"], entry)
    except ToolRefused:
        raise AgentError(
            "reasoning-gym's scorer raised on the entry's own answer; the row's metadata is not what "
            "this version writes."
        ) from None


def _rows(
    weights: Mapping[str, float], configs: Mapping[str, Mapping[str, Any]], size: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Entries that survive JSON and whose own answer scores what the generator says it does."""
    dice = random.Random(seed)  # noqa: S311 - rows that can be drawn again
    made = {
        name: _dataset(
            name, json.dumps({"seed": dice.randrange(_LARGEST_SEED), "size": size, **configs[name]})
        )
        for name in weights
    }
    drawn = dice.choices(list(weights), list(weights.values()), k=size)
    for index, name in enumerate(drawn):
        entry = made[name][index]
        row = json.loads(
            json.dumps({key: entry[key] for key in ("question", "answer", "metadata")})
        )
        row["metadata"]["source_dataset"] = name
        expected = made[name].score_answer(entry["answer"], entry)
        if row["answer"] is not None and _score(configs[name], row["answer"], row) != expected:
            raise AgentError(f"An entry of {name} does not score the same once JSON has held it.")
        yield row


def _entry(instance: Mapping[str, Any], weights: Mapping[str, float]) -> dict[str, Any]:
    """The instance as an entry.

    Raises:
        AgentError: it is none, or not of this agent's generators.
    """
    metadata = instance.get("metadata")
    if not isinstance(instance.get("question"), str) or not isinstance(metadata, Mapping):
        raise AgentError(
            "The instance is no entry of reasoning-gym: it needs question, answer and metadata."
        )
    found = cast("Mapping[str, Any]", metadata)
    name = found.get("source_dataset", next(iter(weights)) if len(weights) == 1 else None)
    if name not in weights:
        raise AgentError(
            f"The instance is an entry of another generator than this agent's {', '.join(weights)}."
        )
    return {
        "question": instance["question"],
        "answer": instance.get("answer"),
        "metadata": {**found, "source_dataset": name},
    }


@cache
def _dataset(name: str, config: str) -> Any:
    """A generator with its settings, made once.

    Args:
        config: as JSON.
    """
    library = _library()
    try:
        return library.create_dataset(name, **json.loads(config))
    except Exception as error:  # noqa: BLE001 - each configuration refuses in its own way
        raise AgentError(
            f"reasoning-gym has no generator {name!r} with these settings: "
            f"{type(error).__name__}: {error}"
        ) from None


@cache
def _library() -> Any:
    """The package, its scorers disarmed."""
    needed("reasoning_gym.utils", "reasoning-gym")
    library = needed("reasoning_gym", "reasoning-gym")
    for name in EVALUATING & set(library.factory.DATASETS):
        _disarm(vars(sys.modules[library.factory.DATASETS[name][0].__module__]))
    return library


def _disarm(names: dict[str, Any]) -> None:
    """Let a scorer's module evaluate nothing but literals and arithmetic.

    A module's own names come before Python's: its ``eval`` is the one given here.
    """
    names["eval"] = ast.literal_eval
    if "parse_expr" in names:
        names["parse_expr"] = _guarded(names["parse_expr"])
    for name in ("sympy", "sp"):
        if name in names:
            names[name] = _Sympy(names[name])


class _Sympy:
    """SymPy with a parser that takes arithmetic only."""

    def __init__(self, sympy: Any) -> None:
        self._sympy = sympy
        self.parse_expr = _guarded(sympy.parse_expr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sympy, name)


def _guarded(parse_expr: Callable[..., Any]) -> Callable[..., Any]:
    """SymPy's parser, which evaluates what it reads, for texts that are arithmetic."""

    def parse(text: str, *rest: Any, **named: Any) -> Any:
        check_arithmetic(text)
        return parse_expr(text, *rest, **named)

    return parse


def check_arithmetic(text: str) -> None:
    """Refuse what is more than a short piece of arithmetic with names and known functions.

    Raises:
        ValueError: it is, or a power in it is too large to be worked out.
        SyntaxError: it is no expression.
    """
    if len(text) > _LONGEST:
        raise ValueError("the expression is too long")
    powers = 0
    for node in ast.walk(ast.parse(text.strip(), mode="eval")):
        if isinstance(node, ast.Call):
            allowed = isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
        elif isinstance(node, ast.Constant):
            allowed = type(node.value) in (int, float)
        else:
            allowed = isinstance(node, _ARITHMETIC) and not isinstance(
                node, (ast.LShift, ast.RShift)
            )
        if isinstance(node, ast.Name) and "_" in node.id:
            allowed = False
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            powers += 1
            allowed = powers <= _MOST_POWERS and _small(node.right)
        if not allowed:
            raise ValueError(f"{type(node).__name__} is no arithmetic that is worked out here")


def _small(exponent: ast.expr) -> bool:
    """Whether an exponent is a small number or a plain expression of names and small numbers."""
    return all(
        abs(node.value) <= _LARGEST_POWER
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float))
        else not (isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Pow, ast.Mult)))
        for node in ast.walk(exponent)
    )


def _frozen(value: Any) -> Any:
    """Lists as tuples, at every depth."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in cast("dict[str, Any]", value).items()}
    return value
