"""Workers die by SIGKILL at every boundary and at random; nothing is lost, repeated or in conflict."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from devkit.emulator.process_killer import grave_of
from devkit.emulator.stack import EmulatedStack
from environments.calculator import scripts as calculator
from tests.building import ROOT
from tests.chaos.campaign import at_random, boundaries, campaign, chaotic_stack
from tests.chaos.killer import CALLS
from tests.processes import emulator

SEED = 20260101


def check(toll, capsys):
    with capsys.disabled():
        print("", *toll.lines(), sep="\n    ")  # noqa: T201 - the campaign's figures belong into the log
    assert toll.clean, (toll.lost, toll.in_conflict, toll.turn_twice, toll.undelivered)


def test_killed_in_forked_processes(tmp_path, capsys):
    names = [*boundaries(SEED), *at_random(SEED, 100)]
    with chaotic_stack(tmp_path) as (stack, kills):
        toll = campaign(stack, kills, names)
        died = {name for name in boundaries(SEED) if grave_of(kills, name).exists()}
    check(toll, capsys)
    # A death at a moment may find its rollout over.
    assert toll.kills >= len(names)
    # CALLS covers a clean rollout: it reaches the last boundary or stops just short of it.
    assert len(died) >= 2 * CALLS - 4
    assert toll.results["ready"] > 0
    assert toll.results["sample-interrupted"] > 0


@pytest.fixture
def under_rie(tmp_path):
    """Two emulators that run the built worker with a plan to die, and a stack that invokes them."""
    kills = tmp_path / "kills"
    kills.mkdir()
    free: list[str] = []

    def invoke(event):
        url = free.pop()
        try:
            answer = httpx.post(url, json=event, timeout=120).json()
        finally:
            free.append(url)
        if "Status" not in answer:
            raise RuntimeError(str(answer))
        return answer

    def gold(asked):
        return calculator.gold(asked.instance, asked.messages)

    with (
        EmulatedStack(gold, durable=tmp_path / "durable", invoke=invoke, backoff=0) as stack,
        ExitStack() as emulators,
    ):
        environ = {
            **stack.environ(),
            "CHAOS_DIR": str(kills),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": "900",
        }
        # devkit/ and tests/ come from this checkout: they are the plan, not the worker.
        plan = ROOT, _site_packages()
        for number in range(2):
            log = tmp_path / f"rie-{number}.log"
            running = emulator("WorkerFunction", "tests.chaos.killer.handler", environ, log, *plan)
            free.append(emulators.enter_context(running))
        yield stack, kills


def _site_packages() -> Path:
    return Path(httpx.__file__).parent.parent


def test_killed_under_the_runtime_interface_emulator(under_rie, capsys):
    stack, kills = under_rie
    names = at_random(SEED, 12)
    toll = campaign(stack, kills, names, concurrency=2)
    check(toll, capsys)
    assert toll.kills >= 8  # of a death or more each; one at a moment may find its rollout over
