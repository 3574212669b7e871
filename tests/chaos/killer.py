"""The worker, with a plan to die: SIGKILL before or after its nth AWS call, or at a random moment.

Which call is decided by the trajectory id and the seed, so a campaign can be repeated. How often an
execution has died is kept in files, because nothing else outlives SIGKILL.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from local.gateway import LambdaContext, environment_of
from local.stack import HANDLERS

# How many calls a clean rollout of two turns makes; a test counts them.
CALLS = 25


@dataclass(frozen=True)
class Death:
    """One way to die.

    Args:
        when: at a call, just ``before`` or ``after`` it; or at a ``moment``.
        value: the call's number from 1 within the invocation, or seconds after its start.
    """

    when: Literal["before", "after", "moment"]
    value: float


def plan_of(trajectory_id: str) -> list[Death]:
    """The deaths of one rollout's invocations, in order; after them it is left in peace.

    ``b-…-N`` dies once at boundary N (two per call); ``r-…-N`` one to three times at random.
    """
    kind, seed, number = trajectory_id.split("-")
    if kind == "b":
        call, after = divmod(int(number), 2)
        return [Death("after" if after else "before", call + 1)]
    dice = random.Random(f"{seed}-{number}")
    deaths: list[Death] = []
    for _ in range(dice.choice([1, 1, 2, 3])):
        if dice.random() < 0.3:
            deaths.append(Death("moment", dice.uniform(0.0, 0.3)))
        else:
            deaths.append(Death(dice.choice(["before", "after"]), dice.randint(1, CALLS)))
    return deaths


def handler(event: dict[str, Any], context: Any) -> Any:
    """Run the worker's handler under its plan."""
    operations = event["InitialExecutionState"]["Operations"]
    started = json.loads(operations[0]["ExecutionDetails"]["InputPayload"])
    plan = plan_of(started["trajectory_id"])
    died = Path(os.environ["CHAOS_DIR"]) / started["trajectory_id"]
    deaths = died.stat().st_size if died.exists() else 0
    if deaths < len(plan):
        _arm(plan[deaths], died)
    return _worker()(event, context)


def _arm(death: Death, died: Path) -> None:
    def die() -> None:
        with died.open("ab") as file:
            file.write(b"x")
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    if death.when == "moment":
        timer = threading.Timer(death.value, die)
        timer.daemon = True
        timer.start()
        return
    from botocore.client import BaseClient

    lock, calls = threading.Lock(), 0
    original = BaseClient._make_api_call

    def counted(self: Any, operation: str, parameters: Any) -> Any:
        nonlocal calls
        with lock:
            calls += 1
            mine = calls == death.value
        if mine and death.when == "before":
            die()
        answer = original(self, operation, parameters)
        if mine:
            die()
        return answer

    BaseClient._make_api_call = counted


def _worker() -> Any:
    return environment_of(HANDLERS / "worker.py")()


# --- one process per invocation, forked from one that has everything imported ------------------------


def invoke_once(event: dict[str, Any], environ: dict[str, str], pipe: Any) -> None:
    """The child's main function: one invocation, its answer into the pipe."""
    os.environ.update(environ)
    context = LambdaContext(function_name="rollout-worker", timeout=900)
    pipe.send(handler(event, context))
    pipe.close()
