"""Every single and every pair of feedback faults, each against its expected outcome."""

from __future__ import annotations

import itertools
import json
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from devkit.emulator.faults import Fault, FaultScript
from devkit.emulator.stack import JOB_ARN, EmulatedStack
from environments.calculator import scripts as calculator
from rollout.aws import clients
from rollout.settings import settings
from rollout.storage.records import Records

ROW = {"question": "What is 2 + 3?", "answer": "<<2+3=5>>\n#### 5"}
KINDS = ("drop-before", "drop-after", "delay", "409", "429", "500", "503", "refused")
COMPLETE, REWARD = "CompleteRollout", "UpdateReward"
PAIRS = [
    ((COMPLETE, 1), (COMPLETE, 2)),
    ((REWARD, 1), (REWARD, 2)),
    ((COMPLETE, 1), (REWARD, 1)),
]

# A fault: which kind strikes which call of which operation.
Struck = tuple[str, str, int]


@dataclass(frozen=True)
class Outcome:
    """What the caller, the trainer and the record must say in the end."""

    status: str
    trainer: str
    rewards: list[float] | None
    calls: dict[str, int]


def cases() -> list[tuple[Struck, ...]]:
    singles = [((kind, operation, 1),) for kind in KINDS for operation in (COMPLETE, REWARD)]
    pairs = [
        ((one, *first), (other, *second))
        for first, second in PAIRS
        for one, other in itertools.product(KINDS, KINDS)
    ]
    return [*singles, *pairs]


# After these the trainer may have taken the report: a later no is about the repeat.
AMBIGUOUS = ("drop-before", "drop-after", "500", "503")


def expected(case: tuple[Struck, ...]) -> Outcome:
    """Play the case on paper: a delay is nothing, a no to a completion does not keep the reward back."""
    faults = {(operation, nth): kind for kind, operation, nth in case}
    calls: dict[str, int] = {}
    trainer, rewards = "open", None
    for operation, before, after in ((COMPLETE, "open", "ready"), (REWARD, "ready", "rewarded")):
        lost = False
        while True:
            calls[operation] = calls.get(operation, 0) + 1
            kind = faults.get((operation, calls[operation]))
            refused = kind == "409"
            if kind in ("drop-after", "delay", None):
                # The simulator takes a repeat under the same token; out of order it says 409.
                refused = trainer not in (before, after)
                trainer = trainer if refused else after
                rewards = [1.0] if trainer == "rewarded" else None
            # A no is answered before the answer can be dropped.
            lost = lost or (kind in AMBIGUOUS and not (kind == "drop-after" and refused))
            if refused and operation == COMPLETE:
                break
            if refused and trainer == "open":  # asked until the trainer has had time to see
                del calls[REWARD]
                return Outcome("ready" if lost else "failed", trainer, rewards, calls)
            if not refused and kind in ("delay", None):
                break
    return Outcome("ready", trainer, rewards, calls)


def name_of(case: tuple[Struck, ...]) -> str:
    return "--".join(f"{kind}.{operation}.{nth}" for kind, operation, nth in case)


def script() -> FaultScript:
    faults = []
    for case in cases():
        for kind, operation, nth in case:
            if kind == "refused":
                continue
            number = float(kind) if kind.isdigit() else 0.05
            what = "status" if kind.isdigit() else kind
            # Refused calls never reach the simulator, which counts those that do.
            missing = sum(k == "refused" and o == operation and n < nth for k, o, n in case)
            faults.append(Fault(operation, what, nth - missing, number, 1.0, name_of(case)))
    return FaultScript(faults)


@pytest.fixture(scope="module")
def stack():
    def gold(asked):
        return calculator.gold(asked.instance, asked.messages)

    with (
        EmulatedStack(gold, faults=script()) as running,
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        taken.close()  # a port nobody listens on
        refuse(running, nowhere)
        yield running


SENT: Counter[tuple[str, str]] = Counter()


def refuse(stack, nowhere):
    """Send the calls that are to be refused to a closed port; count all."""
    client = clients.client(
        "sagemakerjobruntime", "us-west-2", stack.simulator.url, read_timeout=10.0, attempts=1
    )
    wanted = {
        (name_of(case), operation, nth)
        for case in cases()
        for kind, operation, nth in case
        if kind == "refused"
    }

    def before_send(request, event_name, **_):
        operation = event_name.rsplit(".", 1)[-1]
        name = json.loads(request.body)["TrajectoryId"]
        SENT[name, operation] += 1
        if (name, operation, SENT[name, operation]) in wanted:
            request.url = nowhere + request.url.removeprefix(stack.simulator.url)

    for operation in (COMPLETE, REWARD):
        client.meta.events.register(f"before-send.sagemakerjobruntime.{operation}", before_send)


@pytest.fixture(scope="module")
def answers(stack):
    """All cases played at once."""

    def play(case):
        body = stack.request(name_of(case), ROW)
        return httpx.post(f"{stack.url}/rollout", json=body, timeout=60)

    with ThreadPoolExecutor(16) as pool:
        return dict(zip(cases(), pool.map(play, cases()), strict=True))


@pytest.mark.parametrize("case", cases(), ids=name_of)
def test_outcome(case, answers, stack):
    want, name = expected(case), name_of(case)
    answer = answers[case]
    assert (answer.status_code, answer.json()["status"]) == (200, want.status)
    trajectory = stack.simulator.trajectory(JOB_ARN, name)
    assert (trajectory.state, trajectory.rewards) == (want.trainer, want.rewards)
    record = Records(settings()).get(JOB_ARN, name)
    assert record.state == want.status
    assert record.result().rewards == [1.0]  # what was computed stays known
    assert {op: SENT[name, op] for op in want.calls} == want.calls
    # Whatever was repeated was repeated to the letter.
    said = {(r.operation, str(r.payload), r.client_token) for r in trajectory.reports}
    assert len(said) == len({operation for operation, _, _ in said})
