"""The local store against moto: the same random requests, the same answers and errors."""

from __future__ import annotations

import itertools
import threading
from decimal import Decimal
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from devkit.emulator.store.dynamodb import DynamoDb
from devkit.emulator.store.expressions import reserved_words
from devkit.emulator.store.local import LocalAws
from devkit.emulator.store.values import Refused
from devkit.emulator.template import table_properties
from tests.building import REGION

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": REGION}
CONFIG = Config(retries={"total_max_attempts": 1, "mode": "standard"})
_names = itertools.count()


@pytest.fixture(scope="module")
def services():
    """Both DynamoDBs and both S3s, each behind a boto3 client."""
    with mock_aws(), LocalAws() as local:
        session = boto3.session.Session()
        yield {
            service: (
                session.client(service, endpoint_url=local.url, config=CONFIG, **KEYS),
                session.client(service, config=CONFIG, **KEYS),
            )
            for service in ("dynamodb", "s3")
        }


@pytest.fixture
def both(services):
    return services["dynamodb"]


@pytest.fixture
def table(both):
    name = f"rollouts-{next(_names)}"
    for client in both:
        client.create_table(TableName=name, **table_properties())
    return name


def outcome(client, operation, request):
    """What an operation came to: its answer with numbers as numbers, or its error's code."""
    try:
        answer = getattr(client, operation)(**request)
    except ClientError as error:
        return error.response["Error"]["Code"], plain(error.response.get("Item"))
    answer.pop("ResponseMetadata")
    answer.pop("ConsumedCapacity", None)
    return plain(answer)


def plain(value):
    if isinstance(value, dict):
        return {k: Decimal(v) if k == "N" else plain(v) for k, v in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def agree(both, operation, **request):
    ours, theirs = (outcome(client, operation, request) for client in both)
    assert ours == theirs, (operation, request)
    return ours


# --- random histories ---------------------------------------------------------------------------------

texts = st.sampled_from(["a", "b", "ä", "2026-11-25"]).map(lambda v: {"S": v})
numbers = st.one_of(
    st.integers(-3, 3).map(str), st.sampled_from(["1.50", "0.000001", "12345678901234567890"])
).map(lambda v: {"N": v})
flags = st.booleans().map(lambda v: {"BOOL": v})
# moto takes any type as an index's key, and cannot compare values of two types: see below for those.
indexed = ["open_shard", "due_at", "job_shard", "accepted_at"]
attributes = st.sampled_from(["n", "m", "state", *indexed])


def value_for(attribute):
    if attribute in ("n", "m"):
        return numbers
    return texts if attribute in indexed else st.one_of(texts, flags)


key = st.fixed_dictionaries(
    {
        name: st.sampled_from(choices).map(lambda v: {"S": v})
        for name, choices in (("pk", "pq"), ("sk", "123"))
    }
)
items = st.builds(
    lambda names, rest: {**names, **rest},
    key,
    st.fixed_dictionaries(
        {}, optional={name: value_for(name) for name in ["n", "m", "state", *indexed]}
    ),
)


@st.composite
def conditions(draw):
    """A condition over one or two attributes, with its names and values."""
    names, held, parts = {}, {}, []
    for index in range(draw(st.integers(1, 2))):
        name, value = f"#c{index}", f":c{index}"
        names[name] = attribute = draw(attributes)
        forms = ["attribute_exists({n})", "attribute_not_exists({n})", "{n} = {v}", "{n} <> {v}"]
        forms += ["NOT {n} = {v}", "attribute_type({n}, {t})", "{n} IN ({v})"]
        if attribute in indexed:
            forms += ["begins_with({n}, {v})", "contains({n}, {v})", "{n} < {v}"]
        elif attribute != "state":
            forms += ["{n} < {v}", "{n} >= {v}"]
        form = draw(st.sampled_from(forms))
        if "{t}" in form:
            held[value] = {"S": draw(st.sampled_from(["S", "N", "BOOL"]))}
        elif "{v}" in form:
            held[value] = draw(value_for(attribute))
        parts.append(form.format(n=name, v=value, t=value))
    text = draw(st.sampled_from([" AND ", " OR "])).join(parts)
    return {
        "ConditionExpression": text,
        "ExpressionAttributeNames": names,
        **({"ExpressionAttributeValues": held} if held else {}),
        "ReturnValuesOnConditionCheckFailure": draw(st.sampled_from(["NONE", "ALL_OLD"])),
    }


@st.composite
def updates(draw):
    """An update as the library writes them: SET with if_not_exists and sums, REMOVE, ADD."""
    names, held, clauses = {}, {}, {"SET": [], "REMOVE": [], "ADD": []}
    for index, attribute in enumerate(
        draw(st.lists(attributes, min_size=1, max_size=4, unique=True))
    ):
        name, value = f"#u{index}", f":u{index}"
        names[name] = attribute
        forms = ["SET {n} = {v}", "SET {n} = if_not_exists({n}, {v})", "REMOVE {n}"]
        if attribute in ("n", "m"):
            forms += [
                "SET {n} = {n} + {v}",
                "ADD {n} {v}",
                "SET {n} = if_not_exists({n}, {v}) - {v}",
            ]
        form = draw(st.sampled_from(forms))
        verb, _, rest = form.partition(" ")
        clauses[verb].append(rest.format(n=name, v=value))
        if "{v}" in form:
            held[value] = draw(value_for(attribute))
    text = " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)
    return {
        "UpdateExpression": text,
        "ExpressionAttributeNames": names,
        **({"ExpressionAttributeValues": held} if held else {}),
        "ReturnValues": draw(st.sampled_from(["NONE", "ALL_NEW", "ALL_OLD"])),
    }


steps = st.one_of(
    st.tuples(
        st.just("put_item"),
        st.builds(lambda i, c: {"Item": i, **c}, items, st.one_of(st.just({}), conditions())),
    ),
    st.tuples(
        st.just("delete_item"),
        st.builds(lambda k, c: {"Key": k, **c}, key, st.one_of(st.just({}), conditions())),
    ),
    st.tuples(st.just("update_item"), st.builds(lambda k, u: {"Key": k, **u}, key, updates())),
    st.tuples(st.just("get_item"), st.builds(lambda k: {"Key": k, "ConsistentRead": True}, key)),
)
asked = st.tuples(
    st.sampled_from([("pk", "sk", None), ("open_shard", "due_at", "open"), ("job_shard", "accepted_at", "by_job")]),
    st.sampled_from(["p", "a", "b"]),
    st.sampled_from(["", "= :l", "<= :l", "> :l", "BETWEEN :l AND :h", "begins_with"]),
    st.lists(st.sampled_from(["1", "2", "a", "b", "2026-11-25"]), min_size=2, max_size=2).map(sorted),
    st.booleans(),
    st.integers(1, 3),
)  # fmt: skip


def drained(client, request, count):
    """Every row of a query, page after page."""
    rows, found = [], 0
    while True:
        answer = client.query(**request)
        assert len(answer.get("Items", [])) <= count
        rows += answer.get("Items", [])
        found += answer["Count"]
        if "LastEvaluatedKey" not in answer:
            return plain(rows), found
        request = {**request, "ExclusiveStartKey": answer["LastEvaluatedKey"]}


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=st.lists(steps, min_size=4, max_size=14), query=asked)
def test_a_history_of_writes_and_reads_goes_as_in_moto(both, history, query):
    name = f"rollouts-{next(_names)}"
    for client in both:
        client.create_table(TableName=name, **table_properties())
    for operation, request in history:
        agree(both, operation, TableName=name, **request)
    (partition, sort, index), value, form, (low, high), forward, limit = query
    condition, held = "#p = :p", {":p": {"S": value}}
    if form:
        condition += " AND begins_with(#s, :l)" if form == "begins_with" else f" AND #s {form}"
        held |= {":l": {"S": low}} | ({":h": {"S": high}} if ":h" in form else {})
    request = {
        "TableName": name,
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": {"#p": partition, **({"#s": sort} if form else {})},
        "ExpressionAttributeValues": held,
        "ScanIndexForward": forward,
        "Limit": limit,
        **({"IndexName": index} if index else {}),
    }
    # moto loses its place between pages where rows have the same sort key: it is asked for all at once.
    whole = {name: value for name, value in request.items() if name != "Limit"}
    (ours, counted), (theirs, known) = drained(both[0], request, limit), drained(both[1], whole, 99)
    # Rows with the same sort key come in any order.
    assert [row[sort] for row in ours] == [row[sort] for row in theirs]
    assert sorted(ours, key=repr) == sorted(theirs, key=repr)
    assert counted == known == len(ours)
    assert drained(both[0], {**request, "Select": "COUNT"}, 0) == ([], counted)
    assert drained(both[0], whole, 99) == (ours, counted)


# --- what moto and DynamoDB both refuse, or both take -----------------------------------------------------

ROW = {"pk": {"S": "p"}, "sk": {"S": "1"}}


def update(expression, names=None, values=None, key=ROW):
    request = {"Key": key, "UpdateExpression": expression}
    if names:
        request["ExpressionAttributeNames"] = names
    return request | ({"ExpressionAttributeValues": values} if values else {})


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("put_item", {"Item": {"pk": {"S": "p"}}}),
        ("put_item", {"Item": {**ROW, "sk": {"N": "1"}}}),
        ("put_item", {"Item": {**ROW, "pk": {"S": ""}}}),
        ("put_item", {"Item": {**ROW, "pk": {"S": "p" * 2_049}}}),
        ("put_item", {"Item": {**ROW, "sk": {"S": "s" * 1_025}}}),
        ("put_item", {"Item": {**ROW, "open_shard": {"S": ""}}}),
        ("put_item", {"Item": {**ROW, "n": {"S": "x" * 410_000}}}),
        ("get_item", {"Key": {"pk": {"S": "p"}}}),
        ("get_item", {"Key": {**ROW, "n": {"S": "1"}}}),
        ("update_item", update("SET pk = :v", values={":v": {"S": "q"}})),
        ("update_item", update("SET n = :v", values={":w": {"S": "q"}})),
        ("update_item", update("SET n = :v", values={":v": {"S": "q"}, ":w": {"S": "q"}})),
        ("update_item", update("SET #n = :v", names={"#m": "n"}, values={":v": {"S": "q"}})),
        ("update_item", update("SET state = :v", values={":v": {"S": "q"}})),
        ("update_item", update("SET n = m + :v", values={":v": {"N": "1"}})),
        ("update_item", update("SET n = :v, n = :v", values={":v": {"N": "1"}})),
        ("update_item", update("SET n = :v SET m = :v", values={":v": {"N": "1"}})),
        ("update_item", update("SET n :v", values={":v": {"N": "1"}})),
        ("update_item", update("ADD n :v", values={":v": {"BOOL": True}})),
        ("update_item", update("ADD n :v", values={":v": {"SS": ["a", "b"]}})),
        ("query", {"KeyConditionExpression": "sk = :v", "ExpressionAttributeValues": {":v": {"S": "1"}}}),
        ("query", {"KeyConditionExpression": "pk > :v", "ExpressionAttributeValues": {":v": {"S": "1"}}}),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_alike(both, table, operation, request_):
    agree(both, operation, TableName=table, **request_)


def test_a_missing_table_is_refused_alike(both):
    assert agree(both, "get_item", TableName="none", Key=ROW)[0] == "ResourceNotFoundException"


def test_several_rows_are_got_at_once(both, table):
    for client in both:
        client.put_item(TableName=table, Item={**ROW, "n": {"N": "1"}})
    keys = [ROW, {**ROW, "sk": {"S": "2"}}]
    answer = agree(both, "batch_get_item", RequestItems={table: {"Keys": keys}})
    assert answer["Responses"][table] == [{**ROW, "n": {"N": Decimal(1)}}]
    twice = {table: {"Keys": [ROW, ROW]}}
    assert agree(both, "batch_get_item", RequestItems=twice)[0] == "ValidationException"


def test_a_projection_shows_what_it_names(both, table):
    for client in both:
        client.put_item(TableName=table, Item={**ROW, "n": {"N": "1"}, "m": {"N": "2"}})
    shown = agree(both, "get_item", TableName=table, Key=ROW, ProjectionExpression="pk, n")
    assert shown == {"Item": {"pk": ROW["pk"], "n": {"N": Decimal(1)}}}


def test_reserved_words_are_those_moto_knows():
    assert reserved_words() == {word.upper() for word in ReservedKeywords.get_reserved_keywords()}


# --- where DynamoDB is stricter or more exact than moto ---------------------------------------------------


@pytest.fixture
def engine():
    engine = DynamoDb()
    engine.call("CreateTable", {"TableName": "t", **table_properties()})
    return engine


def held(engine, name):
    return engine.call("GetItem", {"TableName": "t", "Key": ROW})["Item"].get(name)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1.50", "1.5"), ("-0", "0"), ("1e2", "100"), ("0.10e1", "1"), ("9" * 38, "9" * 38), ("00012", "12")],
)  # fmt: skip
def test_numbers_are_exact_and_written_in_one_way(engine, given, kept):
    engine.call("PutItem", {"TableName": "t", "Item": {**ROW, "n": {"N": given}}})
    assert held(engine, "n") == {"N": kept}


@pytest.mark.parametrize("given", ["9" * 39, "1e126", "1e-131", "NaN", "Infinity", "", "x", "1_0x"])
def test_what_38_digits_cannot_hold_is_refused(engine, given):
    with pytest.raises(Refused):
        engine.call("PutItem", {"TableName": "t", "Item": {**ROW, "n": {"N": given}}})


def test_a_sum_never_loses_a_digit(engine):
    adding = {"TableName": "t", **update("ADD n :v", values={":v": {"N": "1" + "0" * 36 + "1"}})}
    engine.call("UpdateItem", adding)
    engine.call("UpdateItem", adding)
    assert held(engine, "n") == {"N": "2" + "0" * 36 + "2"}
    with pytest.raises(Refused, match="overflow"):
        engine.call("UpdateItem", {**adding, "ExpressionAttributeValues": {":v": {"N": "0.01"}}})
    assert held(engine, "n") == {"N": "2" + "0" * 36 + "2"}


def test_values_of_two_types_are_neither_more_nor_less(engine):
    engine.call("PutItem", {"TableName": "t", "Item": {**ROW, "n": {"N": "1"}}})
    for operator in ("<", ">", "<=", ">=", "="):
        request = {"Item": ROW, "ConditionExpression": f"n {operator} :v"}
        with pytest.raises(Refused) as refused:
            engine.call(
                "PutItem",
                {"TableName": "t", **request, "ExpressionAttributeValues": {":v": {"S": "1"}}},
            )
        assert refused.value.code == "ConditionalCheckFailedException"


def test_an_index_takes_its_own_type_only(engine):
    with pytest.raises(Refused, match="Index Key"):
        engine.call("PutItem", {"TableName": "t", "Item": {**ROW, "open_shard": {"N": "1"}}})
    setting = update("SET open_shard = :v", values={":v": {"N": "1"}})
    with pytest.raises(Refused, match="Index Key"):
        engine.call("UpdateItem", {"TableName": "t", **setting})


def test_an_update_may_not_make_a_row_too_large(engine):
    engine.call("PutItem", {"TableName": "t", "Item": {**ROW, "n": {"S": "x" * 300_000}}})
    with pytest.raises(Refused, match="size"):
        engine.call(
            "UpdateItem",
            {"TableName": "t", **update("SET m = :v", values={":v": {"S": "x" * 200_000}})},
        )
    assert held(engine, "m") is None


def test_a_page_ends_at_a_megabyte(engine):
    for number in range(4):
        row = {"pk": {"S": "p"}, "sk": {"S": str(number)}, "n": {"S": "x" * 390_000}}
        engine.call("PutItem", {"TableName": "t", "Item": row})
    request = {
        "TableName": "t",
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "p"}},
    }
    first = engine.call("Query", request)
    rest = engine.call("Query", {**request, "ExclusiveStartKey": first["LastEvaluatedKey"]})
    assert (first["Count"], rest["Count"]) == (3, 1)


def test_what_the_store_does_not_know_is_said(engine):
    held = {":p": {"S": "p"}}
    asked = {
        "IndexName": "none",
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": held,
    }
    with pytest.raises(Refused, match="does not have the specified index"):
        engine.call("Query", {"TableName": "t", **asked})
    with pytest.raises(Refused, match="does not know TransactWriteItems"):
        engine.call("TransactWriteItems", {})
    with pytest.raises(Refused, match="nested"):
        engine.call(
            "UpdateItem", {"TableName": "t", **update("SET a.b = :v", values={":v": {"S": "x"}})}
        )


def test_additions_of_many_threads_are_all_counted(engine):
    def add():
        for _ in range(200):
            engine.call(
                "UpdateItem", {"TableName": "t", **update("ADD n :v", values={":v": {"N": "1"}})}
            )

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(engine, "n") == {"N": "1600"}


# --- S3 -------------------------------------------------------------------------------------------------

object_keys = st.sampled_from(["a", "a/b", "ä ö", "trajectories/job/1.json.gz"])
objects = st.one_of(
    st.tuples(
        st.just("put_object"),
        st.fixed_dictionaries(
            {"Key": object_keys, "Body": st.sampled_from([b"", b"x", b"\x00\xff" * 10])},
            optional={"ContentType": st.just("application/json"), "ContentEncoding": st.just("gzip"),
                      "Metadata": st.just({"a": "b"})},
        ),
    ),
    st.tuples(st.sampled_from(["get_object", "head_object", "delete_object"]), st.builds(lambda k: {"Key": k}, object_keys)),
    st.tuples(st.just("list_objects_v2"), st.sampled_from([{}, {"Prefix": "a"}, {"MaxKeys": 1}])),
)  # fmt: skip


def object_outcome(client, operation, request):
    try:
        answer = getattr(client, operation)(**request)
    except ClientError as error:
        return error.response["Error"]["Code"]
    names = (
        "ContentType",
        "ContentEncoding",
        "Metadata",
        "ETag",
        "KeyCount",
        "IsTruncated",
        "ContentLength",
    )
    seen = {name: answer[name] for name in names if name in answer and operation != "put_object"}
    if operation == "get_object":
        seen["Body"] = answer["Body"].read()
    seen["Contents"] = [
        (one["Key"], one["Size"], one["ETag"]) for one in answer.get("Contents", [])
    ]
    return seen


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=st.lists(objects, min_size=3, max_size=10))
def test_objects_are_kept_as_in_moto(services, history):
    bucket = f"trajectories-{next(_names)}"
    for client in services["s3"]:
        client.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    for operation, request in history:
        ours, theirs = (
            object_outcome(c, operation, {"Bucket": bucket, **request}) for c in services["s3"]
        )
        assert ours == theirs, (operation, request)


def test_a_missing_bucket_is_told_as_in_moto(services):
    for operation in ("get_object", "put_object"):
        request = {"Bucket": "none", "Key": "k"}
        ours, theirs = (object_outcome(client, operation, request) for client in services["s3"])
        assert ours == theirs == "NoSuchBucket"


def test_a_missing_key_may_be_hidden():
    with LocalAws() as local:
        client = boto3.client("s3", endpoint_url=local.url, config=CONFIG, **KEYS)
        client.create_bucket(Bucket="b", CreateBucketConfiguration={"LocationConstraint": REGION})
        local.s3.hides_missing = True
        with pytest.raises(ClientError, match="AccessDenied"):
            client.get_object(Bucket="b", Key="k")


# --- kept on disk -----------------------------------------------------------------------------------------


def test_what_was_written_is_there_for_the_next_process(tmp_path):
    with LocalAws(tmp_path / "aws.db") as first:
        assert not first.known
        table, bucket = (
            boto3.client(s, endpoint_url=first.url, config=CONFIG, **KEYS)
            for s in ("dynamodb", "s3")
        )
        table.create_table(TableName="t", **table_properties())
        bucket.create_bucket(Bucket="b", CreateBucketConfiguration={"LocationConstraint": REGION})
        for sk in "12":
            table.put_item(
                TableName="t",
                Item={**ROW, "sk": {"S": sk}, "open_shard": {"S": "o"}, "due_at": {"S": sk}},
            )
            bucket.put_object(Bucket="b", Key=sk, Body=sk.encode(), ContentType="text/plain")
        table.delete_item(TableName="t", Key=ROW)
        bucket.delete_object(Bucket="b", Key="1")
    # A killed process closes nothing: a second reader of the open file must see it all as well.
    with LocalAws(tmp_path / "aws.db") as second:
        assert second.known
        asked = {"TableName": "t", "IndexName": "open", "KeyConditionExpression": "open_shard = :o",
                 "ExpressionAttributeValues": {":o": {"S": "o"}}}  # fmt: skip
        rows = second.dynamodb.call("Query", asked)["Items"]
        assert [row["sk"]["S"] for row in rows] == ["2"]
        status, headers, body = second.answer("GET", urlsplit("/b/2"), {}, b"")
        assert (status, headers["content-type"], body) == (200, "text/plain", b"2")
        assert second.answer("GET", urlsplit("/b/1"), {}, b"")[0] == 404


def test_a_process_that_closes_nothing_loses_nothing(tmp_path):
    with LocalAws(tmp_path / "aws.db") as first:
        first.dynamodb.call("CreateTable", {"TableName": "t", **table_properties()})
        first.dynamodb.call("PutItem", {"TableName": "t", "Item": ROW})
        with LocalAws(tmp_path / "aws.db") as second:
            assert second.dynamodb.call("GetItem", {"TableName": "t", "Key": ROW}) == {"Item": ROW}


def test_a_request_is_carried_out_once_in_sessions_old_and_new():
    sessions = [boto3.session.Session()]
    with LocalAws() as local:
        sessions.append(boto3.session.Session())
        with LocalAws():
            sessions.append(boto3.session.Session())
        local.dynamodb.call("CreateTable", {"TableName": "t", **table_properties()})
        for session in sessions:
            client = session.client("dynamodb", endpoint_url=local.url, config=CONFIG, **KEYS)
            client.update_item(TableName="t", **update("ADD n :v", values={":v": {"N": "1"}}))
        row = local.dynamodb.call("GetItem", {"TableName": "t", "Key": ROW})["Item"]
    assert row["n"] == {"N": "3"}
