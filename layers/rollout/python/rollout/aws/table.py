"""The DynamoDB table and its plumbing: conditions, attribute values, errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rollout.aws import clients
from rollout.backoff import Backoff
from rollout.errors import StorageThrottled, Unavailable
from rollout.settings import Settings

Row = Mapping[str, Any]

# Seconds one answer may take; how often a call is made until it is answered, and the pauses between.
# botocore makes each once: a client that repeats would be a second one, and DynamoDB's is the dearest.
_READ_TIMEOUT = 3.0
_ATTEMPTS = 4
_PAUSE = Backoff(first=0.1, longest=1.0)
# Rows asked for at once where all are wanted; DynamoDB ends an answer at 1 MB by itself.
_MOST_ROWS = 1_000
# What DynamoDB refuses for the rate alone; nothing was written ("Error handling", DynamoDB guide).
_THROTTLING = (
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "Throttling",
)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A write that was not made, because its condition did not hold.

    Args:
        row: what stands there instead; None where nothing does, or where storage did not say.
    """

    row: Row | None


class Table:
    """Reads and writes rows of plain Python scalars (text, numbers, booleans).

    Args:
        settings: the table's name and region.
    """

    def __init__(self, settings: Settings) -> None:
        self._name = settings.storage.table
        self._region = settings.region

    def get(self, pk: str, sk: str) -> Row | None:
        """One row, read consistently; None if there is none."""
        answer = answering(
            lambda: self._client().get_item(
                TableName=self._name, Key=_attributes({"pk": pk, "sk": sk}), ConsistentRead=True
            )
        )
        return row_of(answer["Item"]) if "Item" in answer else None

    def put(self, row: Row, *, only_if: Row | None = None) -> Conflict | None:
        """Write a row if the one in place has these values (None: if there is none).

        Returns:
            None where it was written.
        """
        request: dict[str, Any] = {"TableName": self._name, "Item": _attributes(row)}
        if only_if is None:
            request["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            request |= _condition(only_if)
        return _conflict(lambda: self._client().put_item(**request, **_WITH_THE_ROW))

    def change(
        self, pk: str, sk: str, sets: Row, *, removes: tuple[str, ...] = (), only_if: Row
    ) -> Conflict | None:
        """Set and remove attributes of a row that has these values; None where it was done."""
        request = _condition(only_if)
        names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
        assignments: list[str] = []
        for index, (name, value) in enumerate(sets.items()):
            names[f"#s{index}"], values[f":s{index}"] = name, _attribute(value)
            assignments.append(f"#s{index} = :s{index}")
        expression = "SET " + ", ".join(assignments)
        for index, name in enumerate(removes):
            names[f"#r{index}"] = name
            expression += (" REMOVE " if index == 0 else ", ") + f"#r{index}"
        return _conflict(
            lambda: self._client().update_item(
                TableName=self._name,
                Key=_attributes({"pk": pk, "sk": sk}),
                UpdateExpression=expression,
                **request,
                **_WITH_THE_ROW,
            )
        )

    def add(
        self, pk: str, sk: str, amounts: Mapping[str, int], *, sets: Row, first: Row
    ) -> dict[str, Any]:
        """Add whole numbers to a row's; makes the row, and each number, where it is missing.

        It is asked for once: an addition that is repeated after a lost answer would count twice.

        Args:
            amounts: what is added.
            sets: attributes that are set as well.
            first: attributes that are set where the row has none of the name.

        Returns:
            The row as it is now. Its numbers are ints: floats would lose digits of large sums.

        Raises:
            StorageThrottled: nothing was added.
            Unavailable: it is not known whether it was.
        """
        names = {f"#n{i}": name for i, name in enumerate([*amounts, *sets, *first])}
        given = [*amounts.values(), *sets.values(), *first.values()]
        values = {f":n{i}": _attribute(value) for i, value in enumerate(given)}
        places = [f"#n{i} :n{i}" for i in range(len(amounts))]
        assigned = [f"#n{i} = :n{i}" for i in range(len(amounts), len(amounts) + len(sets))]
        assigned += [
            f"#n{i} = if_not_exists(#n{i}, :n{i})"
            for i in range(len(amounts) + len(sets), len(names))
        ]
        expression = f"SET {', '.join(assigned)}" + (f" ADD {', '.join(places)}" if places else "")
        answer = answering(
            lambda: self._client().update_item(
                TableName=self._name,
                Key=_attributes({"pk": pk, "sk": sk}),
                UpdateExpression=expression,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
            ),
            attempts=1,
        )
        return whole_row_of(answer["Attributes"])

    def page(
        self,
        key: str,
        value: str,
        *,
        index: str = "",
        between: tuple[str, str, str] | None = None,
        newest_first: bool = False,
        limit: int,
        after: Row | None = None,
    ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """A page of one partition's rows, of the table or of an index, by key.

        Args:
            key: the partition key's name; ``value`` is what it must be.
            between: name, lowest and highest value of the sort key.
            limit: rows at most.
            after: where the page before ended.

        Returns:
            The rows, whole numbers as ints, and where to go on; None at the end.
        """
        request: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": "#k = :k",
            "ExpressionAttributeNames": {"#k": key},
            "ExpressionAttributeValues": {":k": {"S": value}},
            "ScanIndexForward": not newest_first,
            "Limit": limit,
        }
        if index:
            request["IndexName"] = index
        if between:
            name, low, high = between
            request["KeyConditionExpression"] += " AND #r BETWEEN :l AND :h"
            request["ExpressionAttributeNames"]["#r"] = name
            request["ExpressionAttributeValues"] |= {":l": {"S": low}, ":h": {"S": high}}
        if after:
            request["ExclusiveStartKey"] = _attributes(after)
        answer = answering(lambda: self._client().query(**request))
        more = answer.get("LastEvaluatedKey")
        return [whole_row_of(item) for item in answer["Items"]], whole_row_of(
            more
        ) if more else None

    def delete(self, pk: str, sk: str, *, only_if: Row) -> Conflict | None:
        """Delete a row that has these values; None where it was done."""
        request = _condition(only_if)
        return _conflict(
            lambda: self._client().delete_item(
                TableName=self._name,
                Key=_attributes({"pk": pk, "sk": sk}),
                **request,
                **_WITH_THE_ROW,
            )
        )

    def due(self, shard: str, until: str, limit: int) -> list[str]:
        """The ``pk`` of the open rows of a shard that are due, the longest due first."""
        answer = answering(
            lambda: self._client().query(
                TableName=self._name,
                IndexName="open",
                KeyConditionExpression="open_shard = :s AND due_at <= :d",
                ExpressionAttributeValues={":s": {"S": shard}, ":d": {"S": until}},
                Limit=limit,
            )
        )
        return [item["pk"]["S"] for item in answer["Items"]]

    def open(self, shard: str) -> Iterator[str]:
        """The ``pk`` of every open row of a shard."""
        for row in self._all("open_shard", shard, index="open"):
            yield str(row["pk"])

    def rows(self, pk: str) -> Iterator[dict[str, Any]]:
        """Every row of a partition, by its key."""
        return self._all("pk", pk)

    def count(self, shard: str) -> int:
        """How many open rows a shard has."""
        request: dict[str, Any] = {
            "TableName": self._name,
            "IndexName": "open",
            "KeyConditionExpression": "open_shard = :s",
            "ExpressionAttributeValues": {":s": {"S": shard}},
            "Select": "COUNT",
        }
        total = 0
        while True:
            answer = answering(lambda: self._client().query(**request))
            total += answer["Count"]
            if "LastEvaluatedKey" not in answer:
                return total
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _all(self, key: str, value: str, *, index: str = "") -> Iterator[dict[str, Any]]:
        after: dict[str, Any] | None = None
        while True:
            rows, after = self.page(key, value, index=index, limit=_MOST_ROWS, after=after)
            yield from rows
            if after is None:
                return

    def _client(self) -> Any:
        return clients.client("dynamodb", self._region, read_timeout=_READ_TIMEOUT, attempts=1)


# A condition that does not hold is answered with the row that stands there: no second read, and no
# moment between the two.
_WITH_THE_ROW = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def answering(call: Callable[[], Any], *, attempts: int = _ATTEMPTS) -> Any:
    """Make a storage call until it is answered.

    Raises:
        StorageThrottled, Unavailable: storage refused or did not answer; by error code, free of content.
    """
    for attempt in range(1, attempts):
        try:
            return _asked(call)
        except _Again:
            time.sleep(_PAUSE.pause(attempt))
    try:
        return _asked(call)
    except _Again as error:
        raise error.failure from None


class _Again(Exception):
    """A call that another attempt may answer."""

    def __init__(self, failure: Unavailable) -> None:
        super().__init__()
        self.failure = failure


def _asked(call: Callable[[], Any]) -> Any:
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        code, status = clients.code_of(error.response), clients.status_of(error.response)
        text = f"Storage answered {code}."
        if code in _THROTTLING:
            raise _Again(StorageThrottled(text, retry_after=2)) from None
        if status is None or not 400 <= status < 500:
            raise _Again(Unavailable(text, retry_after=2)) from None
        raise Unavailable(text, retry_after=2) from None
    except Exception as error:  # noqa: BLE001 - botocore's parsers raise anything at an odd body
        text = f"Storage did not answer ({type(error).__name__})."
        raise _Again(Unavailable(text, retry_after=2)) from None


def _conflict(call: Callable[[], Any]) -> Conflict | None:
    """Make a write under a condition."""
    from botocore.exceptions import ClientError

    def conditional() -> Conflict | None:
        try:
            call()
        except ClientError as error:
            answer: Any = error.response
            if clients.code_of(answer) != "ConditionalCheckFailedException":
                raise
            return Conflict(row_of(answer["Item"]) if answer.get("Item") else None)
        return None

    return answering(conditional)


def row_of(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A DynamoDB item as plain Python values; numbers become floats."""
    return {name: _value(attribute) for name, attribute in item.items()}


def whole_row_of(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """As :func:`row_of`, with numbers that are whole as exact ints."""
    row = row_of(item)
    for name, attribute in item.items():
        if "N" in attribute and attribute["N"].lstrip("-").isdigit():
            row[name] = int(attribute["N"])
    return row


def _condition(values: Row) -> dict[str, Any]:
    return {
        "ConditionExpression": " AND ".join(f"#c{i} = :c{i}" for i in range(len(values))),
        "ExpressionAttributeNames": {f"#c{i}": name for i, name in enumerate(values)},
        "ExpressionAttributeValues": {
            f":c{i}": _attribute(value) for i, value in enumerate(values.values())
        },
    }


def _attributes(row: Row) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in row.items()}


def _attribute(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, (int, float)):
        return {"N": repr(value)}
    return {"S": value}


def _value(attribute: Mapping[str, Any]) -> Any:
    (kind, value), *_ = attribute.items()
    return float(value) if kind == "N" else value
