"""Reading by key: pages in order and without gaps, and no more of the table because it holds more."""

from __future__ import annotations

import base64
import json
from collections import Counter
from contextlib import contextmanager

import boto3
import pytest
from moto.dynamodb.models import dynamodb_backends
from starlette.testclient import TestClient

from benchmarks.crowd import BEGAN, fill
from console.application import application
from rollout.aws import clients
from rollout.errors import BadQuery
from rollout.storage.archive import Archive
from rollout.storage.record import iso
from tests.building import ACCOUNT, JOB_ARN, REGION, make_settings


def crowd(rollouts, apart=0.5):
    table = dynamodb_backends[ACCOUNT][REGION].get_table("rollouts")
    return fill(table.put_item, JOB_ARN, rollouts, apart=apart)


@contextmanager
def counted():
    """Counts the calls to DynamoDB and the rows they read."""
    seen = Counter()

    def note(parsed, model, **_):
        seen[model.name] += 1
        seen["rows"] += parsed.get("ScannedCount", 1)
        seen["bytes"] += len(json.dumps(parsed.get("Items", parsed.get("Item"))))

    client = clients.client("dynamodb", REGION, read_timeout=3.0, attempts=1)
    client.meta.events.register("after-call.dynamodb", note, unique_id="count")
    try:
        yield seen
    finally:
        client.meta.events.unregister("after-call.dynamodb", unique_id="count")


@pytest.fixture
def account(monkeypatch):
    monkeypatch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)


def pages(limit=50, cursor="", most_read=4_000, **asked):
    found = []
    archive = Archive(make_settings(), most_read=most_read)
    while True:
        page = archive.rollouts(JOB_ARN, limit=limit, cursor=cursor, **asked)
        found.append(page)
        cursor = page.cursor
        if not cursor:
            return found


def ids(found):
    return [row["trajectory_id"] for page in found for row in page.rows]


def test_pages_have_every_rollout_once_and_the_newest_first(store):
    crowd(170)
    assert ids(pages()) == [f"trajectory-{n:07d}" for n in reversed(range(170))]
    assert [len(page.rows) for page in pages(85)] == [85, 85]


def test_rollouts_of_one_millisecond_are_neither_lost_nor_repeated(store):
    crowd(80, apart=0.0)
    found = ids(pages(7))
    assert len(found) == len(set(found)) == 80


def test_a_page_is_bounded_in_time(store):
    crowd(100, apart=60)
    since, until = iso(BEGAN + 600), iso(BEGAN + 1_200)
    assert len(ids(pages(since=since, until=until))) == 11
    assert len(ids(pages(4, since=since, until=until))) == 11
    assert ids(pages(since=until, until=since)) == []


def test_a_filter_that_lets_nothing_through_ends_its_search_and_can_go_on(store):
    crowd(430)
    found = pages(most_read=200, keep=lambda row: row["trajectory_id"] == "trajectory-0000003")
    assert [page.looked_at for page in found] == [200, 200, 30]
    assert ids(found) == ["trajectory-0000003"]


@pytest.mark.parametrize(
    "place",
    ["", [], {}, 7, ["a"], ["2026", "x"], ["0001-01-01T00:00:00.000", "x"], [1, 2],
     ["2026-11-24T00:00:00.000+00:00", "x" * 2_000], ["2026-11-24T00:00:00.000+00:00", "\ud800"]],
)  # fmt: skip
def test_a_cursor_that_is_none_of_ours_is_refused(store, place):
    cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
    with pytest.raises(BadQuery):
        pages(cursor=cursor)


@pytest.mark.parametrize("cursor", ["?", "é", "%00", "AAAA", "[]"])
def test_what_is_no_cursor_at_all_is_refused(store, cursor):
    with pytest.raises(BadQuery):
        pages(cursor=cursor)


def test_a_cursor_for_a_rollout_that_is_gone_goes_on_all_the_same(store):
    crowd(60)
    first = Archive(make_settings()).rollouts(JOB_ARN, limit=20)
    last = first.rows[-1]
    key = {"pk": {"S": f"rollout#{JOB_ARN}#{last['trajectory_id']}"}, "sk": {"S": "rollout"}}
    boto3.client("dynamodb", REGION).delete_item(TableName="rollouts", Key=key)
    rest = Archive(make_settings()).rollouts(JOB_ARN, limit=50, cursor=first.cursor)
    assert len(rest.rows) == 40


PAGES = ("/", "/job?job={job}", "/series.json?job={job}",
         "/groups?job={job}", "/group?job={job}&group={group}", "/trajectory?job={job}&id={id}")  # fmt: skip


def test_no_page_reads_more_because_the_table_holds_more(store):
    read = {}
    for rollouts in (200, 2_000):
        expected = crowd(rollouts)
        group = "5feceb66ffc86f38"  # of the rollouts 0 to 7
        client = TestClient(application(lambda: Archive(make_settings()), make_settings))
        for page in PAGES:
            with counted() as seen:
                answer = client.get(page.format(job=JOB_ARN, group=group, id="trajectory-0000003"))
            assert answer.status_code == 200, page
            assert seen["Scan"] == 0
            read[rollouts, page] = seen
        assert Archive(make_settings()).job(JOB_ARN) == expected
    for page in PAGES:
        few, many = read[200, page], read[2_000, page]
        assert few["Query"] + few["GetItem"]
        # A longer job has more buckets; test_totals bounds them.
        slack = 0 if page.startswith(("/group?", "/trajectory")) else 150
        assert many.total() - many["bytes"] <= few.total() - few["bytes"] + slack, (page, few, many)
        assert many["Query"] + many["GetItem"] <= 60
        assert many["bytes"] < 200_000
