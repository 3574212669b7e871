"""One history: what a seed decides, played on the library, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from greenlet import GreenletExit

from rollout.contract import validate_rollout
from rollout.errors import AlreadyRunning, NotFound, RolloutError
from rollout.service import close_abandoned, play_durable, play_inline, start_durable, sweep
from rollout.settings import Settings
from rollout.storage import drain
from rollout.storage.record import iso
from tests.building import ACCOUNT, ENDPOINT, REGION, make_settings
from tests.simulation import agents, services
from tests.simulation.durable import Execution, LambdaService
from tests.simulation.table import Table
from tests.simulation.world import BEGIN, Dice, Outage, Process, World, enter, here

SWEEP_EVERY = 300.0
# A job that nobody's trainer answers; its rollouts are there to hold the others up.
SILENT_JOB = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:job/AgentRFT/silent"
JOBS = tuple(f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:job/AgentRFT/job-{n}" for n in range(2))
_FAULTS = {
    "table.get": ("throttled", "500", "timeout", "garbled", "crash-before", "crash-after"),
    "table.put": ("throttled", "500", "500-after", "timeout", "timeout-after", "crash-before", "crash-after"),
    "table.update": ("throttled", "500-after", "timeout", "timeout-after", "crash-before", "crash-after"),
    "table.delete": ("throttled", "timeout-after", "crash-before", "crash-after"),
    "table.query": ("throttled", "timeout", "crash-before"),
    "bucket.put": ("500", "timeout", "timeout-after", "slow", "crash-before", "crash-after"),
    "bucket.get": ("500", "timeout", "nonsense", "slow", "crash-before"),
    "lambda.invoke": ("429", "500", "500-after", "timeout", "timeout-after", "refused", "403", "crash-before", "crash-after"),
    "lambda.get": ("429", "500", "timeout", "crash-before"),
    "trainer.sample": (
        "429", "refused", "unreached", "500", "500-after", "timeout", "timeout-after", "closed-after",
        "garbled-after", "nonsense", "broken", "slow", "crash-before", "crash-after",
    ),
    "trainer.complete": (
        "429", "refused", "500", "500-after", "timeout", "timeout-after", "closed-after", "403", "garbled",
        "garbled-after", "odd", "300", "300-after", "slow", "crash-before", "crash-after",
    ),
    "trainer.reward": (
        "429", "refused", "500", "500-after", "timeout", "timeout-after", "closed-after", "403", "garbled",
        "garbled-after", "odd", "300", "300-after", "slow", "crash-before", "crash-after",
    ),
    "durable.checkpoint": ("refused", "lost", "zombie", "zombie-after", "crash-before", "crash-after"),
}  # fmt: skip
_OUTAGES = {
    "table": ("throttled", "timeout"),
    "bucket": ("500", "timeout"),
    "lambda": ("429", "timeout"),
    "trainer": ("refused", "500", "timeout"),
}


@dataclass
class Rollout:
    """One rollout of a history, and how it was asked for."""

    name: str
    job: str
    mode: str
    kind: str
    turns: int
    asked_at: list[float]
    retries: int
    # Characters that make the request too large for its row.
    filler: int = 0

    def document(self) -> dict[str, Any]:
        """The request's body."""
        return {
            "instance": {
                "canary": self.name,
                "kind": self.kind,
                "turns": self.turns,
                "filler": "x" * self.filler,
            },
            "metadata": {
                "job_arn": self.job,
                "trajectory_id": self.name,
                "endpoint": ENDPOINT,
                "region": REGION,
            },
        }


@dataclass
class Plan:
    """What a seed decides before anything happens."""

    rollouts: list[Rollout]
    rates: dict[str, dict[str, float]]
    outages: tuple[Outage, ...]
    heal: float
    skew: float
    trainer: dict[str, Any]
    spill: int | None
    settings: dict[str, str]
    forced: dict[str, str] = field(default_factory=dict)
    # What else happens, and when: seconds after the begin.
    events: tuple[tuple[float, Callable[[Universe], None]], ...] = ()


@dataclass
class Answer:
    """What a caller was answered: an HTTP status; 0 where there was no answer."""

    name: str
    at: float
    status: int
    detail: str = ""


class Universe(World):
    """A world with everything in it that the library meets."""

    plan: Plan
    settings: Settings

    def set_up(self, plan: Plan) -> None:
        self.plan = plan
        self.settings = _settings(**plan.settings)
        self.dice = Dice(self.seed, 0x1157)
        self.behind = Dice(self.seed, 0xBE)
        self.table = Table(lambda: self.now, lambda: self.behind.uniform(0.0, 1.5))
        self.objects: dict[str, bytes] = {}
        self.trainer = services.Trainer(self, **plan.trainer)
        for rollout in plan.rollouts:
            self.trainer.trajectories[rollout.name] = services.Trajectory(rollout.job)
        self.lambda_service = LambdaService(
            self,
            lambda event, context: play_durable.play_durable(
                event, context, self._settings_of(event["trajectory_id"])
            ),
            self._tell,
            skew=self._skew,
            timeout=self.settings.times.execution_timeout,
            spill=plan.spill,
        )
        self.answers: list[Answer] = []
        self.computed: list[tuple[str, list[float], Process, float]] = []
        self.violations: list[tuple[str, str, str]] = []
        self.callers = 0
        self.sweeps = 0
        # Rollouts whose report arrived though their result could be recorded nowhere.
        self.unrecorded: set[str] = set()
        self._clients: dict[tuple[str, float, int], Any] = {}
        self._kinds = {rollout.name: rollout.kind for rollout in plan.rollouts}

    def found(self, invariant: str, name: str, detail: str) -> None:
        """A promise is broken."""
        self.note(f"VIOLATION {invariant}: {name}: {detail}")
        self.violations.append((invariant, name, detail))

    def client(self, service: str, *, read_timeout: float, attempts: int) -> Any:
        """The client of a service: one for each way of asking, as the library keeps its own."""
        key = (service, read_timeout, attempts)
        known = self._clients.get(key)
        if known is None:
            known = self._clients[key] = self._client(
                service, {"read_timeout": read_timeout, "attempts": attempts}
            )
        return known

    def _client(self, service: str, options: dict[str, Any]) -> Any:
        if service == "dynamodb":
            return services.TableClient(self, self.table, **options)
        if service == "s3":
            return services.BucketClient(self, self.objects, **options)
        if service == "lambda":
            return services.LambdaClient(self, self.lambda_service, **options)
        return services.TrainerClient(self, self.trainer, **options)

    def _skew(self) -> float:
        return self.dice.uniform(-self.plan.skew, self.plan.skew) if self.plan.skew else 0.0

    # --- the functions ------------------------------------------------------------------------

    def ask(self, rollout: Rollout, left: int) -> None:
        """A caller asks for a rollout, and again while the answer asks for it."""
        self.callers += 1
        answered: list[Answer] = []
        limit = 60.0 if rollout.mode == "job" else 30.0

        def body() -> None:
            try:
                answered.append(self._serve(rollout))
            finally:
                self.at(self.now, lambda: done(answered))

        def done(answered: list[Answer]) -> None:
            self.callers -= 1
            answer = answered[0] if answered else Answer(rollout.name, self.now, 0)
            self.answers.append(answer)
            self.note(f"{rollout.name} is answered {answer.status} {answer.detail}")
            again = answer.status in (0, 409, 429) or answer.status >= 500
            if again and left > 0:
                pause = self.dice.uniform(0.5, 20.0)
                self.at(self.now + pause, lambda: self.ask(rollout, left - 1))

        process = self.spawn(
            f"{rollout.mode} of {rollout.name}",
            body,
            limit=limit,
            trajectory=rollout.name,
            skew=self._skew(),
        )
        process.lingers = self.dice.uniform(0.0, 20.0)
        process.thaws = self.dice.choice((0.0, 60.0, 500.0))

    def _serve(self, rollout: Rollout) -> Answer:
        settings = self._settings_of(rollout.name)
        try:
            request = validate_rollout(rollout.document())
            if rollout.mode == "inline":
                left = here().process.deadline - self.now
                played = play_inline.play_inline(request, settings, left)
                body = played.answer()
                json.dumps(body)
                return Answer(rollout.name, self.now, 200, str(body.get("status")))
            start_durable.start_durable(request, settings, entry_point=rollout.mode)
        except RolloutError as error:
            return Answer(rollout.name, self.now, error.status, f"{error.slug}: {error.detail}")
        except GreenletExit:
            raise
        except BaseException as error:  # noqa: BLE001 - what the handler would call a crash, or die of
            self.found("crashed", rollout.name, f"{type(error).__name__}: {error}")
            return Answer(rollout.name, self.now, 500, repr(error))
        self._look_behind_the_answer(rollout)
        return Answer(rollout.name, self.now, 202)

    def _settings_of(self, name: str) -> Settings:
        agent = "once" if self._kinds[name] == "once" else "play"
        return _settings(agent=f"{agents.__name__}:{agent}", **self.plan.settings)

    def _look_behind_the_answer(self, rollout: Rollout) -> None:
        """202 means: a row is there, and its execution was started."""
        row = self.row(rollout.name, rollout.job)
        if row is None:
            self.found("202", rollout.name, "accepted without a row")
        elif row["state"] == "accepted" and not any(
            (event := json.loads(known.payload))["trajectory_id"] == rollout.name
            and event["attempt"] == int(row["attempt"])
            and known.status == "RUNNING"
            for known in self.lambda_service.executions.values()
        ):
            self.found("202", rollout.name, "accepted without a start")

    def heard(self, name: str, job: str) -> None:
        """The trainer is told something: note where table and bucket were out, and nothing else knows it."""
        if name in self.failed_puts:
            row = self.row(name, job)
            running = row is not None and row["state"] == "running"
            if running and not any(key.startswith("checkpoints/note-") for key in self.objects):
                self.unrecorded.add(name)

    def row(self, name: str, job: str) -> dict[str, Any] | None:
        """A rollout's row as it is."""
        from tests.simulation.table import plain

        item = self.table.items.get((f"rollout#{job}#{name}", "rollout"))
        return None if item is None else plain(item)

    def sweep(self) -> None:
        """The scheduled function, every five minutes, while something is open."""
        self.at(self.now + SWEEP_EVERY, self.sweep)
        # Nothing is due by any clock, or by the next sweep: this one would look in vain.
        soon = iso(self.now + 60.0)
        due = (item.get("due_at") for item in self.table.items.values())
        if not any(at is not None and at["S"] <= soon for at in due):
            return
        self.sweeps += 1

        def body() -> None:
            try:
                sweep.sweep(self.settings, _time_left(self))
            except GreenletExit:
                raise
            except BaseException as error:  # noqa: BLE001 - what the runtime would call a crash
                self.found("crashed", "sweep", f"{type(error).__name__}: {error}")

        self.spawn("sweep", body, limit=300.0, skew=self._skew())

    def _tell(self, execution: Execution) -> None:
        """EventBridge: an execution's end, perhaps twice; a function that fails is asked twice more."""
        event = (execution.arn, execution.status)
        for _ in range(2 if self.dice.chance(0.2) else 1):
            self.at(self.now + self.dice.uniform(0.5, 20.0), lambda: self._close(event, 0))

    def _close(self, event: tuple[str, str], tries: int) -> None:
        finished: list[bool] = []

        def body() -> None:
            try:
                try:
                    close_abandoned.close_execution(*event, self.settings)
                except (NotFound, AlreadyRunning) as error:
                    self.note(f"closer: {error.detail}")
                finished.append(True)
            except RolloutError as error:
                self.note(f"closer raises {error.slug}: the event comes again")
            except GreenletExit:
                raise
            except BaseException as error:  # noqa: BLE001 - the runtime repeats it, and it is a bug
                self.note(f"closer crashed: {error!r}")
            finally:
                if not finished and tries < 2:
                    when = self.now + 60.0 * (tries + 1)
                    self.at(when, lambda: self._close(event, tries + 1))

        known = self.lambda_service.executions[event[0].rsplit("/", 1)[-1]]
        name = json.loads(known.payload)["trajectory_id"]
        self.spawn("closer", body, limit=60.0, trajectory=name, skew=self._skew())

    def idle(self) -> bool:
        """Whether nothing more will happen."""
        if self.callers or self.thawing or self.now - BEGIN < self.last_asked:
            return False
        silent = self.plan.trainer["silent"]  # what nobody ever hears of is not waited for
        for item in self.table.items.values():
            if "due_at" in item and item["job_arn"]["S"] not in silent:
                return False
        for execution in self.lambda_service.executions.values():
            if execution.status == "RUNNING" and execution.job not in silent:
                return False
        return True


@lru_cache
def _settings(agent: str = "", **overrides: str) -> Settings:
    return make_settings(**overrides, **({"agent": agent} if agent else {}))


def _time_left(world: World) -> Callable[[], float]:
    process = here().process
    return lambda: process.deadline - world.now


def plan_of(seed: int) -> Plan:
    """Everything a seed decides beforehand."""
    dice = Dice(seed, 0x9A7)
    heavy = dice.choice((0.0, 0.01, 0.03, 0.08, 0.15))
    rates: dict[str, dict[str, float]] = {}
    if heavy:
        # A history in which few kinds of fault are frequent finds more than one in which all are rare.
        focus = dice.chance(0.5)
        for call, kinds in _FAULTS.items():
            chosen = [kind for kind in kinds if not focus or dice.chance(0.3)]
            if chosen:
                share = min(0.9, heavy * (3.0 if focus else 1.0))
                rates[call] = dict.fromkeys(chosen, share / len(chosen))
    outages: list[Outage] = []
    if dice.chance(0.3):
        service = dice.choice(tuple(_OUTAGES))
        begin = dice.uniform(0.0, 30.0)
        seconds = dice.choice((3.0, 8.0, 20.0, 45.0, 200.0))
        outages.append(Outage(service, begin, begin + seconds, dice.choice(_OUTAGES[service])))
    count = 1 if dice.chance(0.75) else 2 + dice.below(3)
    silent = count > 1 and dice.chance(0.4)
    rollouts: list[Rollout] = []
    kinds = tuple(agents.KINDS)
    for number in range(count):
        kind = dice.choice(kinds) if dice.chance(0.5) else "plain"
        first = dice.uniform(0.0, 5.0)
        asked = [first]
        while len(asked) < 3 and dice.chance(0.35):
            asked.append(first + dice.choice((0.0, 0.03, 1.0, 40.0, 400.0)))
        rollouts.append(
            Rollout(
                name=f"t{dice.below(100_000)}-{number}",
                job=SILENT_JOB if silent and number == 0 else JOBS[dice.below(2)],
                mode=dice.choice(("inline", "api", "job")),
                kind=kind,
                turns=1 + dice.below(4),
                asked_at=sorted(asked),
                retries=dice.below(5),
            )
        )
    trainer = {
        "repeat": dice.choice((0, 0, 0, 400, 404, 409)),
        "lag": dice.choice((0.0, 0.0, 0.5, 4.0)),
        "lagging": dice.choice((404, 409)),
        "silent": {SILENT_JOB: dice.choice(("silent", "drip"))} if silent else {},
    }
    settings = {
        "worker": "worker:live",
        "job_timeout": "300",
        "execution_timeout": "600",
        "sample_timeout": dice.choice(("20", "60")),
        "failure_policy": dice.choice(("report-failed", "report-failed", "floor:0")),
        "record_content": dice.choice(("full", "full", "numbers")),
    }
    return Plan(
        rollouts,
        rates,
        tuple(outages),
        heal=dice.choice((60.0, 300.0, 900.0)),
        skew=15.0 if dice.chance(0.25) else 0.0,
        trainer=trainer,
        spill=10 if dice.chance(0.15) else None,
        settings=settings,
    )


# Seconds after the last fault or acceptance within which every rollout has ended; docs/durable.md.
WITHIN = 1_800.0


def play(
    seed: int,
    *,
    plan: Plan | None = None,
    suppressed: frozenset[str] = frozenset(),
    trace: bool = False,
) -> Universe:
    """Play the history of a seed and check the promises; must be called inside ``entry.simulated``."""
    from tests.simulation.invariants import check

    plan = plan or plan_of(seed)
    plan = without(plan, suppressed)
    world = Universe(seed, plan.rates, plan.heal, suppressed, plan.outages, plan.forced)
    world.trace = [] if trace else None
    enter(world)
    drain._seen.clear()  # what a process believes of a world that is over
    world.set_up(plan)
    world.last_asked = max(at for rollout in plan.rollouts for at in rollout.asked_at) + 0.01
    for rollout in plan.rollouts:
        for at in rollout.asked_at:
            world.at(BEGIN + at, lambda rollout=rollout: world.ask(rollout, rollout.retries))
    for at, event in plan.events:
        world.at(BEGIN + at, lambda event=event: event(world))
    world.at(BEGIN + Dice(seed, 5).uniform(0.0, SWEEP_EVERY), world.sweep)
    until = BEGIN + plan.heal + world.last_asked + WITHIN
    world.run(until, world.idle)
    check(world)
    world.end()
    return world


def without(plan: Plan, suppressed: frozenset[str]) -> Plan:
    """The plan less what is suppressed beside single faults: outages, skew, repeats."""
    if not suppressed:
        return plan
    if "outages" in suppressed:
        plan = replace(plan, outages=())
    if "skew" in suppressed:
        plan = replace(plan, skew=0.0)
    if "spill" in suppressed:
        plan = replace(plan, spill=None)
    if "lag" in suppressed:
        plan = replace(plan, trainer={**plan.trainer, "lag": 0.0})
    if "repeat" in suppressed:
        plan = replace(plan, trainer={**plan.trainer, "repeat": 0})
    rollouts = [r for r in plan.rollouts if f"rollout {r.name}" not in suppressed]
    rollouts = [
        replace(r, asked_at=r.asked_at[:1]) if f"repeats {r.name}" in suppressed else r
        for r in rollouts
    ]
    rollouts = [replace(r, retries=0) if f"retries {r.name}" in suppressed else r for r in rollouts]
    return replace(plan, rollouts=rollouts)
