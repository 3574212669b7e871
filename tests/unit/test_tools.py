from __future__ import annotations

import gc
import weakref

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


def test_a_function_is_read_once_and_no_tool_shares_its_schema(monkeypatch):
    def add(a: int, b: int) -> int:
        """Add.

        Args:
            a: one number
        """
        return a + b

    first, read = as_tool(add), []
    monkeypatch.setattr("rollout.tools._docstring", read.append)
    first.parameters["properties"]["a"]["description"] = "changed by a rollout"
    second = as_tool(add)
    assert read == []
    assert second.parameters["properties"]["a"]["description"] == "one number"
    assert second.run('{"a": 1, "b": 2}').content == "3"


def test_a_function_of_one_rollout_is_let_go_with_it():
    rows = [1, 2, 3]

    def count() -> int:
        """Count."""
        return len(rows)

    other = list(range(5))

    def again(held=other):
        def count() -> int:
            """Count."""
            return len(held)

        return count

    assert (as_tool(count).run("{}").content, as_tool(again()).run("{}").content) == ("3", "5")
    kept = weakref.ref(count)
    as_tool(count)
    del count
    gc.collect()
    assert kept() is None
