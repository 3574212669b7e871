from __future__ import annotations

import pytest

from rollout.errors import AgentError, ToolBroken
from rollout.tools import as_tool


def weather(city: str, days: int = 1) -> dict:
    """Tell the weather.

    Args:
        city: where.
        days: how far ahead.
    """
    if city == "Atlantis":
        raise LookupError("no such city")
    if city == "Offline":
        raise TimeoutError
    return {"city": city, "days": days}


def test_the_schema_comes_from_signature_and_docstring():
    function = as_tool(weather).schema()["function"]
    assert function["name"] == "weather"
    assert function["description"] == "Tell the weather."
    properties = function["parameters"]["properties"]
    assert properties["city"]["description"] == "where."
    assert properties["days"]["type"] == "integer"
    assert function["parameters"]["required"] == ["city"]


def test_a_call_is_validated_and_answered():
    assert (
        as_tool(weather).run('{"city": "Bern", "days": "3"}').content
        == '{"city": "Bern", "days": 3}'
    )


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "{",
        "[]",
        "null",
        '{"town": "x"}',
        '{"city": 5, "days": "x"}',
        "\ud800",
        '{"city":"Atlantis"}',
    ],
)
def test_what_the_model_gets_wrong_is_data(arguments):
    result = as_tool(weather).run(arguments)
    assert result.failed
    assert result.content.startswith("Error: ")


def test_broken_infrastructure_is_not_data():
    with pytest.raises(ToolBroken, match="weather"):
        as_tool(weather).run('{"city": "Offline"}')


def test_a_function_that_cannot_be_described():
    with pytest.raises(AgentError, match="no usable name"):
        as_tool(lambda x: x)
    with pytest.raises(AgentError, match="cannot be sent by name"):
        as_tool(_variadic)


def _variadic(*words: str) -> str:
    return ""
