"""The code on the frameworks' pages plays with scripts, and survives the project's own probes."""

from __future__ import annotations

import re
import textwrap

import pytest

from devkit.policies.probes import PROBES, probe
from devkit.rehearsal.in_process import play_here
from rollout.testing import check_order, rehearse, says
from tests.building import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")
PAGES = ("openai", "strands", "langchain", "openai-agents")
INSTANCE = {"prompt": "What is 2 + 3?", "question": "What is 2 + 3?", "answer": "5"}
# Where a job would see a rollout fail because a budget was spent, the agent did nothing wrong.
ENDED_BY_BUDGET = ("deadline",)


@pytest.fixture(params=PAGES)
def documented(request):
    """The agent of a page, from its first block of code alone."""
    text = (ROOT / f"docs/environments/{request.param}.md").read_text()
    code = textwrap.dedent(
        re.search(r"(?:^    .*\n|^\n)+", text[text.index("\n    ") :], re.MULTILINE)[0]
    )
    names: dict = {"__name__": request.param}
    exec(compile(code, f"{request.param}.md", "exec"), names)
    return [each for each in names.values() if hasattr(each, "__rollout_agent__")][-1]


def test_scripts_earn_what_they_should(documented):
    assert check_order(documented, INSTANCE, [("gold", says("5")), ("poor", says("6"))]) == [1.0, 0]


@pytest.mark.parametrize("name", PROBES)
def test_no_probe_makes_the_agent_raise(documented, name):
    result = play_here(documented, INSTANCE, probe(name), trajectory_id="probed", max_turns=6)
    if result.failure is None:
        assert result.reward == 0.0
    else:
        assert result.failure.boundary in ENDED_BY_BUDGET, result.failure.detail


def test_a_frameworks_agent_is_given_whole_completions():
    """Clients of frameworks read id, model and total_tokens, and fail where there are none."""
    seen = {}

    def reads(episode):
        client = episode.openai()
        messages = [{"role": "user", "content": "?"}]
        done = client.chat.completions.create(model="policy", messages=messages)
        seen.update(done.model_dump())
        return 1.0

    assert rehearse(reads, INSTANCE, says("5")).reward == 1.0
    assert (seen["object"], bool(seen["id"]), bool(seen["created"])) == (
        "chat.completion",
        True,
        True,
    )
    assert seen["model"]
    usage = seen["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
