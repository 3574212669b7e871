"""What an author's code returns is JSON behind the border, or is named with its place."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import math
import pathlib
import sys
import types
import uuid
from typing import NamedTuple

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as some

from rollout import Outcome
from rollout.agent import as_metrics, as_outcome
from rollout.errors import RewardError
from rollout.tools import as_tool
from rollout.values import NotJson, json_text, jsonable, number
from tests.building import ScriptedPolicy, completion
from tests.running import ask, played


class Order(pydantic.BaseModel):
    number: int
    at: dt.datetime
    tags: set[str] = set()


@dataclasses.dataclass
class Basket:
    owner: str
    orders: list[Order]


class Colour(enum.Enum):
    RED = "red"


class Pair(NamedTuple):
    left: int
    right: int


NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Order(number=1, at=NOON), {"number": 1, "at": "2026-01-02T12:00:00Z", "tags": []}),
        (Basket("me", [Order(number=1, at=NOON)]), {"owner": "me", "orders": [
            {"number": 1, "at": "2026-01-02T12:00:00Z", "tags": []}]}),
        (np.float32(1.5), 1.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.longdouble(0.5), 0.5),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(2.0), 2.0),
        (np.array(["2026-01-02"], dtype="datetime64[D]"), ["2026-01-02"]),
        (np.datetime64("2026-01-02T12:00:00.000000001"), "2026-01-02T12:00:00.000000001"),
        ({"rows": np.arange(2), "when": NOON}, {"rows": [0, 1], "when": "2026-01-02T12:00:00+00:00"}),
        ((1, (2, "x")), [1, [2, "x"]]),
        (Pair(1, 2), [1, 2]),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({3, 1}), [1, 3]),
        (b"text", "text"),
        (bytearray(b"x"), "x"),
        ({2: "a", None: "b", 2.5: "d", Colour.RED: "e"}, {"2": "a", "null": "b", "2.5": "d", "red": "e"}),
        ({NOON.date(): 1}, {"2026-01-02": 1}),
        (decimal.Decimal("1.10"), 1.1),
        (decimal.Decimal("1E+3"), 1000),
        (dt.timedelta(minutes=1.5), 90.0),
        (dt.time(1, 2), "01:02:00"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (Colour.RED, "red"),
        (range(3), [0, 1, 2]),
        (collections.deque([1]), [1]),
        ({"a": 1}.values(), [1]),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.UserList([1]), [1]),
    ],
)  # fmt: skip
def test_a_value_has_one_form_in_json(value, written):
    found = jsonable(value)
    assert found == written
    assert json.loads(json.dumps(found)) == found  # nothing but plain JSON is left


LOOP: list = []
LOOP.append(LOOP)


class Sour:
    def __iter__(self):
        raise RuntimeError("secret")


@dataclasses.dataclass
class Broken:
    ok: int = 1

    def __getattribute__(self, name):
        if name == "ok":
            raise RuntimeError("secret")
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "the number nan"),
        ({"a": [1, math.inf]}, r"at \$\.a\[1\]: the number inf"),
        (np.array([1.0, np.nan]), r"at \$\[1\]: the number nan"),
        (np.datetime64("NaT", "s"), "NaT"),
        ({"t": "\ud800"}, r"at \$\.t: text with half a surrogate pair"),
        ({"\udfff": 1}, "surrogate"),
        ({(1, 2): 3}, "a key of type tuple"),
        ({1: "a", "1": "b"}, "two keys that are the same"),
        (b"\xff", "UTF-8"),
        (object(), "object"),
        ({"x": 1j}, r"at \$\.x: a complex"),
        ((n for n in ()), "a generator, which can be read once only"),
        (map(str, ()), "read once only"),
        (10**5000, "4,300 digits"),
        (decimal.Decimal("NaN"), "NaN"),
        (decimal.Decimal("1E+99999"), "4,300 digits"),
        (LOOP, "contains itself"),
        (json.loads("[" * 500 + "]" * 500), "100 levels"),
        (ValueError("x"), "ValueError"),
        (Sour(), "Sour"),
        (Broken(), "reading it raises RuntimeError"),
        (Order.model_construct(number=object()), "cannot be dumped"),
        (Order, "ModelMetaclass"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_written_is_named_with_its_place(value, why):
    with pytest.raises(NotJson, match=why) as caught:
        jsonable(value)
    assert "secret" not in str(caught.value)


def test_nothing_is_imported_for_it():
    assert "torch" not in sys.modules

    class Tensor:  # what PyTorch's offers
        dtype = "float32"
        ndim = 0

        def tolist(self):
            return 0.5

        item = tolist

    assert jsonable({"loss": Tensor()}) == {"loss": 0.5}
    assert number(Tensor()) == 0.5


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(some.characters(exclude_categories=["Cs"])),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text("ab1"), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(_JSON)
def test_json_is_left_as_it_is(value):
    assert jsonable(value) == value
    assert json.loads(json_text(value)) == value


@pytest.mark.parametrize(
    "value",
    [1, 1.0, np.float32(1), np.int8(1), np.array(1), decimal.Decimal(1), fractions.Fraction(1)],
)
def test_a_number_of_any_library_is_a_reward_and_a_metric(value):
    outcome = as_outcome(Outcome(value, {"m": value}), "a:b")
    assert (outcome.reward, outcome.metrics) == (1.0, {"m": 1.0})
    assert type(outcome.reward) is type(outcome.metrics["m"]) is float
    assert as_outcome([value, 0], "a:b").reward == [1.0, 0.0]
    assert as_outcome(np.array([1, 0]), "a:b").reward == [1.0, 0.0]


class Odd(float):
    def __float__(self):
        raise RuntimeError("secret")


@pytest.mark.parametrize(
    "value",
    [np.float32("nan"), np.bool_(True), "word", None, decimal.Decimal("Infinity"), 10**400, Odd(1),
     np.array([1, 2]), [1], object()],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_metric_that_is_no_number_names_agent_and_metric(value):
    with pytest.raises(RewardError, match=r"environments\.mine:run returned a metric 'speed' "):
        as_metrics({"speed": value}, "environments.mine:run")
    with pytest.raises(RewardError):
        as_metrics(None, "environments.mine:run")


def measuring(**metrics):
    def function(episode):
        episode.metrics.update(metrics)
        return ask(episode)

    return function


def test_metrics_of_the_episode_are_held_to_what_an_outcomes_are():
    result, _, _ = played(measuring(a=np.float32(0.5), b=2), completion("1"))
    assert result.metrics == {"a": 0.5, "b": 2.0}
    result, _, _ = played(measuring(a=1, b=math.nan), completion("1"))
    assert (result.failure.boundary, result.metrics) == ("agent", {"a": 1.0})
    assert "environments.mine:run" in result.failure.detail
    assert "'b'" in result.failure.detail
    json.dumps(result.answer("t"), allow_nan=False)


def returning(value):
    def tool():
        """Return it."""
        return value

    return as_tool(tool).run("{}")


def test_a_tools_value_is_read_as_json_or_is_its_own_error():
    assert returning(Order(number=1, at=NOON)).content.startswith('{"number": 1')
    assert returning({"b", "a"}).content == '["a", "b"]'
    assert returning("plain ü").content == "plain ü"
    assert returning(None).content == "null"
    for value in (object(), {(1, 2): 3}, "\ud800", {"x": math.nan}, b"\xff"):
        result = returning(value)
        assert result.failed
        assert result.content.startswith("Error: the tool's result cannot be written as JSON")
        result.content.encode()


def test_a_message_may_hold_what_has_a_form_in_json():
    policy = ScriptedPolicy(completion("1"))

    def function(episode):
        episode.sample([{"role": "user", "content": "hi", "at": NOON}], stop=("x",))
        return 1.0

    result, _, _ = played(function, policy=policy)
    assert result.rewards == [1.0]
    assert policy.requests[0]["messages"][0]["at"] == "2026-01-02T12:00:00+00:00"


def stepping(value):
    def function(episode):
        episode.metrics["same"] = float(episode.step("s", lambda: value) == {"1": [1, 2]})
        return ask(episode)

    return function


def test_a_step_gives_inline_what_it_would_give_from_the_records():
    assert played(stepping({1: (1, 2)}), completion("1"))[0].metrics == {"same": 1.0}
    result, _, _ = played(stepping({"x": object()}), completion("1"))
    assert result.failure.slug == "step-raised"
    assert "$.x" in result.failure.detail


def test_an_asynchronous_step_is_made():
    async def effect():
        return (1,)

    result, _, _ = played(lambda e: ask(e) and float(e.step("s", effect) == [1]), completion("1"))
    assert result.rewards == [1.0]
