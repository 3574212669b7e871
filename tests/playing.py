"""Agents that only tests play."""

from __future__ import annotations

import itertools
import time

from rollout import Episode, Outcome, agent
from rollout.errors import OutOfTime

_calls, _forgetful_calls = itertools.count(), itertools.count()


def ask(episode: Episode, text: str):
    return episode.sample([{"role": "user", "content": text}])


@agent
def twelve_turns(episode: Episode) -> float:
    for turn in range(12):
        ask(episode, f"turn {turn}")
    return 1.0


@agent
def fickle(episode: Episode) -> float:
    """Says something else whenever it is called."""
    call = next(_calls)
    for turn in range(6):
        ask(episode, f"call {call} turn {turn}")
    return 1.0


@agent
def forgetful(episode: Episode) -> float:
    """Makes fewer turns when it is called again."""
    first = next(_forgetful_calls) == 0
    for turn in range(6 if first else 2):
        ask(episode, f"turn {turn}")
    return 1.0


@agent(replay=False)
def unrepeatable(episode: Episode) -> float:
    ask(episode, f"at {time.time()}")
    ask(episode, f"at {time.time()}")
    return 0.5


@agent
def stepping(episode: Episode) -> Outcome:
    """Books a ticket once and remembers its number through every replay."""
    ticket = episode.step("book", lambda: {"number": next(_calls)})
    for turn in range(4):
        ask(episode, f"ticket {ticket['number']} turn {turn}")
    return Outcome(1.0, {"ticket": ticket["number"]})


@agent
def tireless(episode: Episode) -> float:
    """Samples until its time is over and is graded for what it reached."""
    turns = 0
    try:
        while True:
            ask(episode, f"turn {turns}")
            turns += 1
    except OutOfTime:
        return float(turns > 0)


@agent
async def through_openai(episode: Episode) -> float:
    """Twelve turns through the asynchronous OpenAI client."""
    client = episode.async_openai()
    for turn in range(12):
        messages = [{"role": "user", "content": f"turn {turn}"}]
        await client.chat.completions.create(model="m", messages=messages)
    return 1.0


@agent
def asking_twice(episode: Episode) -> float:
    """Right if both replies say the instance's word."""
    word = episode.instance["word"]
    said = [ask(episode, f"Say {word}, {time}.").text for time in ("now", "and again")]
    return sum(word in text for text in said) / 2


@agent
def through_base_url(episode: Episode) -> float:
    """Twelve turns of a client that knows a URL and a key."""
    import openai

    with episode.base_url() as base:
        client = openai.OpenAI(base_url=base.url, api_key=base.key)
        for turn in range(12):
            messages = [{"role": "user", "content": f"turn {turn}"}]
            client.chat.completions.create(model="m", messages=messages)
    return 1.0


@agent
def through_strands(episode: Episode) -> float:
    """Twelve turns of a Strands agent, each a conversation of its own."""
    from strands import Agent

    from rollout.adapters.strands import model

    for turn in range(12):
        Agent(model=model(episode), callback_handler=None)(f"turn {turn}")
    return 1.0


def note(text: str) -> str:
    """Note something down.

    Args:
        text: what to note.
    """
    raise ValueError(f"canary-tool {text}")


@agent
def talkative(episode: Episode) -> float:
    """Has content everywhere it can be: instance, messages, tool calls, their errors, its own error."""
    instance = episode.instance
    episode.converse(instance["question"], tools=[note], recover_text_calls=True)
    if instance.get("raise"):
        raise ValueError(f"canary-error {instance['question']}")
    return 0.5
