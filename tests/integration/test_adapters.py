"""Real frameworks on the episode: their turns are its turns, and no episode gets another's."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from rollout.agent import Agent
from rollout.errors import BudgetSpent
from rollout.run import play as play_rollout
from rollout.steps import InlineSteps
from tests.building import make_rollout, make_settings
from tests.integration.canaries import make_episode
from tests.integration.echo import Echo

pytestmark = pytest.mark.filterwarnings("ignore")


def doubled(number: int) -> str:
    return f"twice {2 * number}"


SCHEMA = {
    "type": "function",
    "function": {
        "name": "double",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}},
    },
}


def with_openai(episode, *, stream=False):
    client = episode.openai()
    messages = [{"role": "user", "content": episode.instance["prompt"]}]
    first = client.chat.completions.create(model="m", messages=messages, tools=[SCHEMA])
    call = first.choices[0].message.tool_calls[0]
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    result = doubled(**json.loads(call.function.arguments))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    if not stream:
        return (
            client.chat.completions.create(model="m", messages=messages).choices[0].message.content
        )
    chunks = client.chat.completions.create(model="m", messages=messages, stream=True)
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def with_openai_streaming(episode):
    return with_openai(episode, stream=True)


async def with_async_openai(episode):
    client = episode.async_openai()
    messages = [{"role": "user", "content": episode.instance["prompt"]}]
    first = await client.chat.completions.create(model="m", messages=messages, tools=[SCHEMA])
    call = first.choices[0].message.tool_calls[0]
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    result = doubled(**json.loads(call.function.arguments))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    last = await client.chat.completions.create(model="m", messages=messages)
    return last.choices[0].message.content


def with_strands(episode):
    from strands import Agent as Strands
    from strands import tool

    from rollout.adapters.strands import model

    @tool
    @episode.tool
    def double(number: int) -> str:
        """Double a number."""
        return doubled(number)

    agent = Strands(model=model(episode), tools=[double], callback_handler=None)
    return str(agent(episode.instance["prompt"])).strip()


def with_langchain(episode):
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    from rollout.adapters.langchain import chat_model

    @tool
    def double(number: int) -> str:
        """Double a number."""
        return doubled(number)

    model = chat_model(episode)
    messages = [HumanMessage(episode.instance["prompt"])]
    reply = model.bind_tools([double]).invoke(messages)
    (call,) = reply.tool_calls
    messages += [reply, ToolMessage(double.invoke(call["args"]), tool_call_id=call["id"])]
    return model.invoke(messages).content


async def with_openai_agents(episode):
    from agents import Agent as SdkAgent
    from agents import Runner, function_tool

    from rollout.adapters.openai_agents import model

    @function_tool
    @episode.tool
    def double(number: int) -> str:
        """Double a number."""
        return doubled(number)

    agent = SdkAgent(name="a", model=model(episode), tools=[double])
    result = await Runner.run(agent, episode.instance["prompt"])
    return result.final_output


async def with_langgraph(episode):
    from langchain_core.tools import tool
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition

    from rollout.adapters.langchain import chat_model

    @tool
    def double(number: int) -> str:
        """Double a number."""
        return doubled(number)

    model = chat_model(episode).bind_tools([double])

    async def ask(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("tools", ToolNode([double]))
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", tools_condition)
    graph.add_edge("tools", "ask")
    done = await graph.compile().ainvoke({"messages": [("user", episode.instance["prompt"])]})
    return done["messages"][-1].content


async def with_pydantic_ai(episode):
    from pydantic_ai import Agent as PydanticAgent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("policy", provider=OpenAIProvider(openai_client=episode.async_openai()))
    agent = PydanticAgent(model)

    @agent.tool_plain
    def double(number: int) -> str:
        """Double a number."""
        return doubled(number)

    return (await agent.run(episode.instance["prompt"])).output


ADAPTERS = [
    with_openai, with_openai_streaming, with_async_openai, with_strands, with_langchain,
    with_openai_agents, with_langgraph, with_pydantic_ai,
]  # fmt: skip


def play(function, episode):
    value = function(episode)
    return asyncio.run(value) if asyncio.iscoroutine(value) else value


@pytest.mark.parametrize("function", ADAPTERS, ids=lambda f: f.__name__)
def test_a_framework_plays_its_turns_through_the_episode(function):
    policy = Echo()
    episode = make_episode(7, policy)
    assert "twice 14" in play(function, episode)
    assert episode.turns == len(policy.requests) == 2
    assert policy.requests[0]["tools"][0]["function"]["name"] == "double"
    assert not {"stream", "stream_options", "model"} & set(policy.requests[-1])


@pytest.mark.parametrize("function", ADAPTERS, ids=lambda f: f.__name__)
def test_four_hundred_episodes_at_once_are_kept_apart(function):
    def one(number):
        policy = Echo()
        return number, policy, play(function, make_episode(number, policy))

    one(0)  # imports and caches, once
    with ThreadPoolExecutor(32) as pool:
        for number, policy, answer in pool.map(one, range(400)):
            assert answer == f"canary-{number} twice {2 * number}"
            assert len(policy.requests) == 2  # Echo itself fails on a second canary


def result_of(function, policy):
    """How a rollout of it ends; right if it says what the tool said."""
    return play_rollout(
        make_rollout(instance={"prompt": "canary-3"}),
        agent=Agent("a:b", lambda episode: float("twice" in play(function, episode))),
        policy=policy,
        steps=InlineSteps(lambda: None, time.time() + 60),
        limits=make_settings().limits,
        deadline=time.time() + 60,
    )


@pytest.mark.parametrize("function", ADAPTERS, ids=lambda f: f.__name__)
def test_a_failed_sample_is_not_repeated_and_keeps_its_boundary(function):
    policy = Echo(fail_at=2)
    result = result_of(function, policy)
    assert len(policy.requests) == 2
    assert result.status == "failed"
    assert result.failure.boundary == "policy", result.failure


@pytest.mark.parametrize("function", ADAPTERS, ids=lambda f: f.__name__)
def test_a_budget_ends_a_framework_too(function):
    policy = Echo()
    with pytest.raises(Exception) as caught:  # each framework wraps it in its own
        play(function, make_episode(1, policy, turns=1))
    assert len(policy.requests) == 1
    chain, seen = [caught.value], []
    while chain:
        error = chain.pop()
        seen.append(type(error))
        chain += [e for e in (error.__cause__, error.__context__) if e is not None]
    assert BudgetSpent in seen


WITH_TOOLS = [with_langgraph, with_pydantic_ai, with_strands, with_openai_agents]


@pytest.mark.parametrize("function", WITH_TOOLS, ids=lambda f: f.__name__)
def test_an_outage_behind_a_frameworks_tool_is_not_told_to_the_model(function, monkeypatch):
    def down(number):
        raise ConnectionRefusedError

    monkeypatch.setitem(globals(), "doubled", down)
    policy = Echo()
    result = result_of(function, policy)
    assert (result.status, result.failure.boundary) == ("failed", "tool")
    assert len(policy.requests) == 1


@pytest.mark.parametrize("function", [with_strands, with_openai_agents], ids=lambda f: f.__name__)
def test_a_refusal_of_a_frameworks_tool_is_told_to_the_model(function, monkeypatch):
    def refused(number):
        raise ValueError("we do not double")

    monkeypatch.setitem(globals(), "doubled", refused)
    policy = Echo()
    assert result_of(function, policy).status == "ready"
    told = policy.requests[-1]["messages"][-1]
    assert told["role"] == "tool"
    # From 0.24 on the Agents SDK keeps the text to itself, and says this sentence alone.
    silent = "An error occurred while running the tool. Please try again."
    assert "we do not double" in json.dumps(told) or told["content"] == silent


def test_an_outage_that_an_agent_keeps_to_itself_is_no_reward():
    async def down():
        raise TimeoutError

    async def agent(episode):
        await episode.async_openai().chat.completions.create(
            model="m", messages=[{"role": "user", "content": "canary-3"}]
        )
        with suppress(Exception):
            await episode.tool(down)()
        return "twice"

    assert result_of(agent, Echo()).failure.boundary == "tool"


def test_langchain_awaits_and_streams():
    from rollout.adapters.langchain import chat_model

    async def awaited():
        return (await chat_model(make_episode(5, Echo())).ainvoke("canary-5 hi")).content

    assert asyncio.run(awaited()) == "canary-5 canary-5 hi"
    chunks = chat_model(make_episode(6, Echo())).stream("canary-6 hi")
    assert "".join(chunk.content for chunk in chunks) == "canary-6 canary-6 hi"


def test_another_api_is_refused_in_words():
    episode = make_episode(1, Echo())
    with pytest.raises(Exception, match="chat-completions"):
        episode.openai().responses.create(model="m", input="hi")
