"""Runs with verifiers installed: tasksets, their errors, 200 rollouts at once, and the examples on the stack."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from environments.capitals import capitals
from environments.capitals import scripts as naming
from environments.stock import scripts as taking
from environments.stock import stock

from rollout.adapters.verifiers import verifiers
from rollout.errors import SampleFailed
from rollout.testing import calls, rehearse, says
from tests.integration.systems import tasksets
from tests.integration.systems.stack import everywhere, tell


def rows_of(agent, size, seed=0):
    return list(agent.__rollout_agent__["rows"](size, seed))


def short(result):
    failure = result.failure
    return {
        "rewards": result.rewards, "metrics": result.metrics, "output": result.output, "turns": result.turns,
        "boundary": failure and failure.boundary, "slug": failure and failure.slug,
        "detail": failure and failure.detail,
    }  # fmt: skip


def broken(instance, messages):
    raise SampleFailed("cut off", captured="unknown")


def errors():
    found = {}
    for kind in (tasksets.RaisingReward, tasksets.RaisingSetup, tasksets.BrokenSandbox,
                 tasksets.BrokenTools, tasksets.Unrewarded):  # fmt: skip
        agent = verifiers(tasksets.taskset(kind))
        (row,) = rows_of(agent, 9)
        found[kind.__name__] = short(rehearse(agent, row, says("yes")))
    row = rows_of(capitals, 1)[0]
    found["provider"] = short(rehearse(capitals, row, broken))
    found["no task"] = short(rehearse(capitals, {"question": "canary"}, says("")))
    found["no taskset"] = short(rehearse(verifiers("no-such-taskset"), row, says("")))
    found["a tool that is none"] = short(rehearse(capitals, row, twice))
    found["out of turns"] = short(rehearse(capitals, row, twice, max_turns=1))
    stopped = verifiers(tasksets.taskset(tasksets.Stopped))
    found["stopped"] = short(rehearse(stopped, rows_of(stopped, 1)[0], calling))
    return found


def twice(instance, messages):
    """Calls a tool that nobody offered, then answers."""
    if messages[-1]["role"] == "tool":
        return {"content": instance["answer"]}
    return calls("search", {})


def calling(instance, messages):
    return calls("search", {})


def at_once():
    rows = rows_of(capitals, 8)

    def one(number):
        row = {**rows[number % 8], "answer": f"canary-{number}", "prompt": f"Say canary-{number}."}
        result = rehearse(capitals, row, echo, trajectory_id=f"t-{number}", seconds=240)
        return result.rewards == [1.0] and f"canary-{number}." in str(result.transcript)

    def echo(instance, messages):
        time.sleep(0.05)
        (canary,) = {
            part.rstrip(".") for part in messages[-1]["content"].split() if "canary" in part
        }
        return {"content": canary}

    with ThreadPoolExecutor(200) as pool:
        return list(pool.map(one, range(200)))


def with_tools():
    dying = verifiers(tasksets.taskset(tasksets.Dying))
    (row,) = rows_of(dying, 1)
    return {
        "killed": short(rehearse(dying, row, lambda *_: calls("die", {}), seconds=240)),
        "stock": everywhere(
            "environments.stock:stock", rows_of(stock, 1)[0], taking.gold, ways=("job",)
        ),
    }


tell(
    {
        "rows": rows_of(capitals, 8, seed=3),
        "again": rows_of(capitals, 8, seed=3) == rows_of(capitals, 8, seed=3),
        "errors": errors(),
        "at once": at_once(),
        "capitals": everywhere(
            "environments.capitals:capitals", rows_of(capitals, 1)[0], naming.gold
        ),
        "proof": [naming.validate(row) for row in rows_of(capitals, 2)],
        **with_tools(),
    }
)
