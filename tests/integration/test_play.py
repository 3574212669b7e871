"""One row, played by hand against a stack that serves."""

from __future__ import annotations

import json

import httpx
import pytest

from devkit.__main__ import main
from devkit.emulator.stack import EmulatedStack
from devkit.places import dataset_of
from devkit.policies.named import scripted

WORDLE = "environments.wordle:wordle"
WORDS = str(dataset_of(WORDLE))
LINES = dataset_of(WORDLE).read_text().splitlines()


@pytest.fixture
def stack():
    with EmulatedStack(scripted(WORDLE, "gold", 1.0), agent=WORDLE) as running:
        yield running


def test_a_row_is_played_and_what_was_said_is_shown(stack, capsys):
    assert main(["play", WORDS, "--row", "3", "--url", stack.url, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    word = json.loads(json.loads(LINES[3])["prompt"])["word"]
    assert shown["result"]["reward"] == 1.0
    assert shown["state"] == "rewarded"
    assert word in shown["turns"][-1]["reply"]["choices"][0]["message"]["content"]
    assert main(["play", WORDS, "--row", "3", "--url", stack.url]) == 0
    assert "assistant" in capsys.readouterr().out


def test_the_two_lines_of_curl_do_the_same(stack):
    body = httpx.post(f"{stack.url}/local/requests", content=LINES[0]).json()
    played = httpx.post(f"{stack.url}/rollout", json=body, timeout=60).json()
    assert (played["status"], played["reward"]) == ("ready", 1.0)


@pytest.mark.parametrize("body", ["[1", "[]", '{"a": 1, "a": 2}', ""])
def test_what_is_no_row_is_refused(stack, body):
    answer = httpx.post(f"{stack.url}/local/requests", content=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_every_other_path_is_the_apis(stack):
    assert httpx.get(f"{stack.url}/health").json() == {"status": "healthy"}
    assert httpx.get(f"{stack.url}/local/trajectories/nobody").status_code == 404
    assert httpx.get(f"{stack.url}/elsewhere").headers["content-type"] == "application/problem+json"


def test_a_row_there_is_not_and_a_stack_that_does_not_run(capsys):
    assert main(["play", WORDS, "--row", "100000"]) == 2
    assert "counted from 0" in " ".join(capsys.readouterr().out.split())
    assert main(["play", WORDS, "--url", "http://127.0.0.1:9"]) == 1
    assert "rollout run" in " ".join(capsys.readouterr().err.split())
