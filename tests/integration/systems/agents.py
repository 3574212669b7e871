"""Agents that only the programs beside this play."""

from __future__ import annotations

import os
import random

from rollout.adapters.gymnasium import game
from rollout.adapters.nemo_gym import nemo_gym


class Dice:
    """A game that goes by nothing: each throw is another."""

    def __init__(self):
        self.left = 8

    def reset(self, *, seed=None, options=None):
        return f"You have {self.left} throws.", {}

    def step(self, action):
        self.left -= 1
        return f"{random.SystemRandom().random()}", 0.5, self.left == 0, False, {}

    def close(self):
        pass


dice = game(lambda instance: Dice())
dice_in_one = game(lambda instance: Dice(), replay=False)
counter = nemo_gym(os.environ.get("NEMO_GYM_URL", "http://127.0.0.1:9"), max_steps=6)
