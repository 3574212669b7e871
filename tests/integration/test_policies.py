"""Each policy a rehearsal can name, over real HTTP to a fake of its server."""

from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from devkit.__main__ import main
from devkit.emulator.server import Server
from devkit.policies import bedrock
from devkit.policies import named as policies
from devkit.rehearsal.run_files import read_manifest, read_rollouts
from rollout.aws import clients
from tests.building import completion, tool_call

AGENT = "environments.calculator:calculator"
ROWS = [
    {"question": f"What is {n} + 1?", "answer": f"<<{n}+1={n + 1}>>\n#### {n + 1}"} for n in (2, 5)
]


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": json.dumps(row)}) + "\n" for row in ROWS))
    return path


@pytest.fixture
def rehearse(dataset, tmp_path):
    """Rehearse against a policy; the exit code and what was kept."""

    def play(policy, *more, name="run"):
        run = tmp_path / name
        code = main(
            ["rehearse", str(dataset), "--agent", AGENT, "--group-size", "2", "--policy", policy,
             "--run", str(run), *more]
        )  # fmt: skip
        return code, sorted(read_rollouts(run), key=lambda r: r.trajectory_id)

    return play


def answer_to(messages):
    """A good policy: looks the sum up with the tool, then answers."""
    if messages[-1]["role"] == "tool":
        return completion(f"#### {messages[-1]['content']}")
    question = next(m["content"] for m in messages if m["role"] == "user")
    total = question.removeprefix("What is ").removesuffix("?")
    return completion(None, tool_calls=[tool_call("evaluate", {"expression": total})])


class Model:
    """An OpenAI-compatible server with a list of things to go wrong first."""

    def __init__(self):
        self.seen, self.wrong, self.path = [], [], "/v1"

    async def chat(self, request):
        body = await request.json()
        if body["model"] != "tiny":
            said = {"error": {"message": f"The model `{body['model']}` does not exist."}}
            return JSONResponse(said, 404)
        if request.headers.get("authorization") not in (None, "Bearer sesame"):
            return JSONResponse({"error": {"message": "wrong key"}}, 401)
        if body["messages"][0]["content"] == "Say OK.":
            return JSONResponse(completion("OK"))
        self.seen.append((body, request.headers))
        if self.wrong:
            status, headers = self.wrong.pop(0)
            return JSONResponse({"error": {"message": "not now"}}, status, headers)
        return JSONResponse(answer_to(body["messages"]))

    async def models(self, request):
        del request
        return JSONResponse({"object": "list", "data": [{"id": "tiny"}]})


@pytest.fixture
def model():
    model = Model()
    routes = [
        Route("/v1/chat/completions", model.chat, methods=["POST"]),
        Route("/v1/models", model.models),
    ]
    with Server(Starlette(routes=routes)) as server:
        model.url = server.url
        yield model


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "ROLLOUT_POLICY_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_an_openai_server_is_played_durably_with_its_only_model(
    model, rehearse, monkeypatch, tmp_path
):
    monkeypatch.setenv("ROLLOUT_POLICY_KEY", "sesame")
    code, played = rehearse(model.url, "--temperature", "0.5", "--max-tokens", "64")
    assert [r.reward for r in played] == [1.0] * 4
    assert [len(r.turns) for r in played] == [2] * 4
    assert code == 1  # every group is flat: the judge does not call that ready
    asked, headers = model.seen[0]
    assert headers["authorization"] == "Bearer sesame"
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("tiny", 0.5, 64)
    seeds = {body["seed"] for body, _ in model.seen}
    assert len(seeds) == 4  # one a rollout, the same in each of its turns
    known = read_manifest(tmp_path / "run")
    assert (known.mode, known.model, known.policy) == ("durable", "tiny", model.url)


def test_a_server_that_throttles_is_asked_again_and_one_that_breaks_ends_the_rollout(
    model, rehearse, capsys
):
    model.wrong = [(429, {"Retry-After": "0"}), (429, {"Retry-After": "0"}), (500, {})]
    _, played = rehearse(f"{model.url}/v1", "--concurrency", "1", "--mode", "inline")
    assert [r.status for r in played].count("ready") == 3
    failed = next(r for r in played if r.status == "failed")
    assert failed.error["boundary"] == "policy"
    assert "1 x 500: not now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "huge"], "answered 404 for model 'huge': The model `huge` does not exist."),
        (["--limit", "1", "--sample", "1"], "give one of them"),
        (["--faults", "nonsense"], "or one of throttling, timeouts, outage, killed-worker"),
        (["--rollout-timeout", "1"], "from 10 to 86400"),
        (["--agent", "environments.nobody:nobody"], "there is no module 'environments.nobody'"),
        (["--url", "https://x.example"], "--policy endpoint:NAME"),
    ],
)
def test_a_wrong_call_says_what_to_do(model, dataset, capsys, arguments, said):
    code = main(["rehearse", str(dataset), "--policy", f"{model.url}/v1", *arguments])
    assert code == 2
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("http://127.0.0.1:9/v1", "does not answer (ConnectError)"),
        ("scripted:genius", "has no function 'genius'"),
        ("probe:tickling", "there is no probe 'tickling'"),
        ("oracle", "there is no policy 'oracle'"),
        ("http://user:key@127.0.0.1:9", "not into the URL"),
    ],
)
def test_a_policy_that_is_not_there_is_named_before_anything_is_played(
    dataset, capsys, policy, said
):
    assert main(["rehearse", str(dataset), "--policy", policy]) == 2
    assert said in capsys.readouterr().out


def test_a_wrong_key_is_told_and_none_is_sent_in_the_clear(model, dataset, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    call = ["rehearse", str(dataset), "--model", "tiny", "--policy"]
    assert main([*call, f"{model.url}/v1"]) == 2
    assert "refuses the key (401)" in capsys.readouterr().out
    assert main([*call, "http://192.0.2.1/v1"]) == 2
    assert "is not https" in capsys.readouterr().out


# --- Bedrock ----------------------------------------------------------------------------------------


@pytest.fixture
def converse(monkeypatch):
    """The wire of Converse; botocore checks both directions against its service model."""
    seen = []

    async def answer(request):
        body = await request.json()
        if request.path_params["model"] != "small":
            return JSONResponse(
                {"message": "The provided model identifier is invalid."},
                400,
                {"x-amzn-ErrorType": "ValidationException"},
            )
        seen.append(body)
        last = body["messages"][-1]["content"][-1]
        if "toolResult" in last:
            content = [{"text": f"#### {last['toolResult']['content'][0]['text']}"}]
        elif "toolConfig" in body:
            total = last["text"].removeprefix("What is ").removesuffix("?")
            used = {"toolUseId": "u1", "name": "evaluate", "input": {"expression": total}}
            content = [{"text": "Let me see."}, {"toolUse": used}]
        else:
            content = [{"text": "OK"}]
        reason = "tool_use" if "toolUse" in content[-1] else "end_turn"
        return JSONResponse(
            {
                "output": {"message": {"role": "assistant", "content": content}},
                "stopReason": reason,
                "usage": {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13},
                "metrics": {"latencyMs": 1},
            }
        )

    with Server(
        Starlette(routes=[Route("/model/{model}/converse", answer, methods=["POST"])])
    ) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield seen


def test_bedrock_calls_the_tools_and_answers(converse, rehearse):
    _, played = rehearse("bedrock:small", "--max-tokens", "99", "--mode", "inline")
    assert [r.reward for r in played] == [1.0] * 4
    call = played[0].turns[0].message["tool_calls"][0]["function"]
    assert call == {"name": "evaluate", "arguments": '{"expression": "2 + 1"}'}
    assert played[0].turns[0].finish_reason == "tool_calls"
    assert played[0].turns[0].usage["completion_tokens"] == 4
    asked = next(body for body in converse if len(body["messages"]) == 3)
    assert asked["system"][0]["text"].startswith("Solve the problem")
    assert asked["inferenceConfig"] == {"maxTokens": 99, "temperature": 1.0, "topP": 1.0}
    assert [m["role"] for m in asked["messages"]] == ["user", "assistant", "user"]
    assert asked["toolConfig"]["tools"][0]["toolSpec"]["name"] == "evaluate"


def test_an_unknown_bedrock_model_is_told(converse, dataset, capsys):
    del converse
    assert main(["rehearse", str(dataset), "--policy", "bedrock:gone"]) == 2
    assert "Bedrock refuses model 'gone': The provided model identifier" in capsys.readouterr().out


def test_a_conversation_is_made_to_alternate_for_converse():
    calls = [tool_call("f", "{broken", "a"), tool_call("f", {"x": 1}, "b")]
    made = bedrock.request_of(
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "one"}]},
                {"role": "user", "content": "two"},
                {"role": "assistant", "content": "", "tool_calls": calls},
                {"role": "tool", "tool_call_id": "a", "content": ""},
                {"role": "tool", "tool_call_id": "b", "content": "2"},
            ],
            "stop": "END",
            "tool_choice": "none",
            "tools": [{"type": "function", "function": {"name": "f"}}],
        }
    )
    user, assistant, results = made["messages"]
    assert [block["text"] for block in user["content"]] == ["one", "two"]
    assert [block["toolUse"]["input"] for block in assistant["content"]] == [
        {"text": "{broken"},
        {"x": 1},
    ]
    assert [b["toolResult"]["toolUseId"] for b in results["content"]] == ["a", "b"]
    assert made["inferenceConfig"] == {"stopSequences": ["END"]}
    # Converse refuses tool blocks in the history where no tool is named.
    assert [tool["toolSpec"]["name"] for tool in made["toolConfig"]["tools"]] == ["f"]
    assert "toolChoice" not in made["toolConfig"]
    assert "toolConfig" not in bedrock.request_of(
        {"messages": [{"role": "user", "content": "one"}]}
    )


# --- a hosted SageMaker endpoint --------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["inline", "durable"])
def test_a_hosted_endpoint_is_sampled_by_the_stack_itself(rehearse, monkeypatch, mode):
    signed = []

    async def invoke(request):
        signed.append(request.headers["authorization"])
        body = await request.json()
        assert body["temperature"] == 1.0
        return JSONResponse(answer_to(body["messages"]))

    route = Route("/endpoints/base-model/invocations", invoke, methods=["POST"])
    with Server(Starlette(routes=[route])) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "MINE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        _, played = rehearse("endpoint:base-model", "--mode", mode)
        clients.forget()
    assert [r.reward for r in played] == [1.0] * 4
    assert [len(r.turns) for r in played] == [2] * 4  # from the stack's own records
    assert played[0].turns[1].repeated == 2
    assert played[0].reports == []
    assert "Credential=MINE/" in signed[0]
    assert "/eu-west-1/sagemaker/" in signed[0]


def test_a_script_keeps_to_its_rollout_and_its_seed():
    class Asked:
        instance = ROWS[0]
        messages = ()

        def __init__(self, trajectory_id):
            self.trajectory_id = trajectory_id

    def sides(seed, run):
        mix = policies.scripted(AGENT, "", 0.5, seed)
        ids = [f"{run}-{row:06d}-{member:02d}" for row in range(20) for member in range(8)]
        return ["tool_calls" in mix(Asked(name)) for name in ids]

    assert sides(1, "a") == sides(1, "b") != sides(2, "a")
    assert 50 < sum(sides(1, "a")) < 110


# --- dialects of servers ----------------------------------------------------------------------------


def test_an_error_behind_a_200_is_the_policys_and_no_reward(model, rehearse, capsys):
    async def chat(request):
        body = await request.json()
        if body["messages"][0]["content"] == "Say OK.":
            return JSONResponse(completion("OK"))
        return JSONResponse({"error": {"message": "CUDA out of memory", "code": 500}})

    with Server(
        Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    ) as server:
        _, played = rehearse(
            f"{server.url}/v1", "--model", "tiny", "--mode", "inline", name="errors"
        )
    assert {(r.status, r.reward, r.error["boundary"]) for r in played} == {
        ("failed", None, "policy")
    }
    assert "CUDA out of memory" in capsys.readouterr().out
    for reason in ("abort", "error"):
        said = completion("#### 3")
        said["choices"][0]["finish_reason"] = reason

        async def ended(request, said=said):
            body = await request.json()
            first = body["messages"][0]["content"] == "Say OK."
            return JSONResponse(completion("OK") if first else said)

        with Server(
            Starlette(routes=[Route("/v1/chat/completions", ended, methods=["POST"])])
        ) as server:
            _, played = rehearse(
                f"{server.url}/v1", "--model", "tiny", "--mode", "inline", name=reason
            )
        assert {(r.status, r.reward) for r in played} == {("failed", None)}


def test_a_server_of_another_dialect_is_asked_in_it(rehearse, capsys):
    seen = []

    async def chat(request):
        body = await request.json()
        for name, instead in (
            ("max_tokens", "Use 'max_completion_tokens' instead."),
            ("top_p", ""),
        ):
            if name in body:
                said = (
                    f"Unsupported parameter: '{name}' is not supported with this model. {instead}"
                )
                return JSONResponse({"error": {"message": said}}, 400)
        if body["messages"][0]["content"] == "Say OK.":
            return JSONResponse(completion("OK"))
        seen.append(body)
        return JSONResponse(answer_to(body["messages"]))

    with Server(
        Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    ) as server:
        _, played = rehearse(
            f"{server.url}/v1", "--model", "m", "--max-tokens", "77", "--mode", "inline"
        )
    assert [r.reward for r in played] == [1.0] * 4
    assert {body["max_completion_tokens"] for body in seen} == {77}
    assert "top_p is left out of every request" in capsys.readouterr().out


def test_bedrock_is_not_sent_what_is_left_out(converse, rehearse):
    _, played = rehearse("bedrock:small", "--leave-out", "top_p", "--mode", "inline")
    assert [r.reward for r in played] == [1.0] * 4
    assert converse
    assert not any("topP" in body["inferenceConfig"] for body in converse)


def test_tools_of_the_history_stay_described_for_bedrock():
    made = bedrock.request_of(
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": None, "tool_calls": [tool_call("look", {}, "a")]},
                {"role": "tool", "tool_call_id": "a", "content": "x"},
                {"role": "user", "content": "and now?"},
            ],
        }
    )
    assert [t["toolSpec"]["name"] for t in made["toolConfig"]["tools"]] == ["look"]
    answer = {
        "output": {"message": {"content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}, {"text": "42"}]}}
    }  # fmt: skip
    message = bedrock.completion_of(answer, "m")["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm", "42")
