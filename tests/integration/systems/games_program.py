"""Runs with Gymnasium, TextArena and SkyRL-Gym installed: their games, and the examples on the stack."""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor

import gymnasium as library
from environments.guess import guess
from environments.guess import scripts as guessing
from environments.lake import lake
from environments.lake import scripts as walking

from rollout.adapters.gymnasium import NotAnAction, game, gymnasium
from rollout.adapters.skyrl_gym import skyrl_gym
from rollout.adapters.textarena import textarena
from rollout.errors import AgentError
from rollout.testing import rehearse, says
from tests.integration.systems.stack import everywhere, tell


def lines(*texts):
    """A script that says one text after another, and the last for ever."""

    def script(instance, messages):
        spoken = sum(message["role"] == "assistant" for message in messages)
        return {"content": texts[min(spoken, len(texts) - 1)]}

    return script


def told(result):
    return [message["content"] for turn in result.transcript for message in turn["messages"]]


def short(result):
    boundary = result.failure and result.failure.boundary
    return {"rewards": result.rewards, "metrics": result.metrics, "boundary": boundary}


def with_gymnasium():
    wrong = rehearse(lake, {"seed": 1}, lines("fly", "left", "down", "down"), max_turns=4)
    total = gymnasium(
        "FrozenLake-v1", system="", actions={"right": 2, "down": 1}, is_slippery=False
    )
    discrete = gymnasium("Taxi-v4", system="Answer 0 to 5.")
    slippery = gymnasium("FrozenLake-v1", system="", rewards="last")
    cards = gymnasium("Blackjack-v1", system="0 stick, 1 hit", observe=lambda seen: f"cards {seen}")
    walked = [rehearse(slippery, {"seed": 3}, says("2"), max_turns=9) for _ in range(2)]
    found = {
        "lake": short(rehearse(lake, {"seed": 1}, walking.gold)),
        "map": told(rehearse(lake, {"seed": 1}, walking.gold))[1],
        "wrong": short(wrong),
        "said": told(wrong)[3],
        "sum": short(rehearse(total, {}, lines("down", "down", "right", "right", "down", "right"))),
        "taxi": short(
            rehearse(discrete, {"seed": 1}, lines("7", "I say 0", "4", "99999999999"), max_turns=4)
        ),
        "same by seed": told(walked[0]) == told(walked[1]),
        "cards": told(rehearse(cards, {"seed": 1}, says("0")))[1],
        "unknown": short(rehearse(gymnasium("NoSuch-v0", system=""), {}, says("0"))),
    }

    class Box(library.Env):
        action_space = library.spaces.Box(0, 1)
        closed = 0

        def reset(self, *, seed=None, options=None):
            return f"options {options}", {}

        def step(self, action):
            if action == "down":
                raise ConnectionResetError("its server is gone")
            return "on", 1, False, False, {}

        def close(self):
            Box.closed += 1

    def parse(text):
        if text == "?":
            raise NotAnAction("say something")
        return text

    found["unreadable space"] = short(rehearse(game(lambda _: Box()), {}, says("0")))
    found["outage"] = short(
        rehearse(game(lambda _: Box(), actions=parse), {}, lines("go", "?", "down"))
    )
    budget = rehearse(
        game(lambda _: Box(), actions=parse), {"options": {"a": 1}}, says("go"), max_turns=3
    )
    found["budget"] = short(budget)
    found["options"] = told(budget)[0]
    found["late"] = short(
        rehearse(game(lambda _: Box(), actions=parse), {}, says("go"), seconds=-1)
    )
    found["closed"] = Box.closed
    return found


def piles_of(seen):
    return [int(size) for size in re.findall(r"pile \d: (\d+)", seen.rsplit("Current Pile", 1)[-1])]


def takes_one(seen, dice):
    """Takes one from any pile that has some."""
    return f"[{dice.choice([pile for pile, size in enumerate(piles_of(seen)) if size])} 1]"


def wins(instance, messages):
    """Leaves piles whose sizes come to 0 by exclusive or."""
    piles = piles_of(messages[-1]["content"])
    rest = piles[0] ^ piles[1] ^ piles[2]
    for pile, size in enumerate(piles):
        if size ^ rest < size:
            return {"content": f"[{pile} {size - (size ^ rest)}]"}
    return {"content": takes_one(messages[-1]["content"], random.Random(1))}


def with_textarena():
    seeds = range(60)

    def one(seed):
        return told(rehearse(guess, {"seed": seed}, guessing.gold))

    alone = [one(seed) for seed in seeds]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(one, seeds))
    nim = textarena("Nim-v0", players=2, opponent=takes_one)
    second = [rehearse(nim, {"seed": 2, "player": player}, wins) for player in (0, 1)]
    found = {
        "kept apart": alone == together,
        "different games": len({str(each) for each in alone}),
        "won": short(rehearse(guess, {"seed": 4}, guessing.gold)),
        "turns": short(
            rehearse(textarena("GuessTheNumber-v0", rewards="turns"), {"seed": 4}, guessing.gold)
        ),
        "lost": short(rehearse(guess, {"seed": 4}, guessing.poor)),
        "nim": [short(result) for result in second],
        "players seen": [told(result)[0].count("Player 1") > 0 for result in second],
        "no such player": short(rehearse(nim, {"player": 2}, says(""))),
    }
    try:
        textarena("Nim-v0", players=2)
    except AgentError as error:
        found["nobody moves"] = error.slug
    return found


def with_skyrl():
    row = {
        "prompt": [{"role": "user", "content": "What is 2 + 2?"}],
        "env_class": "gsm8k_multi_turn",
        "reward_spec": {"method": "rule", "ground_truth": "4"},
        "extra_info": {"max_turns": 3},
    }
    turns = skyrl_gym(rewards="turns")
    played = rehearse(turns, row, lines("#### 5", "hm", "so\n#### 4"))
    return {
        "turns": short(played),
        "told": told(played)[2],
        "sum": short(rehearse(skyrl_gym("gsm8k_multi_turn"), row, says("#### 4"))),
        "cut off": short(rehearse(skyrl_gym(max_turns=2), row, says("#### 5"))),
        "no row": short(rehearse(turns, {"question": "?"}, says(""))),
    }


tell(
    {
        "gymnasium": with_gymnasium(),
        "textarena": with_textarena(),
        "skyrl": with_skyrl(),
        "lake": everywhere(
            "environments.lake:lake", {"seed": 1}, walking.gold, seconds=12.0, slow=0.25
        ),
        "guess": everywhere(
            "environments.guess:guess", {"seed": 4}, guessing.gold, seconds=11.5, slow=0.25
        ),
        "dice": everywhere(
            "tests.integration.systems.agents:dice", {}, says("throw"), seconds=12.0, slow=0.25
        ),
        "dice in one": everywhere(
            "tests.integration.systems.agents:dice_in_one",
            {},
            says("throw"),
            seconds=30.0,
            slow=0.1,
        ),
    }
)
