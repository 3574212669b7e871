"""Workers that die by SIGKILL on the way: one process per invocation, forked from one that is warm.

When an invocation dies is decided by a plan of the trajectory id. How often a rollout has died is kept
in files, because nothing else outlives SIGKILL.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from devkit.emulator.gateway import LambdaContext, environment_of
from devkit.places import HANDLERS


@dataclass(frozen=True)
class Death:
    """One way to die.

    Args:
        when: at an AWS call, just ``before`` or ``after`` it; or at a ``moment``.
        value: the call's number from 1 within the invocation, or seconds after its start.
    """

    when: Literal["before", "after", "moment"]
    value: float


# The deaths of one rollout's invocations, in order; after them it is left in peace.
Plan = Callable[[str], Sequence[Death]]


@dataclass(frozen=True)
class AtRandom:
    """Kills the worker of a share of the rollouts once, before or after one of its first calls.

    Args:
        share: of the rollouts.
        seed: decides which, and where.
        calls: among which the fatal one is.
    """

    share: float
    seed: int = 0
    calls: int = 20

    def __call__(self, trajectory_id: str) -> Sequence[Death]:
        dice = random.Random(f"{self.seed}/{trajectory_id}")  # noqa: S311 - a plan to repeat
        if dice.random() >= self.share:
            return ()
        return (Death(dice.choice(("before", "after")), dice.randint(1, self.calls)),)


def invoke(event: dict[str, Any], context: Any, *, plan: Plan, graves: Path) -> Any:
    """Run the worker's handler under its plan.

    Args:
        graves: directory with a file for each rollout that died, as long as the times it did.
    """
    operations = event["InitialExecutionState"]["Operations"]
    started = json.loads(operations[0]["ExecutionDetails"]["InputPayload"])
    deaths = plan(started["trajectory_id"])
    grave = grave_of(graves, started["trajectory_id"])
    died = grave.stat().st_size if grave.exists() else 0
    if died < len(deaths):
        _arm(deaths[died], grave)
    return environment_of(HANDLERS / "worker.py")()(event, context)


def grave_of(graves: Path, trajectory_id: str) -> Path:
    """Where a rollout's deaths are counted; an id may be longer than a file name, or hold a slash."""
    return graves / sha256(trajectory_id.encode()).hexdigest()[:40]


def kills(graves: Path) -> int:
    """How many workers have died."""
    return sum(grave.stat().st_size for grave in graves.iterdir())


def forked(
    graves: Path,
    environ: Callable[[], dict[str, str]],
    plan: Plan,
    preload: Sequence[str] = ("devkit.emulator.preload",),
) -> Callable[[Any], Any]:
    """Invokes the worker in a forked process that may be killed.

    Args:
        graves: see :func:`invoke`; made if it is missing.
        environ: of the worker, asked for at each invocation.
        plan: must be importable by name, or an object that can be pickled.
        preload: modules the children begin with.
    """
    graves.mkdir(parents=True, exist_ok=True)
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(list(preload))

    def run(event: dict[str, Any]) -> Any:
        ours, theirs = forks.Pipe(duplex=False)
        child = forks.Process(target=_once, args=(event, environ(), plan, graves, theirs))
        child.start()
        theirs.close()
        try:
            return ours.recv()
        except EOFError:
            raise RuntimeError("the worker died") from None
        finally:
            ours.close()
            child.join()

    return run


def _once(
    event: dict[str, Any], environ: dict[str, str], plan: Plan, graves: Path, pipe: Any
) -> None:
    """The child's main function: one invocation, its answer into the pipe."""
    os.environ.update(environ)
    context = LambdaContext(function_name="rollout-worker", timeout=900)
    pipe.send(invoke(event, context, plan=plan, graves=graves))
    pipe.close()


def _arm(death: Death, grave: Path) -> None:
    def die() -> None:
        with grave.open("ab") as file:
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
    client: Any = BaseClient
    original = client._make_api_call  # noqa: SLF001 - the one place that every call passes

    def counted(self: Any, operation: str, parameters: Any) -> Any:
        nonlocal calls
        with lock:
            calls += 1
            due = calls == death.value
        if due and death.when == "before":
            die()
        answer = original(self, operation, parameters)
        if due:
            die()
        return answer

    client._make_api_call = counted  # noqa: SLF001
