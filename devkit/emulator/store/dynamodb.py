"""A DynamoDB of the operations the stack uses: keys, conditions, updates, queries, sparse indexes.

Strongly consistent throughout, indexes too: a real index is a moment behind. Items live until somebody
deletes them; a TimeToLive attribute is one like any other, as it is for the days a real table may take.

Source: DynamoDB API reference.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from devkit.emulator.store.expressions import (
    Expression,
    Given,
    Node,
    apply,
    condition,
    projection,
    update,
)
from devkit.emulator.store.values import (
    MOST_BYTES,
    Item,
    Refused,
    Value,
    invalid,
    item_of,
    size_of,
)

# The most one page of a query reads, bytes.
_PAGE = 1024 * 1024
_LONGEST = {"HASH": 2048, "RANGE": 1024}
_MOST_BATCH = 100

Key = tuple[Any, Any]


class Watch(Protocol):
    """Told of every write while the store is locked."""

    def table(self, request: dict[str, Any]) -> None:
        """A table was made."""
        ...

    def row(self, table: str, key: Key, item: Item | None) -> None:
        """An item is this now; None: there is none any more."""
        ...


@dataclass(frozen=True, slots=True)
class Schema:
    """The key of a table or an index.

    Args:
        sort: empty where the key is one attribute.
        projected: names an index holds besides the keys; None for all.
    """

    partition: str
    sort: str
    projected: frozenset[str] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The key's attributes."""
        return (self.partition, self.sort) if self.sort else (self.partition,)


@dataclass(slots=True)
class _Index:
    """Rows by partition, each partition in the order of its sort key."""

    schema: Schema
    partitions: dict[Any, list[tuple[Any, Any, Any]]] = field(
        default_factory=dict[Any, list[tuple[Any, Any, Any]]]
    )

    def place(self, item: Item, key: Key) -> tuple[Any, tuple[Any, Any, Any]] | None:
        """Partition and entry of an item; None where the index does not hold it."""
        partition, sort = item.get(self.schema.partition), ""
        if partition is None:
            return None
        if self.schema.sort:
            if self.schema.sort not in item:
                return None
            sort = plain(item[self.schema.sort])
        return plain(partition), (sort, *key)

    def move(self, key: Key, old: Item | None, new: Item | None) -> None:
        """Follow one item's change."""
        before = self.place(old, key) if old else None
        after = self.place(new, key) if new else None
        if before == after:
            return
        if before:
            rows = self.partitions[before[0]]
            del rows[bisect_left(rows, before[1])]
            if not rows:
                del self.partitions[before[0]]
        if after:
            insort(self.partitions.setdefault(after[0], []), after[1])


class _Table:
    def __init__(self, request: Mapping[str, Any]) -> None:
        self.description = dict(request)
        self.types = {
            a["AttributeName"]: a["AttributeType"] for a in request["AttributeDefinitions"]
        }
        self.schema = _schema(request)
        self.items: dict[Key, Item] = {}
        self.indexes = {
            one["IndexName"]: _Index(_schema(one, self.schema))
            for one in request.get("GlobalSecondaryIndexes") or ()
        }
        self.rows = _Index(self.schema)

    def key_of(self, given: Item) -> Key:
        """The key of a request's ``Key``.

        Raises:
            Refused: it is not exactly the table's.
        """
        if set(given) != set(self.schema.names):
            raise invalid("The provided key element does not match the schema")
        for name in self.schema.names:
            if self.types[name] not in given[name]:
                raise invalid("The provided key element does not match the schema")
        self._measure(given)
        return _key(given, self.schema)

    def check(self, item: Item) -> Key:
        """The key of an item that is to be written.

        Raises:
            Refused: the item may not be written.
        """
        for name in self.schema.names:
            if name not in item:
                raise invalid(
                    f"One or more parameter values were invalid: Missing the key {name} in the item"
                )
            if self.types[name] not in item[name]:
                raise invalid(
                    f"One or more parameter values were invalid: Type mismatch for key {name}"
                )
        self._measure(item)
        self.check_indexed(item)
        return _key(item, self.schema)

    def check_indexed(self, item: Item) -> None:
        """Refuse values that an index cannot take, and items that are too large."""
        for index in self.indexes.values():
            for name in index.schema.names:
                if name in item and self.types[name] not in item[name]:
                    raise invalid(
                        "One or more parameter values were invalid: Type mismatch for Index Key "
                        f"{name} Expected: {self.types[name]}"
                    )
                if name in item and item[name] == {"S": ""}:
                    raise invalid(
                        "One or more parameter values are not valid. A value specified for a secondary "
                        f"index key is not supported. The AttributeValue for a key attribute cannot "
                        f"contain an empty string value. IndexKey: {name}"
                    )
        if size_of(item) > MOST_BYTES:
            raise invalid("Item size has exceeded the maximum allowed size")

    def _measure(self, item: Item) -> None:
        for name, kind in zip(self.schema.names, _LONGEST, strict=False):
            text = item[name].get("S")
            if text == "":
                raise invalid(
                    "One or more parameter values are not valid. The AttributeValue for a key attribute "
                    f"cannot contain an empty string value. Key: {name}"
                )
            if text is not None and len(text.encode()) > _LONGEST[kind]:
                what = "hashkey" if kind == "HASH" else "rangekey"
                raise invalid(
                    f"One or more parameter values were invalid: Size of {what} has exceeded the "
                    f"maximum size limit of {_LONGEST[kind]} bytes"
                )

    def write(self, key: Key, new: Item | None) -> Item | None:
        """Put an item in place, or nothing; what was there."""
        old = self.items.get(key)
        for index in (self.rows, *self.indexes.values()):
            index.move(key, old, new)
        if new is None:
            self.items.pop(key, None)
        else:
            self.items[key] = new
        return old


class DynamoDb:
    """Tables in memory; safe to be used from many threads.

    Args:
        watch: told of every write.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        self.lock = threading.RLock()
        self._tables: dict[str, _Table] = {}
        self._watch = watch
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "CreateTable": self._create_table,
            "DeleteTable": self._delete_table,
            "DescribeTable": self._describe_table,
            "ListTables": lambda _: {"TableNames": sorted(self._tables)},
            "GetItem": self._get_item,
            "BatchGetItem": self._batch_get_item,
            "PutItem": self._put_item,
            "UpdateItem": self._update_item,
            "DeleteItem": self._delete_item,
            "Query": self._query,
            "Scan": self._scan,
        }

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one operation.

        Args:
            operation: as the API names it, ``PutItem``.
            request: its input, with attribute values as the wire has them.

        Raises:
            Refused: the error the service answers with.
        """
        known = self._operations.get(operation)
        if known is None:
            raise Refused(
                "UnknownOperationException", f"The local store does not know {operation}."
            )
        with self.lock:
            return known(request)

    def load(self, table: str, item: Item) -> None:
        """Put an item in place that was written before; nothing is checked and nobody told."""
        known = self._tables[table]
        known.write(_key(item, known.schema), item)

    def drop(self, table: str, partition: str) -> list[Item]:
        """Delete every item of a partition, and give them back."""
        with self.lock:
            known = self._tables[table]
            keys = [row[1:] for row in known.rows.partitions.get(partition, ())]
            return [item for key in keys if (item := self._write(table, known, key, None))]

    # --- tables ---------------------------------------------------------------------------------------

    def _create_table(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["TableName"]
        if name in self._tables:
            raise Refused("ResourceInUseException", f"Table already exists: {name}")
        self._tables[name] = _Table(request)
        if self._watch:
            self._watch.table(request)
        return {"TableDescription": self._described(name)}

    def _delete_table(self, request: dict[str, Any]) -> dict[str, Any]:
        self._table(request)
        described = self._described(request["TableName"])
        del self._tables[request["TableName"]]
        return {"TableDescription": {**described, "TableStatus": "DELETING"}}

    def _describe_table(self, request: dict[str, Any]) -> dict[str, Any]:
        self._table(request)
        return {"Table": self._described(request["TableName"])}

    def _described(self, name: str) -> dict[str, Any]:
        table = self._tables[name]
        known = table.description
        indexes: list[dict[str, Any]] = known.get("GlobalSecondaryIndexes") or []
        return {
            "TableName": name,
            "TableStatus": "ACTIVE",
            "TableArn": f"arn:aws:dynamodb:us-west-2:123456789012:table/{name}",
            "ItemCount": len(table.items),
            "KeySchema": known["KeySchema"],
            "AttributeDefinitions": known["AttributeDefinitions"],
            "GlobalSecondaryIndexes": [{**one, "IndexStatus": "ACTIVE"} for one in indexes],
        }

    def _table(self, request: Mapping[str, Any]) -> _Table:
        table = self._tables.get(request["TableName"].rpartition("/")[2])
        if table is None:
            raise Refused("ResourceNotFoundException", "Requested resource not found")
        return table

    # --- items ----------------------------------------------------------------------------------------

    def _get_item(self, request: dict[str, Any]) -> dict[str, Any]:
        table, given = self._table(request), Given(request)
        shown = _shown(request, given)
        given.all_used()
        item = table.items.get(table.key_of(item_of(request["Key"])))
        return {} if item is None else {"Item": shown(item)}

    def _batch_get_item(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request["RequestItems"]
        if sum(len(one["Keys"]) for one in wanted.values()) > _MOST_BATCH:
            raise invalid("Too many items requested for the BatchGetItem call")
        found: dict[str, list[Item]] = {}
        for name, one in wanted.items():
            table, given = self._table({"TableName": name}), Given(one)
            shown = _shown(one, given)
            keys = [table.key_of(item_of(key)) for key in one["Keys"]]
            if len(set(keys)) != len(keys):
                raise invalid("Provided list of item keys contains duplicates")
            found[name] = [shown(table.items[key]) for key in keys if key in table.items]
        return {"Responses": found, "UnprocessedKeys": {}}

    def _put_item(self, request: dict[str, Any]) -> dict[str, Any]:
        table, item = self._table(request), item_of(request["Item"])
        key = table.check(item)
        self._conditional(request, Given(request), table.items.get(key))
        old = self._write(request["TableName"], table, key, item)
        return {"Attributes": old} if old and request.get("ReturnValues") == "ALL_OLD" else {}

    def _delete_item(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request)
        key = table.key_of(item_of(request["Key"]))
        self._conditional(request, Given(request), table.items.get(key))
        old = self._write(request["TableName"], table, key, None)
        return {"Attributes": old} if old and request.get("ReturnValues") == "ALL_OLD" else {}

    def _update_item(self, request: dict[str, Any]) -> dict[str, Any]:
        table, given = self._table(request), Given(request)
        names = item_of(request["Key"])
        key = table.key_of(names)
        text = request.get("UpdateExpression")
        parsed = update(text) if text is not None else Expression((), ())
        given.uses(parsed.placeholders)
        old = table.items.get(key)
        self._conditional(request, given, old)
        new, touched = apply(parsed.root, old or names, given)
        for name in touched.intersection(table.schema.names):
            raise invalid(
                f"One or more parameter values were invalid: Cannot update attribute {name}. "
                "This attribute is part of the key"
            )
        table.check_indexed(new)
        self._write(request["TableName"], table, key, new)
        returned = request.get("ReturnValues", "NONE")
        if returned == "NONE":
            return {}
        attributes = (new if returned.endswith("NEW") else old) or {}
        if returned.startswith("UPDATED"):
            attributes = {name: value for name, value in attributes.items() if name in touched}
        return {"Attributes": attributes} if attributes else {}

    def _conditional(self, request: dict[str, Any], given: Given, old: Item | None) -> None:
        text = request.get("ConditionExpression")
        parsed = None if text is None else condition(text)
        if parsed is not None:
            given.uses(parsed.placeholders)
        given.all_used()
        if parsed is not None and not parsed.root.holds(old or {}, given):
            wanted = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            raise Refused(
                "ConditionalCheckFailedException",
                "The conditional request failed",
                item=old if wanted else None,
            )

    def _write(self, name: str, table: _Table, key: Key, item: Item | None) -> Item | None:
        old = table.write(key, item)
        if self._watch and (item is not None or old is not None):
            self._watch.row(name, key, item)
        return old

    # --- queries --------------------------------------------------------------------------------------

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        table, given = self._table(request), Given(request)
        index = self._index(table, request)
        parsed = condition(request["KeyConditionExpression"])
        given.uses(parsed.placeholders)
        partition, wanted = _asked(parsed.root, index.schema, given)
        rows = index.partitions.get(partition, [])
        low, high = _within(rows, wanted)
        backwards = request.get("ScanIndexForward") is False
        start = request.get("ExclusiveStartKey")
        if start is not None:
            entry = _entry(start, table, index)
            if entry[0] != partition:
                raise invalid("The provided starting key is outside query boundaries")
            if backwards:
                high = min(high, bisect_left(rows, entry[1]))
            else:
                low = max(low, bisect_right(rows, entry[1]))
        order = range(high - 1, low - 1, -1) if backwards else range(low, high)
        return self._page(table, index, (rows[at] for at in order), request, given)

    def _scan(self, request: dict[str, Any]) -> dict[str, Any]:
        table, given = self._table(request), Given(request)
        index = self._index(table, request)
        everything = sorted(
            (row for rows in index.partitions.values() for row in rows), key=lambda row: row[1:]
        )
        start = request.get("ExclusiveStartKey")
        begin = 0
        if start is not None:
            entry = _entry(start, table, index)
            begin = bisect_right(everything, entry[1][1:], key=lambda row: row[1:])
        return self._page(table, index, iter(everything[begin:]), request, given)

    @staticmethod
    def _index(table: _Table, request: Mapping[str, Any]) -> _Index:
        name = request.get("IndexName")
        if name is None:
            return table.rows
        if name not in table.indexes:
            raise invalid(f"The table does not have the specified index: {name}")
        if request.get("ConsistentRead"):
            raise invalid("Consistent reads are not supported on global secondary indexes")
        return table.indexes[name]

    @staticmethod
    def _page(
        table: _Table,
        index: _Index,
        rows: Iterator[tuple[Any, Any, Any]],
        request: Mapping[str, Any],
        given: Given,
    ) -> dict[str, Any]:
        limit = request.get("Limit")
        if limit is not None and limit < 1:
            raise invalid(
                "1 validation error detected: Value at 'limit' failed to satisfy constraint"
            )
        text = request.get("FilterExpression")
        parsed = None if text is None else condition(text)
        if parsed is not None:
            given.uses(parsed.placeholders)
        shown = _shown(request, given)
        given.all_used()
        counting = request.get("Select") == "COUNT"
        found: list[Item] = []
        scanned = count = read = 0
        last: Item | None = None
        for _, partition, sort in rows:
            item = _projected(table.items[partition, sort], index.schema)
            scanned += 1
            read += size_of(item)
            if parsed is None or parsed.root.holds(item, given):
                count += 1
                if not counting:
                    found.append(shown(item))
            if scanned == limit or read >= _PAGE:
                last = item
                break
        answer: dict[str, Any] = {"Count": count, "ScannedCount": scanned}
        if not counting:
            answer["Items"] = found
        if last is not None:
            names = dict.fromkeys([*table.schema.names, *index.schema.names])
            answer["LastEvaluatedKey"] = {name: last[name] for name in names}
        return answer


def plain(value: Value) -> Any:
    """A key's value as Python orders it; DynamoDB orders texts by their UTF-8, which is the same."""
    ((kind, held),) = value.items()
    return Decimal(held) if kind == "N" else held


def _schema(request: Mapping[str, Any], table: Schema | None = None) -> Schema:
    names = {one["KeyType"]: one["AttributeName"] for one in request["KeySchema"]}
    partition, sort = names["HASH"], names.get("RANGE", "")
    projection_ = request.get("Projection", {})
    if table is None or projection_.get("ProjectionType") == "ALL":
        return Schema(partition, sort)
    more = projection_.get("NonKeyAttributes") or ()
    return Schema(partition, sort, frozenset((*table.names, partition, sort, *more)))


def _key(item: Item, schema: Schema) -> Key:
    sort = plain(item[schema.sort]) if schema.sort else ""
    return plain(item[schema.partition]), sort


def _entry(given: Any, table: _Table, index: _Index) -> tuple[Any, tuple[Any, Any, Any]]:
    """Where a page's last key stands in its index.

    Raises:
        Refused: it is no key of that index.
    """
    start = item_of(given)
    names = {*table.schema.names, *index.schema.names}
    if set(start) != names or any(table.types[name] not in start[name] for name in names):
        raise invalid("The provided starting key is invalid")
    place = index.place(start, _key(start, table.schema))
    if place is None:
        raise invalid("The provided starting key is invalid")
    return place


def _asked(root: Node, schema: Schema, given: Given) -> tuple[Any, Node | None]:
    """The partition that a key condition names, and what it says of the sort key.

    Raises:
        Refused: it is not a partition's equality, with at most one condition on the sort key.
    """
    partition: Any = None
    wanted: Node | None = None
    for part in root.parts if root.kind == "AND" else (root,):
        first = part.parts[0] if part.parts and isinstance(part.parts[0], Node) else None
        name = given.name(first.parts[0]) if first is not None and first.kind == "path" else ""
        values = part.parts[1:]
        if any(not isinstance(one, Node) or one.kind != "value" for one in values):
            raise invalid("Invalid KeyConditionExpression: it must compare a key with values")
        if name == schema.partition and part.kind == "=" and partition is None:
            partition = plain(given.values[values[0].parts[0]])
        elif name == schema.sort and part.kind in _RANGES and wanted is None:
            bounds = tuple(plain(given.values[one.parts[0]]) for one in values)
            wanted = Node(part.kind, bounds)
        elif name not in schema.names:
            raise invalid(f"Query condition missed key schema element: {schema.partition}")
        else:
            raise invalid("Query key condition not supported")
    if partition is None:
        raise invalid(f"Query condition missed key schema element: {schema.partition}")
    if wanted is not None and wanted.kind == "BETWEEN" and wanted.parts[0] > wanted.parts[1]:
        raise invalid(
            "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be greater "
            "than or equal to lower bound"
        )
    return partition, wanted


_RANGES = ("=", "<", "<=", ">", ">=", "BETWEEN", "begins_with")


def _within(rows: list[tuple[Any, Any, Any]], wanted: Node | None) -> tuple[int, int]:
    """First and last place, the last not included, of the rows whose sort key is wanted."""
    low, high = 0, len(rows)
    if wanted is None:
        return low, high

    def before(bound: Any) -> int:
        return bisect_left(rows, bound, key=lambda row: row[0])

    def after(bound: Any) -> int:
        return bisect_right(rows, bound, key=lambda row: row[0])

    first = wanted.parts[0]
    if wanted.kind == "begins_with":
        low = before(first)
        return low, bisect_left(
            rows, True, lo=low, key=lambda row: not str(row[0]).startswith(first)
        )
    if wanted.kind in ("=", ">=", "BETWEEN"):
        low = before(first)
    elif wanted.kind == ">":
        low = after(first)
    if wanted.kind in ("=", "<="):
        high = after(first)
    elif wanted.kind == "<":
        high = before(first)
    elif wanted.kind == "BETWEEN":
        high = after(wanted.parts[1])
    return low, high


def _projected(item: Item, schema: Schema) -> Item:
    kept = schema.projected
    return item if kept is None else {k: v for k, v in item.items() if k in kept}


def _shown(request: Mapping[str, Any], given: Given) -> Callable[[Item], Item]:
    text = request.get("ProjectionExpression")
    if text is None:
        return lambda item: item
    parsed = projection(text)
    given.uses(parsed.placeholders)
    names = {given.name(path) for path in parsed.root}
    return lambda item: {name: value for name, value in item.items() if name in names}
