"""A trainer of agentcore-rl-toolkit: its gateway, sessions and rollout protocol, against a stack of ours.

Runs in .tools/agentcore, where the toolkit is: ``agentcore_trainer.py STACK_URL GATEWAY_PORT COUNT``. Writes
a JSON line for each rollout. Only the model is a stand-in: it says the word that it is asked to say.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

import httpx
from agentcore_rl_toolkit.backends.experimental.sagemaker.rollout import run_one_rollout
from agentcore_rl_toolkit.rollout_gateway import (
    ParsedOutput,
    RolloutGateway,
    ThreadedGatewayServer,
    TurnRecord,
)
from agentcore_rl_toolkit.runtime import AgentCoreHttpClient

ARN = "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/ours"


class Characters:
    """A tokenizer and renderer whose tokens are characters."""

    async def render(self, messages, *, tools=None, add_generation_prompt=True):
        return [ord(c) for c in json.dumps(messages)]

    def get_stop_sequences(self):
        return []

    def parse(self, output_ids, *, tools_schema=None):
        return ParsedOutput("", self.decode(output_ids), [])

    def decode(self, ids, **_):
        return "".join(map(chr, ids))


class Model:
    async def generate(self, *, prompt_ids, sampling_params, session_id=None, **_):
        (word,) = set(re.findall(r"word-\d+-", "".join(map(chr, prompt_ids))))
        output = [ord(c) for c in word]
        return TurnRecord(
            prompt_ids=prompt_ids, output_ids=output, finish_reason="stop",
            output_log_probs=[-0.5] * len(output),
        )  # fmt: skip


class Body:
    def __init__(self, data):
        self.data = data

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def read(self):
        return self.data


class Stack:
    """The two calls of bedrock-agentcore that a session makes, carried to POST /rollout."""

    def __init__(self, url):
        self.http = httpx.AsyncClient(base_url=url, timeout=60)

    async def invoke_agent_runtime(self, *, payload, **_):
        answer = await self.http.post("/rollout", content=payload)
        return {"statusCode": answer.status_code, "response": Body(answer.content)}

    async def stop_runtime_session(self, **_):
        pass


async def main(url, port, count):
    tokenizer = Characters()
    gateway = RolloutGateway(backend=Model(), renderer=tokenizer, tokenizer=tokenizer)
    server = ThreadedGatewayServer(gateway, host="127.0.0.1", port=port)
    server.start()
    stack = Stack(url)

    async def opened():
        return stack

    client = AgentCoreHttpClient(ARN, aws_client=opened)
    try:
        played = [
            run_one_rollout(
                client=client, gateway=gateway, payload={"word": f"word-{n}-"},
                base_url=server.base_url, model_id="m", max_rollout_time=60,
                sampling_defaults={}, max_context_tokens=100_000,
            )
            for n in range(count)
        ]  # fmt: skip
        for n, (records, reward, result) in enumerate(await asyncio.gather(*played)):
            said = [r.response for r in records]
            line = {"n": n, "reward": reward, "said": said, "result": result}
            sys.stdout.write(f"{json.dumps(line)}\n")
    finally:
        server.shutdown()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
