"""A world on one thread: a virtual clock, processes that are greenlets, and dice that a seed decides.

Whatever a process does to the outside (a call, a pause) passes :meth:`World.effect` or
:meth:`World.sleep`, where another process may run, time passes, and the process may die. Nothing else
switches, so a seed plays the same history again, to the letter.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

BEGIN = 1_800_000_000.0
_MASK = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """A hash of whole numbers, 64 bits: the same dice wherever and however often it is asked.

    Of a tuple of ints CPython's own hash is xxHash, without a salt.
    """
    return hash((0x9E3779B97F4A7C15, *numbers, 0x94D049BB133111EB)) & _MASK


class Dice:
    """Numbers that a seed decides, one after the other."""

    __slots__ = ("_count", "_seed")

    def __init__(self, *seed: int) -> None:
        self._seed = mix(*seed)
        self._count = 0

    def number(self) -> int:
        self._count = count = self._count + 1
        return hash((self._seed, count, 0x94D049BB133111EB)) & _MASK

    def random(self) -> float:
        return self.number() / 2.0**64

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * (self.number() / 2.0**64)

    def chance(self, share: float) -> bool:
        return self.number() / 2.0**64 < share

    def choice(self, choices: Any) -> Any:
        return choices[(self.number() >> 32) % len(choices)]

    def below(self, number: int) -> int:
        return (self.number() >> 32) % number


class Process:
    """One process, e.g. an invocation of a function.

    Args:
        skew: seconds its clock is ahead.
        limit: seconds after which it is killed.
    """

    __slots__ = (
        "alive",
        "deadline",
        "died",
        "finished",
        "frozen",
        "lingers",
        "name",
        "skew",
        "tasks",
        "thaws",
        "trajectory",
    )

    def __init__(
        self, name: str, now: float, *, skew: float, limit: float, trajectory: str
    ) -> None:
        self.name = name
        self.skew = skew
        self.deadline = now + limit
        self.trajectory = trajectory
        self.alive = True
        self.died: str = ""
        # Seconds until it is frozen once it has answered, and then until it is thawed; 0: never.
        self.lingers = 0.0
        self.thaws = 0.0
        self.frozen = 0.0
        # Whether it returned: what it was doing then it had done.
        self.finished = False
        # In the order in which they began: what is left of them is ended in this order.
        self.tasks: dict[Any, None] = {}


class Task(greenlet):
    """A thread of a process; taken up again by another when it has ended, because making one is dear."""

    process: Process
    body: Callable[[], Any] | None = None
    begun = False
    # Which of its sleeps it is in: what was to end another does not wake it.
    wakes = 0

    @staticmethod
    def take(body: Callable[[], Any], process: Process) -> Task:
        """A task that will do this in a process."""
        task = _idle.pop() if _idle else Task()
        task.body, task.process, task.begun = body, process, False
        process.tasks[task] = None
        return task

    def run(self) -> None:
        while True:
            self.begun = True
            with suppress(GreenletExit):
                Context().run(self.body)  # type: ignore[arg-type]
            self.release()
            current().hub.switch()

    def release(self) -> None:
        """Be nobody's."""
        self.process.tasks.pop(self, None)
        self.wakes += 1
        self.body = None
        _idle.append(self)

    def stop(self) -> None:
        """End it wherever it is; called by the hub."""
        if self.begun:
            self.throw(GreenletExit)
        else:
            self.release()


_idle: list[Task] = []


class Thread:
    """Stands in for ``threading.Thread``: a task of the process that starts it."""

    def __init__(
        self,
        *,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        name: str = "",
        daemon: bool,
    ) -> None:
        del daemon
        self._run = (target, args)
        self._name = name
        self._done = False
        self._waiting: list[tuple[Task, int]] = []

    def start(self) -> None:
        world = current()
        world.task(self._work, here().process)

    def join(self, timeout: float) -> None:
        world = current()
        if not self._done:
            task = here()
            self._waiting.append((task, task.wakes))
            world.sleep(timeout)  # or until the thread ends, which wakes it

    def is_alive(self) -> bool:
        return not self._done

    def _work(self) -> None:
        function, args = self._run
        try:
            function(*args)
        except GreenletExit:
            raise
        except BaseException as error:  # noqa: BLE001 - ends a thread and nothing more
            current().note(f"thread {self._name} ended: {error!r}")
        finally:
            self._done = True
            for waiting, wakes in self._waiting:
                if waiting.wakes == wakes:  # else it has given up, and may sleep elsewhere
                    current().wake(waiting)


class Time:
    """Stands in for the module ``time``; each process has a clock of its own."""

    @staticmethod
    def time() -> float:
        world = current()
        process = getattr(getcurrent(), "process", None)
        return world.now + (process.skew if process is not None else 0.0)

    @staticmethod
    def monotonic() -> float:
        return current().now

    perf_counter = monotonic

    @staticmethod
    def sleep(seconds: float) -> None:
        current().sleep(seconds)


@dataclass
class Struck:
    """A fault that struck: at which call, and how."""

    call: str
    how: str
    at: float

    @property
    def key(self) -> str:
        return self.call


@dataclass(frozen=True)
class Outage:
    """A service that fails every call for a while; seconds since the begin."""

    service: str
    begin: float
    end: float
    how: str


@dataclass
class World:
    """The clock, the processes, and what goes wrong.

    Args:
        seed: decides everything.
        rates: how often a call fails in which way.
        forced: what happens to single calls, by ``service.operation rollout #nth``.
        outages: services that are down for a while.
        heal: seconds after the begin when nothing goes wrong any more.
        suppressed: faults that are left out, by their call; for shrinking.
    """

    seed: int
    rates: dict[str, dict[str, float]]
    heal: float
    suppressed: frozenset[str] = frozenset()
    outages: tuple[Outage, ...] = ()
    forced: dict[str, str] = field(default_factory=dict)
    now: float = BEGIN
    struck: list[Struck] = field(default_factory=list)
    trace: list[str] | None = None
    crashes: int = 0
    most_crashes: int = 3
    _heap: list[tuple[float, int, Any, int]] = field(default_factory=list)
    _order: int = 0
    # How often each call was made, and its number and name, by call and whom it is about.
    _places: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    _until: float = 0.0

    def heard(self, name: str, job: str) -> None:
        """The trainer was told something about a rollout."""

    def __post_init__(self) -> None:
        self.hub = getcurrent()
        # Whom the objects are about that could not be written, or not yet.
        self.failed_puts: set[str] = set()
        # Processes that are frozen, or thawed, with something left in them.
        self.thawing = 0
        self.jitter = Dice(self.seed, 0x71772)

    # --- time ---------------------------------------------------------------------------------

    def run(self, until: float, idle: Callable[[], bool]) -> None:
        """Let time pass until nothing is left to do, ``idle`` says so, or ``until``."""
        heap = self._heap
        self._until = until
        while heap:
            at, _, what, wake = heapq.heappop(heap)
            if at > until:
                return
            if at > self.now:
                self.now = at
            if isinstance(what, Task):
                if what.wakes != wake:
                    continue
                if what.process.frozen > self.now and what.process.alive:
                    heapq.heappush(heap, (what.process.frozen, self._order, what, wake))
                    self._order += 1
                    continue
                what.wakes = wake + 1
                if what.process.alive:
                    what.switch()
                else:
                    what.stop()
            else:
                what()
                if idle():
                    return

    def at(self, when: float, what: Callable[[], Any]) -> None:
        """Do something at a moment."""
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, what, 0))

    def sleep(self, seconds: float) -> None:
        """Let others run until so many seconds are over."""
        task: Any = getcurrent()
        process = task.process
        if not process.alive:
            raise GreenletExit
        when = self.now + max(0.0, seconds)
        heap = self._heap
        if when < self._until and (not heap or heap[0][0] > when):
            self.now = when  # nothing else happens until then: no need to switch and back
            return
        self._order += 1
        heapq.heappush(heap, (when, self._order, task, task.wakes))
        self.hub.switch()
        if not process.alive:
            raise GreenletExit

    def wake(self, task: Any) -> None:
        """Let a task that sleeps go on now."""
        self._push(task, self.now)

    def _push(self, task: Any, when: float) -> None:
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, task, task.wakes))

    # --- processes ----------------------------------------------------------------------------

    def spawn(
        self,
        name: str,
        body: Callable[[], Any],
        *,
        limit: float,
        trajectory: str = "",
        skew: float = 0.0,
    ) -> Process:
        """Start a process now; it is killed at its limit."""
        process = Process(name, self.now, skew=skew, limit=limit, trajectory=trajectory)

        def whole() -> None:
            try:
                body()
                process.finished = True
            finally:
                # A thread that is left goes on until the environment is frozen, and once that is thawed.
                self.at(self.now + process.lingers, lambda: self._freeze(process))

        self.task(whole, process)
        self.at(process.deadline, lambda: process.finished or self.kill(process, "time limit"))
        return process

    def _freeze(self, process: Process) -> None:
        """An environment is frozen between its invocations; what is left in it goes on in the next."""
        if process.thaws and len(process.tasks):
            process.frozen = self.now + process.thaws
            self.note(f"{process.name} is frozen for {process.thaws:.0f} s")
            self.thawing += 1
            self.at(process.frozen + 20.0, lambda: self._thawed(process))
        else:
            self.kill(process, "frozen")

    def _thawed(self, process: Process) -> None:
        self.thawing -= 1
        self.kill(process, "frozen")

    def task(self, body: Callable[[], Any], process: Process) -> Task:
        """Start another thread of a process."""

        task = Task.take(body, process)
        self._push(task, self.now)
        return task

    def kill(self, process: Process, why: str) -> None:
        """End a process and its threads wherever they are; called by the hub."""
        if not process.alive:
            return
        process.alive = False
        if not process.finished:
            process.died = why
        for task in tuple(process.tasks):
            task.stop()

    def die(self, why: str) -> None:
        """Kill the process that calls."""
        task: Any = getcurrent()
        process = task.process
        process.alive, process.died = False, why
        self.crashes += 1
        self.note(f"{process.name} dies: {why}")
        for other in tuple(process.tasks):
            if other is not task:
                self.wake(other)
        raise GreenletExit

    def end(self) -> None:
        """Let go of every process that is left."""
        for _, _, what, wake in self._heap:
            if isinstance(what, Task) and what.wakes == wake:
                what.process.alive = False
                what.stop()
        self._heap.clear()

    # --- effects ------------------------------------------------------------------------------

    def fault(self, call: str, about: str) -> tuple[str, float, str]:
        """What happens to one call, and how long it takes: the same however other calls went.

        Args:
            call: ``service.operation``; its rates are looked up.
            about: whom it is about, so that faults are told apart.

        Returns:
            The fault (empty: none), seconds, and the call's own name.
        """
        known = self._places.get((call, about))
        if known is None:
            place = f"{call} {about}"
            number = sum(map(ord, place)) * 1_000_003 + len(place)
            known = self._places[call, about] = [0, number, place]
        nth, number, place = known
        known[0] = nth = nth + 1
        dice = hash((self.seed, number, nth, 0x94D049BB133111EB)) & _MASK
        seconds = 0.002 + (dice >> 4 & 0xFFFF) / 0xFFFF * 0.05
        if self.outages:
            service = call.partition(".")[0]
            for outage in self.outages:
                if outage.service == service and outage.begin <= self.now - BEGIN < outage.end:
                    return outage.how, seconds, place
        if self.forced and f"{place} #{nth}" in self.forced:
            return self.forced[f"{place} #{nth}"], seconds, place
        rates = self.rates.get(call)
        if rates is None or self.now - BEGIN > self.heal:
            return "", seconds, place
        share = (dice >> 24) / 2.0**40
        for kind, rate in rates.items():
            if share < rate:
                name = f"{place} #{nth}"
                if name in self.suppressed:
                    return "", seconds, name
                if kind.startswith("crash") and self.crashes >= self.most_crashes:
                    return "", seconds, name
                self.struck.append(Struck(name, kind, round(self.now - BEGIN, 3)))
                self.note(f"{name}: {kind}")
                return kind, seconds, name
            share -= rate
        return "", seconds, place

    def note(self, text: str) -> None:
        """A line of the history, where somebody wants to read it."""
        if self.trace is not None:
            self.trace.append(f"{self.now - BEGIN:10.3f} {text}")


_world: list[World] = []


def current() -> World:
    """The world that is being played."""
    return _world[-1]


def here() -> Task:
    """The task that runs."""
    return getcurrent()  # type: ignore[return-value]


def enter(world: World) -> None:
    """Play this world from here on."""
    _world[:] = [world]
