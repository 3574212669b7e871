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

from devkit.aws_session import default_session, renew_default_session
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
DeathPlan = Callable[[str], Sequence[Death]]


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


def invoke(event: dict[str, Any], context: Any, *, plan: DeathPlan, graves: Path) -> Any:
    """Run the worker's handler under its plan.

    Args:
        graves: directory with a file for each rollout that died, as long as the times it did.
    """
    operations = event["InitialExecutionState"]["Operations"]
    started = json.loads(operations[0]["ExecutionDetails"]["InputPayload"])
    deaths = plan(started["trajectory_id"])
    grave = grave_of(graves, started["trajectory_id"])
    died = grave.stat().st_size if grave.exists() else 0
    _arm(deaths[died] if died < len(deaths) else None, grave)
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
    plan: DeathPlan,
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
    event: dict[str, Any], environ: dict[str, str], plan: DeathPlan, graves: Path, pipe: Any
) -> None:
    """The child's main function: one invocation, its answer into the pipe."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # of a terminal: the process that started this one stops
    os.environ.update(environ)
    context = LambdaContext(function_name="rollout-worker", timeout=900)
    pipe.send(invoke(event, context, plan=plan, graves=graves))
    pipe.close()


class _Calls:
    """Counts the AWS calls of this process, and has it die at one of them.

    The worker's clients take their session's events along when they are made, and a warm process keeps
    its clients: this listens before the first is made, and each invocation arms it anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fatal = threading.local()
        self._listening = False
        self._count = 0
        self._death: Death | None = None
        self._die: Callable[[], None] = _kill

    def arm(self, death: Death | None, die: Callable[[], None]) -> None:
        """Count from one again, and die at ``death``; never where that is None."""
        if not self._listening:
            if default_session() is None:
                renew_default_session()
            events = default_session().events
            events.register("before-call", self._before)
            events.register("after-call", self._after)
            self._listening = True
        with self._lock:
            self._count, self._death, self._die = 0, death, die

    def _before(self, **_: Any) -> None:
        with self._lock:
            self._count += 1
            death = self._death
            self._fatal.now = death is not None and death.value == self._count
        if self._fatal.now and death is not None and death.when == "before":
            self._die()

    def _after(self, **_: Any) -> None:
        if self._fatal.now:
            self._die()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _arm(death: Death | None, grave: Path) -> None:
    def die() -> None:
        with grave.open("ab") as file:
            file.write(b"x")
        _kill()

    if death is not None and death.when == "moment":
        timer = threading.Timer(death.value, die)
        timer.daemon = True
        timer.start()
        death = None
    _calls.arm(death, die)


_calls = _Calls()
