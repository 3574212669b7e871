"""The harness of ``rollout.run.run``: a rollout in memory, and what trainer and records heard of it."""

from __future__ import annotations

import time

from rollout.agent import Agent
from rollout.run import run
from rollout.steps import InlineSteps
from tests.building import ScriptedPolicy, make_rollout, make_settings


class Trainer:
    """Takes reports; ``answers`` are raised in order, one per call."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.heard = []

    def complete(self, status):
        self._hear("complete", status)

    def reward(self, rewards):
        self._hear("reward", list(rewards))

    def _hear(self, what, value):
        answer = self.answers.pop(0) if self.answers else None
        self.heard.append((what, value))
        if answer is not None:
            raise answer


class Ledger:
    def __init__(self, log):
        self.log = log

    def scored(self, result):
        self.log.append(("scored", result.rewards))

    def keep(self, result):
        pass

    def reported(self, result, report):
        self.log.append(("reported", report.delivery))


def played(
    function,
    *lines,
    trainer=None,
    seconds=5.0,
    retry_seconds=1.0,
    rollout=None,
    policy=None,
    **overrides,
):
    trainer = trainer or Trainer()
    settings = make_settings(**overrides)
    result, report = run(
        rollout or make_rollout(settings),
        agent=Agent("environments.mine:run", function),
        policy=policy or ScriptedPolicy(*lines),
        steps=InlineSteps(lambda: None, time.time() + retry_seconds),
        feedback=trainer,
        ledger=Ledger(trainer.heard),
        limits=settings.limits,
        deadline=time.time() + seconds,
    )
    return result, report, trainer


def ask(episode):
    return float(episode.sample([{"role": "user", "content": "hi"}]).text)
