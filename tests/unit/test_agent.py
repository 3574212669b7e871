from __future__ import annotations

import math

import pytest

from rollout.agent import Outcome, agent, as_outcome, load_agent
from rollout.errors import AgentUnavailable, RewardError


def test_the_decorator_leaves_the_function_alone():
    @agent
    def plain(episode):
        return 1.0

    assert plain(None) == 1.0


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("environments.calculator", "module:function"),
        ("environments.absent:run", "no module 'environments.absent'"),
        ("environments.calculator:absent", "it has calculator"),
        ("environments.calculator:evaluate", "@agent"),
        ("json:dumps", "@agent"),
    ],
)
def test_loading_says_what_is_wrong(path, says):
    with pytest.raises(AgentUnavailable, match=says):
        load_agent(path)


def test_a_broken_module_is_reported_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "broken_agent.py").write_text("x = 1\nraise RuntimeError('secret')\n")
    (tmp_path / "needy_agent.py").write_text("import package_nobody_has\n")
    (tmp_path / "greedy_agent.py").write_text(
        "from rollout import agent\n@agent\ndef run(a, b): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AgentUnavailable, match=r"broken_agent\.py:2") as caught:
        load_agent("broken_agent:run")
    assert "secret" not in caught.value.detail
    with pytest.raises(AgentUnavailable, match="package_nobody_has"):
        load_agent("needy_agent:run")
    with pytest.raises(AgentUnavailable, match="exactly one argument"):
        load_agent("greedy_agent:run")


@pytest.mark.parametrize(
    "value",
    [None, True, "1.0", b"1", math.nan, math.inf, -math.inf, [], [1.0, None], [True], {}, 10**400],
)
def test_rewards_that_cannot_be_sent(value):
    with pytest.raises(RewardError, match=r"environments\.mine:run"):
        as_outcome(value, "environments.mine:run")


@pytest.mark.parametrize(("value", "reward"), [(1, 1.0), (0.5, 0.5), ([1, 0], [1.0, 0.0])])
def test_rewards_that_can(value, reward):
    assert as_outcome(value, "a:b").reward == reward
    assert as_outcome(Outcome(value, {"m": 2}), "a:b").metrics == {"m": 2.0}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\ndef broken(:\n", r"SyntaxError at .*wrong_agent\.py:2"),
        ("if True:\npass\n", r"IndentationError at .*wrong_agent\.py:2"),
        ("import sys\n\nsys.exit(1)\n", r"SystemExit at .*wrong_agent\.py:3"),
        ("raise KeyboardInterrupt\n", r"KeyboardInterrupt at .*wrong_agent\.py:1"),
    ],
)
def test_a_module_that_cannot_be_read_is_named_with_file_and_line(
    tmp_path, monkeypatch, source, said
):
    (tmp_path / "wrong_agent.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AgentUnavailable, match=said):
        load_agent("wrong_agent:run")
