"""The agents that the pages of docs/environments show, taken from the pages and played.

Each through ``POST /rollout`` and through a job's event; what the policy says tells a right answer
from a wrong one.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap

import httpx
import pytest

from devkit.emulator.gateway import LambdaContext, environment_of
from devkit.emulator.stack import HANDLERS, JOB_ARN, EmulatedStack
from rollout.testing import calls
from tests.building import ROOT
from tests.integration.stack_calls import ended

pytestmark = pytest.mark.filterwarnings("ignore")

PARIS = {"question": "What is the capital of France?", "answer": "Paris"}


def says_paris(asked):
    return {"content": "It is Paris." if "France" in json.dumps(asked.messages) else "Which?"}


PEOPLE = {"question": "How many people live in France?", "answer": "68"}


def looks_it_up(asked):
    last = asked.messages[-1]
    if last["role"] != "tool":
        return calls("population", {"country": "France"})
    text = last["content"] if isinstance(last["content"], str) else last["content"][0]["text"]
    return {"content": f"There are {text} million."}


# Of each page: an instance, and a policy that answers it right.
PAGES = {
    "base-url": (PARIS, says_paris),
    "openai": (PARIS, says_paris),
    "strands": (PEOPLE, looks_it_up),
    "openai-agents": (PEOPLE, looks_it_up),
    "langchain": (PEOPLE, looks_it_up),
    "langgraph": (PEOPLE, looks_it_up),
    "pydantic-ai": (PEOPLE, looks_it_up),
    "mcp": (PEOPLE, looks_it_up),
}


def agent_of(page, folder):
    """Write the page's agent into a module, and name it ``module:function``."""
    text = (ROOT / "docs/environments" / f"{page}.md").read_text()
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    (code,) = [block for block in blocks if re.search(r"^    @agent$", block, re.MULTILINE)]
    module = f"page_{page.replace('-', '_')}"
    (folder / f"{module}.py").write_text(textwrap.dedent(code))
    function = re.search(r"@agent\n    (?:async )?def (\w+)", code)[1]
    return f"{module}:{function}"


@pytest.mark.parametrize("page", PAGES)
def test_the_agent_of_a_page_plays_as_the_page_shows_it(page, tmp_path, monkeypatch):
    instance, policy = PAGES[page]
    monkeypatch.syspath_prepend(tmp_path)
    agent = agent_of(page, tmp_path)
    # A framework is imported within the first request; a busy machine takes its time.
    environ = {"ROLLOUT_INLINE_BUDGET": "120"}
    durable = tmp_path / "durable"
    with EmulatedStack(policy, agent=agent, durable=durable, environ=environ) as stack:
        answer = httpx.post(
            f"{stack.url}/rollout", json=stack.request("t-1", instance), timeout=150
        )
        assert answer.json()["reward"] == 1.0, answer.text
        metadata = {"jobArn": JOB_ARN, "rolloutId": "t-2", "endpoint": stack.simulator.url}
        stack.request("t-2", instance)
        event = {"prompt": json.dumps(instance), "metadata": metadata}
        job = environment_of(HANDLERS / "job.py")()
        assert job(event, LambdaContext(function_name="job")) == {}
        ended(stack, "t-2")
        assert stack.simulator.trajectory(JOB_ARN, "t-2").rewards == [1.0]
    sys.modules.pop(agent.partition(":")[0])
