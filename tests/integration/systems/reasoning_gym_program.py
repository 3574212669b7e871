"""Runs with reasoning-gym installed: generators, a mixture, hostile answers, and the example on the stack."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections import Counter
from pathlib import Path

from environments.puzzles import puzzles, scripts
from reasoning_gym.factory import DATASETS

from rollout.adapters.reasoning_gym import EVALUATING, reasoning_gym
from rollout.errors import AgentError
from rollout.testing import rehearse, says
from tests.integration.systems.stack import everywhere, tell

FIVE = ("mini_sudoku", "chain_sum", "countdown", "family_relationships", "arc_agi")


def rows_of(agent, size, seed=1):
    return list(agent.__rollout_agent__["rows"](size, seed))


def gold(instance, _):
    return {"content": f"I think.\n<answer>{instance['answer']}</answer>"}


def generators():
    found = {}
    for name in FIVE:
        agent = reasoning_gym(name)
        rows = rows_of(agent, 3)
        golds = [rehearse(agent, row, gold) for row in rows]
        wrong = [rehearse(agent, row, says("<answer>17 and 4</answer>")) for row in rows]
        untagged = [rehearse(agent, row, says("no tags")) for row in rows]
        found[name] = {
            "gold": [r.reward for r in golds],
            "wrong": [r.reward for r in wrong],
            "untagged": [r.reward for r in untagged],
            "answered": [r.metrics["answered"] for r in (*golds, *untagged)],
            "again": rows == rows_of(agent, 3),
            "other seed": rows != rows_of(agent, 3, seed=2),
        }
    return found


def mixture():
    agent = reasoning_gym(
        {"chain_sum": 3, "mini_sudoku": 1}, configs={"chain_sum": {"max_terms": 2}}
    )
    rows = rows_of(agent, 200)
    drawn = Counter(row["metadata"]["source_dataset"] for row in rows)
    one = next(row for row in rows if row["metadata"]["source_dataset"] == "mini_sudoku")
    return {
        "drawn": drawn,
        "terms": max(
            len(re.findall(r"\d+", row["question"]))
            for row in rows
            if "num_terms" in row["metadata"]
        ),
        "metrics": rehearse(agent, one, gold).metrics,
    }


def evaluated():
    """Answers that are code, to every scorer that evaluates: it would write a file, or take for ever."""
    seen = Path(os.environ["TMPDIR"]) / "seen"
    code = f"__import__('pathlib').Path({str(seen)!r}).write_text('ran')"
    hostile = (code, f"[{code}]", f"Symbol({code!r})", "9**9**9**9", "2**(99*99*99*99)", "exp(x).__class__",
               "factorial(10**9)", "(lambda: 1)()", "'x'*10**12", "1" * 5_000)  # fmt: skip
    found = {}
    for name in sorted(EVALUATING):
        agent = reasoning_gym(name)
        (row,) = rows_of(agent, 1)
        found[name] = {
            "gold": rehearse(agent, row, gold).reward,
            "hostile": [
                rehearse(agent, row, says(f"<answer>{text}</answer>")).reward for text in hostile
            ],
            "ran": seen.exists(),
        }
    agent = reasoning_gym("binary_matrix")
    (row,) = rows_of(agent, 1)
    matrix = str([[int(x) for x in line.split()] for line in row["answer"].split("\n")])
    found["binary_matrix"]["python form"] = rehearse(
        agent, row, says(f"<answer>{matrix}</answer>")
    ).reward
    return found


def listed():
    """Generators whose scorer evaluates the answer, read from the package's source."""
    found = set()
    for name, (kind, _) in DATASETS.items():
        source = inspect.getsource(kind.score_answer)
        if re.search(r"\b(eval|parse_expr)\(answer", source):
            found.add(name)
    return {"missing": sorted(found - EVALUATING), "gone": sorted(EVALUATING - found)}


def refused():
    found = {}
    for name, make in {
        "no such generator": lambda: reasoning_gym("soduku"),
        "no such setting": lambda: reasoning_gym("mini_sudoku", empty=3),
        "a weight of nothing": lambda: reasoning_gym({"mini_sudoku": 0}),
        "settings of another": lambda: reasoning_gym({"mini_sudoku": 1}, configs={"sudoku": {}}),
    }.items():
        try:
            make()
        except AgentError as error:
            found[name] = error.slug
    agent = reasoning_gym("mini_sudoku")
    result = rehearse(agent, {"question": "?"}, says("x"))
    found["no entry"] = result.failure.slug
    (row,) = rows_of(agent, 1)
    row["metadata"]["source_dataset"] = "sudoku"
    found["another generator's"] = rehearse(agent, row, says("x")).failure.slug
    sum_ = reasoning_gym("prime_factorization")
    (row,) = rows_of(sum_, 1)
    found["what the scorer raises on"] = rehearse(sum_, row, says("<answer>nan</answer>")).reward
    broken = {**row, "metadata": {"source_dataset": "prime_factorization"}, "answer": "x"}
    found["a broken row"] = rehearse(sum_, broken, says("<answer>nan</answer>")).failure.slug
    return found


def example():
    rows = [json.loads(json.loads(line)["prompt"]) for line in
            (Path("examples/environments/puzzles/dataset.jsonl")).read_text().splitlines()]  # fmt: skip
    found = everywhere("environments.puzzles:puzzles", rows[0], scripts.gold)
    found["proof"] = [scripts.validate(row) for row in rows]
    found["rows"] = rows == rows_of(puzzles, len(rows), seed=0)
    return found


tell(
    {
        "generators": generators(), "mixture": mixture(), "evaluated": evaluated(), "listed": listed(),
        "refused": refused(), "example": example(),
    }
)  # fmt: skip
