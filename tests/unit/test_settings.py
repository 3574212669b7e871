from __future__ import annotations

import os

import pytest

from devkit.emulator.template import load_template
from rollout.errors import ConfigurationError
from rollout.settings import (
    DEFAULT_AGENT,
    Limits,
    described,
    parse_failure_policy,
    read_limits,
    read_settings,
    settings,
)
from scripts.settings_table import README, with_table
from tests.building import ENVIRON, make_settings


def test_defaults():
    settings = make_settings()
    assert settings.times.inline_budget == 25
    assert settings.trust.allowed_regions == {"us-west-2"}
    assert settings.limits.failure_policy.floor("agent") is None


def test_the_stacks_default_agent_is_the_settings():
    assert load_template()["Parameters"]["Agent"]["Default"] == DEFAULT_AGENT
    assert make_settings().agent == DEFAULT_AGENT


@pytest.mark.parametrize("name", ["ROLLOUT_TABLE", "ROLLOUT_BUCKET", "ROLLOUT_ACCOUNT_ID"])
def test_a_missing_variable_is_named(name):
    with pytest.raises(ConfigurationError, match=name):
        read_settings({k: v for k, v in ENVIRON.items() if k != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inline_budget", "soon"),
        ("inline_budget", "871"),
        ("inline_budget", "nan"),
        ("max_turns", "0"),
        ("max_turns", "1001"),
        ("reward_shape", "both"),
        ("failure_policy", "agent=floor:nan"),
        ("failure_policy", "agent=zero"),
        ("failure_policy", "agnet=floor:0"),
        ("report_margin", "25"),
        ("sample_timeout", "1741"),  # no invocation is long enough
        ("execution_timeout", "604801"),  # what it has written elsewhere expires
        ("execution_timeout", "599"),  # under the job's own 600 s
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(ConfigurationError, match=f"ROLLOUT_{name.upper()}"):
        make_settings(**{name: value})


@pytest.mark.parametrize(
    "contradicting",
    [
        {"job_timeout": "20000"},
        {"retention_days": "1", "execution_timeout": "86401"},
        {"job_margin": "600"},
        {"inline_budget": "4"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(contradicting):
    with pytest.raises(ConfigurationError) as caught:
        make_settings(**contradicting)
    assert f"ROLLOUT_{next(iter(contradicting)).upper()}" in caught.value.detail


@pytest.mark.parametrize("name", ["SampleTimeout", "ExecutionTimeout"])
def test_the_template_takes_no_more_than_the_settings(name):
    most = load_template()["Parameters"][name]["MaxValue"]
    field = "sample_timeout" if name == "SampleTimeout" else "execution_timeout"
    assert getattr(make_settings(**{field: str(most)}).times, field) == most
    with pytest.raises(ConfigurationError):
        make_settings(**{field: str(most + 1)})


def test_failure_policy_by_boundary():
    policy = parse_failure_policy("floor:0,tool=report-failed,deadline=floor:-0.5")
    assert policy.floor("agent") == 0
    assert policy.floor("tool") is None
    assert policy.floor("deadline") == -0.5
    assert policy.floor("caller") is None


def test_the_readme_has_every_setting_with_its_default_and_its_text():
    text = README.read_text()
    assert with_table(text) == text, "run python -m scripts.settings_table"
    assert len(list(described())) > 25
    assert all(meaning for _, _, meaning in described())


def test_limits_are_read_without_a_stack():
    assert read_limits({}) == Limits()
    assert read_limits({"ROLLOUT_MAX_TURNS": "3"}).max_turns == 3


def test_a_value_is_named_with_what_is_wrong_with_it():
    with pytest.raises(ConfigurationError, match=r"ROLLOUT_MAX_TURNS.*1000.*'1001'"):
        make_settings(max_turns="1001")


def test_settings_do_not_change_once_they_are_read():
    settings = make_settings()
    with pytest.raises(ValueError):
        settings.limits.max_turns = 7


def test_the_agents_variables_are_set_before_anybody_imports_the_agent(monkeypatch):
    for name, value in {
        **ENVIRON,
        "ROLLOUT_AGENT_VARIABLES": "SHOP=https://a/?b=c, EMPTY=",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHOP", "before")
    monkeypatch.setenv("EMPTY", "before")
    settings.cache_clear()
    try:
        assert settings().agent_variables == (("SHOP", "https://a/?b=c"), ("EMPTY", ""))
        assert (os.environ["SHOP"], os.environ["EMPTY"]) == ("https://a/?b=c", "")
    finally:
        settings.cache_clear()


@pytest.mark.parametrize(
    "text",
    ["SHOP", "=canary", "A=1,canary", "1A=canary", "A B=canary", "ROLLOUT_TABLE=canary",
     "aws_region=canary", "_HANDLER=canary"],
)  # fmt: skip
def test_variables_that_are_none_or_the_stacks_own_are_refused_without_their_values(text):
    with pytest.raises(ConfigurationError, match="ROLLOUT_AGENT_VARIABLES") as refused:
        make_settings(agent_variables=text)
    assert "canary" not in refused.value.detail
