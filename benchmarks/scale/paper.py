"""The same step on paper: Little's law, Erlang's formula, rates against limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.scale.simulation import Scenario
from devkit.checks import cost
from devkit.checks.cost import Work


@dataclass(frozen=True)
class Paper:
    """What arithmetic says of a step.

    Args:
        residence: seconds one rollout holds its environment.
        seconds: of the step, without its first start and its tail.
        running: environments in use while the step is full.
        mean: demand as a share of each limit while the step is full.
    """

    residence: float
    seconds: float
    running: float
    mean: dict[str, float]


def residence(scenario: Scenario) -> float:
    """Seconds a rollout holds a worker's environment when nothing is in its way."""
    turn = scenario.sample_mean + scenario.turn_seconds
    turn += cost.CHECKPOINTS_A_TURN * scenario.call_seconds
    # Begun, scored, the trajectory, two totals, and the checkpoints beside the turns.
    return scenario.turns * turn + (5 + cost.CHECKPOINTS) * scenario.call_seconds


def on_paper(scenario: Scenario) -> Paper:
    """Work out a step: as many rollouts at once as the trainer and the account allow."""
    held = residence(scenario)
    whole = held + scenario.call_seconds + scenario.start_seconds
    running = min(scenario.concurrency, scenario.environments, scenario.rollouts)
    rate = running / whole
    work = Work(turns=scenario.turns, request_bytes=scenario.request_bytes)
    demand = {
        "lambda-concurrency": running / scenario.environments,
        "durable-starts": rate / scenario.starts,
        "checkpoints": rate * work.checkpoints / scenario.checkpoints,
        "dynamodb-table": rate * work.writes / scenario.table_units,
        "s3-puts": rate * work.puts / scenario.puts,
    }
    return Paper(held, scenario.rollouts / rate, running, demand)


def erlang_wait(arrivals: float, service: float, servers: int) -> float:
    """Mean wait in a queue with Poisson arrivals and exponential service (M/M/c).

    Args:
        arrivals: a second.
        service: mean seconds.
        servers: how many.
    """
    load = arrivals * service
    idle = sum(load**n / math.factorial(n) for n in range(servers))
    full = load**servers / math.factorial(servers) / (1 - load / servers)
    return full / (idle + full) * service / (servers - load)
