"""A training step, event by event: slots, environments, starts, checkpoints, writes.

The trainer keeps ``concurrency`` rollouts open and hands out the next when one ends. A rollout comes in
at the job's function, which writes the record and starts the durable worker; the worker holds one
execution environment for all its turns, each a checkpoint, a Sample, a checkpoint. What a rollout asks
for is counted (``devkit.checks.cost``), the limits are the published defaults
(``devkit.checks.prices``). Rate limits are token buckets
with the rate as burst; DynamoDB's stored burst capacity is left out, to be careful.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import simpy

from devkit.checks import cost
from devkit.checks.prices import QUOTAS
from rollout.storage.keys import PARTS, SHARDS
from rollout.storage.totals import ATTEMPTS, PAUSE

Process = Generator[Any, Any, Any]
# Lambda's own retries of an asynchronous event it had no room for: from a second to five minutes
# (docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html).
_FIRST_RETRY, _LAST_RETRY = 1.0, 300.0
# What the job's function does with a refused start before it says so: three attempts of botocore.
_START_ATTEMPTS = 3


@dataclass(frozen=True)
class Scenario:
    """What is played against which limits; times in seconds, rates a second.

    Args:
        concurrency: rollouts the trainer keeps open.
        sample_mean: of one Sample, lognormal with ``sample_sigma`` (of the logarithm).
        latencies: measured ones to draw from instead.
        turn_seconds: the agent's own time a turn.
        call_seconds: one checkpoint or write.
        start_seconds: of the job function when warm; ``cold_seconds`` more when not.
        deadline: from acceptance until the agent must have answered.
        arrivals: Poisson rate at which rollouts come, instead of a trainer that waits for slots.
        request_bytes: of the instance, which the row holds until the result is known.
        job_environments: JobConcurrency: environments kept for the job's function; 0 shares them.
        totals_parts: partitions that a job's totals may take.
        queue: what an event does that finds no environment: Lambda's backoff, or a plain queue.
    """

    rollouts: int = 4_096
    turns: int = 50
    concurrency: int = 96
    sample_mean: float = 5.0
    sample_sigma: float = 0.6
    latencies: Sequence[float] = ()
    turn_seconds: float = 0.05
    call_seconds: float = cost.CALL_SECONDS
    start_seconds: float = cost.START_SECONDS
    cold_seconds: float = 1.0
    deadline: float = 570.0
    request_bytes: float = 1_000
    arrivals: float | None = None
    job_environments: int = 0
    queue: Literal["backoff", "fifo"] = "backoff"
    environments: float = QUOTAS["lambda-concurrency"].limit
    scaling: float = QUOTAS["lambda-scaling"].limit
    starts: float = QUOTAS["durable-starts"].limit
    checkpoints: float = QUOTAS["checkpoints"].limit
    table_units: float = QUOTAS["dynamodb-table"].limit
    partition_units: float = QUOTAS["dynamodb-partition"].limit
    totals_parts: int = PARTS
    puts: float = QUOTAS["s3-puts"].limit
    seed: int = 7


class Bucket:
    """A rate limit: tokens that come back at ``rate`` a second, at most ``burst`` of them."""

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self.rate = rate
        self._burst = rate if burst is None else burst
        # When all tokens asked for so far will have come back (the generic cell rate algorithm).
        self._full = -math.inf
        # What was asked for, in the second it was asked for; above the rate, somebody waits.
        self.by_second: Counter[int] = Counter()
        self.waited = 0.0
        self.refused = 0

    def reserve(self, now: float, amount: float = 1) -> float:
        """Take tokens, first come first served; seconds until they are there."""
        begin = max(self._full, now)
        self._full = begin + amount / self.rate
        wait = max(0.0, self._full - now - self._burst / self.rate)
        self.by_second[int(now)] += math.ceil(amount)
        self.waited += wait
        return wait

    def take(self, now: float, amount: float = 1) -> bool:
        """Take tokens that are there now; False, and a refusal counted, if they are not."""
        if max(self._full, now) + amount / self.rate - now > (self._burst + 1e-9) / self.rate:
            self.refused += 1
            self.by_second[int(now)] += math.ceil(amount)
            return False
        self.reserve(now, amount)
        return True

    def use(self, seconds: float) -> dict[str, float]:
        """Peak and mean demand as shares of the rate, seconds waited in all, refusals."""
        total = sum(self.by_second.values())
        return {
            "peak": max(self.by_second.values(), default=0) / self.rate,
            "mean": total / max(seconds, 1e-9) / self.rate,
            "waited": self.waited,
            "refused": self.refused,
        }


@dataclass
class Result:
    """What came of it: how long the step took, and how much of each limit it used."""

    scenario: Scenario
    seconds: float = 0.0
    played: int = 0
    late: int = 0
    refused: int = 0
    throttled: int = 0
    uncounted: int = 0
    waits: list[float] = field(default_factory=list[float])
    residence: list[float] = field(default_factory=list[float])
    running: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    use: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    @property
    def mean_running(self) -> float:
        """Environments in use, averaged over the step."""
        pairs = zip(self.running, self.running[1:], strict=False)
        return sum(n * (later - now) for (now, n), (later, _) in pairs) / max(self.seconds, 1e-9)


class Step:
    """One step of one job, played by :func:`simulate`."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.env = simpy.Environment()
        self.result = Result(scenario)
        self._dice = random.Random(scenario.seed)  # noqa: S311 - a simulation
        # Dice of its own for what the trainer does not see.
        self._spread = random.Random(scenario.seed)  # noqa: S311 - a simulation
        self._slots = simpy.Resource(self.env, scenario.concurrency)
        workers = round(scenario.environments) - scenario.job_environments
        self._pool = simpy.Resource(self.env, workers)
        self._job_pool = self._pool
        if scenario.job_environments:
            self._job_pool = simpy.Resource(self.env, scenario.job_environments)
        inside = scenario.request_bytes / 1_024
        self._accepted = math.ceil(cost.ACCEPTED_KB + inside)
        self._row, self._ended = math.ceil(cost.ROW_KB + inside), math.ceil(cost.ENDED_KB)
        self._idle: Counter[str] = Counter()
        # Invocations that found no environment, by the limit they ran into.
        self._throttled: Counter[str] = Counter()
        # A function scales by 1,000 environments in ten seconds.
        self._scaling = {
            name: Bucket(scenario.scaling, 10 * scenario.scaling) for name in ("job", "worker")
        }
        self._starts = Bucket(scenario.starts)
        self._checkpoints = Bucket(scenario.checkpoints)
        self._table = Bucket(scenario.table_units)
        parts = range(scenario.totals_parts)
        self._buckets = [Bucket(scenario.partition_units) for _ in parts]
        self._groups = [Bucket(scenario.partition_units) for _ in parts]
        self._shards = [Bucket(scenario.partition_units) for _ in range(SHARDS)]
        self._puts = Bucket(scenario.puts)
        self._mu = math.log(scenario.sample_mean) - scenario.sample_sigma**2 / 2

    def play(self) -> Result:
        """Run the step to its end."""
        self._count(0)
        for _ in range(self.scenario.rollouts):
            self.env.process(self._rollout())
            if self.scenario.arrivals:
                self.env.run(self.env.now + self._dice.expovariate(self.scenario.arrivals))
        self.env.run()
        self.result.seconds = self.env.now
        self._sum_up()
        return self.result

    # --- one rollout ----------------------------------------------------------------------------

    def _rollout(self) -> Process:
        with self._slots.request() as slot:
            if self.scenario.arrivals is None:
                yield slot
            began = self.env.now
            shard = self._shards[self._dice.randrange(SHARDS)]
            yield from self._job(shard)
            yield from self._worker(shard)
            self.result.residence.append(self.env.now - began)

    def _job(self, shard: Bucket) -> Process:
        """The job's function: the record, then the start; the trainer repeats what was refused."""
        wait = _FIRST_RETRY
        while True:
            if self._job_pool.count >= self._job_pool.capacity and self.scenario.queue == "backoff":
                reserved = self.scenario.job_environments > 0
                self._throttled["job-concurrency" if reserved else "lambda-concurrency"] += 1
            else:
                with self._job_pool.request() as environment:
                    yield environment
                    self._count(1)
                    yield from self._warm("job", self.scenario.cold_seconds)
                    # Accepted: the row and its entry in three indexes.
                    yield self._write(shard, self._accepted + 3, 1)
                    yield self.env.timeout(self.scenario.start_seconds)
                    started = yield from self._start()
                    self._leave("job")
                if started:
                    return
                self.result.refused += 1
                yield self._write(shard, self._accepted + 3, 1)  # withdrawn
            yield self.env.timeout(self._dice.uniform(wait / 2, wait))
            wait = min(2 * wait, 60.0)

    def _start(self) -> Process:
        for attempt in range(_START_ATTEMPTS):
            if self._starts.take(self.env.now):
                return True
            yield self.env.timeout(self._dice.uniform(0, 2.0**attempt))
        return False

    def _worker(self, shard: Bucket) -> Process:
        accepted = self.env.now
        wait = _FIRST_RETRY
        while self.scenario.queue == "backoff" and self._pool.count >= self._pool.capacity:
            self._throttled["lambda-concurrency"] += 1
            yield self.env.timeout(self._dice.uniform(wait / 2, wait))
            wait = min(2 * wait, _LAST_RETRY)
        with self._pool.request() as environment:
            yield environment
            self._count(1)
            yield from self._warm("worker", self.scenario.cold_seconds)
            self.result.waits.append(self.env.now - accepted)
            yield self._write(shard, 2 * self._row + 3, 2)  # begun, about to sample
            late = yield from self._turns(accepted + self.scenario.deadline)
            self.result.late += late
            yield self._write(shard, self._row + self._ended + 5, 3)  # scored, reported
            yield from self._totals()
            yield self.env.timeout(self._puts.reserve(self.env.now) + self.scenario.call_seconds)
            result = cost.CHECKPOINTS * self.scenario.call_seconds
            wait = self._checkpoints.reserve(self.env.now, cost.CHECKPOINTS)
            yield self.env.timeout(wait + result)
            self._leave("worker")
        self.result.played += 1

    def _turns(self, deadline: float) -> Process:
        scenario, env = self.scenario, self.env
        for _ in range(scenario.turns):
            if env.now >= deadline:
                return 1
            wait = self._checkpoints.reserve(env.now, cost.CHECKPOINTS_A_TURN)
            calls = cost.CHECKPOINTS_A_TURN * scenario.call_seconds
            yield env.timeout(wait + calls + scenario.turn_seconds + self._latency())
        return 0

    # --- what it asks for -----------------------------------------------------------------------

    def _latency(self) -> float:
        scenario = self.scenario
        if scenario.latencies:
            return self._dice.choice(scenario.latencies)
        if scenario.sample_sigma == 0:
            return scenario.sample_mean
        return self._dice.lognormvariate(self._mu, scenario.sample_sigma)

    def _write(self, shard: Bucket, units: int, opened: int) -> simpy.Timeout:
        """Write to the table; ``opened`` of the units go to one shard of the index ``open``."""
        wait = self._table.reserve(self.env.now, units)
        wait = max(wait, shard.reserve(self.env.now, opened))
        return self.env.timeout(wait + (self.scenario.call_seconds if units else 0))

    def _totals(self) -> Process:
        """Add to the group's row and to the moment's: what is throttled is added elsewhere, or later."""
        group = self._spread.choice(self._groups)
        first, *others = self._buckets
        for parts in ([group], [first, *self._spread.sample(others, len(others))]):
            for attempt in range(1, ATTEMPTS + 1):
                yield self.env.timeout(self.scenario.call_seconds)
                self._table.reserve(self.env.now)
                if parts[(attempt - 1) % len(parts)].take(self.env.now):
                    break
                yield self.env.timeout(PAUSE.pause(attempt))
            else:
                self.result.uncounted += 1

    def _warm(self, function: str, cold: float) -> Process:
        """An environment that is idle, or a new one as fast as the function scales."""
        if self._idle[function]:
            self._idle[function] -= 1
            return
        wait = self._scaling[function].reserve(self.env.now)
        yield self.env.timeout(wait + cold)

    def _leave(self, function: str) -> None:
        self._idle[function] += 1
        self._count(-1)

    def _count(self, change: int) -> None:
        running = self.result.running
        running.append((self.env.now, (running[-1][1] if running else 0) + change))

    def _sum_up(self) -> None:
        result, seconds = self.result, self.result.seconds
        shards = [shard.use(seconds) for shard in self._shards]
        peak = max(n for _, n in result.running)
        result.throttled = self._throttled.total()
        result.use = {
            "lambda-concurrency": {
                "peak": peak / self.scenario.environments,
                "mean": result.mean_running / self.scenario.environments,
                "waited": sum(result.waits),
                "refused": self._throttled["lambda-concurrency"],
            },
            "lambda-scaling": _worst(
                [bucket.use(seconds) for bucket in self._scaling.values()], 10
            ),
            "durable-starts": self._starts.use(seconds),
            "checkpoints": self._checkpoints.use(seconds),
            "dynamodb-table": self._table.use(seconds),
            "dynamodb-open-shard": _worst(shards),
            "dynamodb-totals": _worst(
                [bucket.use(seconds) for bucket in [*self._buckets, *self._groups]]
            ),
            "s3-puts": self._puts.use(seconds),
        }


def _worst(uses: Sequence[dict[str, float]], burst: float = 1) -> dict[str, float]:
    worst = max(uses, key=lambda use: use["peak"])
    return {**worst, "peak": worst["peak"] / burst}


def simulate(scenario: Scenario) -> Result:
    """Play one step."""
    return Step(scenario).play()
