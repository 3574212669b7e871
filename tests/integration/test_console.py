"""The console as it is deployed: built, under the emulator, behind API Gateway's events; and its inputs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devkit.emulator.stack import JOB_ARN, EmulatedStack
from devkit.rehearsal.play import play_groups
from environments.calculator import scripts as calculator
from tests.building import ROOT
from tests.processes import BUILT, emulator

ROW = {"question": "What is 2 + 3?", "answer": "<<2+3=5>>\n#### 5"}
STATIC = ROOT / "functions/console/static"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with EmulatedStack(
        lambda asked: calculator.gold(asked.instance, asked.messages),
        durable=tmp_path_factory.mktemp("durable"),
    ) as running:
        list(play_groups(running, [ROW], 2, run="inline"))
        list(play_groups(running, [ROW], 1, run="durable", durable=True))
        yield running


@pytest.fixture(scope="module")
def http(stack):
    with httpx.Client(base_url=stack.console_url, timeout=60) as client:
        yield client


def test_the_chart_library_is_the_one_that_was_noted():
    noted = dict(
        re.findall(r"\| (\S+) \| ([0-9a-f]{64}) \|", (STATIC / "uplot/VERSION.md").read_text())
    )
    assert len(noted) == 3
    for name, digest in noted.items():
        assert hashlib.sha256((STATIC / "uplot" / name).read_bytes()).hexdigest() == digest


def test_inline_and_durable_rollouts_are_shown_with_their_reports(http):
    page = http.get("/job", params={"job": JOB_ARN}).text
    for name in ("inline-000000-00", "inline-000000-01", "durable-000000-00"):
        assert name in page
        shown = http.get("/trajectory", params={"job": JOB_ARN, "id": name}).text
        assert "sent 1 time" in shown
        assert "Compare with" in shown
    series = http.get("/series.json", params={"job": JOB_ARN}).json()
    assert sum(series["ended"]) == 3
    assert set(series["mean"]) == {1.0}


def test_errors_are_plain_pages(http):
    unknown = http.get("/trajectory", params={"job": JOB_ARN, "id": "never"})
    assert unknown.status_code == 404
    assert "No such rollout" in unknown.text
    assert http.get("/nowhere").status_code == 404
    assert http.post("/", content=b"x").status_code == 405
    assert http.head("/").status_code == 200
    wrong = http.get("/job", params={"job": JOB_ARN, "low": "much"})
    assert (wrong.status_code, "low must be a number" in wrong.text) == (400, True)
    assert http.get("/", headers={"Host": "rebound.example.com"}).status_code == 400


def test_static_files_are_compressed_and_kept(http):
    page = http.get("/").text
    address = re.search(r'src="(/static/uplot/[^"]+)"', page)[1]
    answer = http.get(address)
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert "accept-encoding" in answer.headers["vary"].lower()
    again = http.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert http.get(address.split("?")[0]).headers["cache-control"] == "no-cache"


PAGES = (
    "/",
    "/job",
    "/series.json",
    "/groups",
    "/group",
    "/trajectory",
    "/trajectory.json",
    "/compare",
)
NAMES = (
    "job",
    "id",
    "a",
    "b",
    "group",
    "cursor",
    "state",
    "low",
    "high",
    "agent",
    "since",
    "until",
    "from",
)
anything = st.one_of(
    st.text(max_size=300),
    st.sampled_from([JOB_ARN, "evaluation", "inline-000000-00", "ready", "1e999", "nan", "-0", "9" * 400,
                     "2026-11-24T15:30", "0001-01-01", "9999-12-31T23:59:59+23:59", "../..", "\x00"]),
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    page=st.sampled_from(PAGES),
    query=st.dictionaries(st.sampled_from(NAMES), anything),
    whole=st.booleans(),
)
def test_no_query_breaks_a_page(http, page, query, whole):
    if whole:  # get past the required parameters
        query = {"job": JOB_ARN, "id": "inline-000000-00", "group": "0" * 16, **query}
    encodable = {k: v.encode("utf-8", "replace") for k, v in query.items()}
    answer = http.get(page, params=encodable)
    assert answer.status_code in (200, 400, 404), answer.text
    assert "content-security-policy" in answer.headers


def test_the_built_console_under_the_emulator(stack, tmp_path):
    environ = {**stack.environ(), "AWS_LAMBDA_FUNCTION_TIMEOUT": "30"}
    event = json.loads((ROOT / "events/console-unknown-job.json").read_text())
    event["queryStringParameters"] = {"job": JOB_ARN}
    event["multiValueQueryStringParameters"] = {"job": [JOB_ARN]}
    with emulator("ConsoleFunction", "app.handler", environ, tmp_path / "log") as url:
        answer = httpx.post(url, json=event, timeout=60).json()
    assert answer["statusCode"] == 200, answer
    assert answer["isBase64Encoded"]
    page = gzip.decompress(base64.b64decode(answer["body"])).decode()
    assert "inline-000000-00" in page
    assert 'href="/v1/trajectory?job=' in page


def test_nothing_that_a_layer_holds_is_built_again():
    layer = {path.name for path in (BUILT / "DependenciesX86/python").iterdir()}
    own = {path.name for path in (BUILT / "ConsoleFunction").iterdir()}
    assert {"starlette", "jinja2", "mangum", "app.py", "templates", "static"} <= own
    assert layer & own <= {"__pycache__"}
    assert not list((BUILT / "ConsoleFunction").rglob("*.so"))
    pages = (BUILT / "ConsoleFunction/console").glob("*.py")
    assert all(list(p.parent.glob(f"__pycache__/{p.stem}.*.pyc")) for p in pages)
