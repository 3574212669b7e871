"""Judges' models behind AWS: Amazon Bedrock, and SageMaker endpoints that speak chat completions.

Source of the shapes: botocore's service models ``bedrock-runtime`` (Converse) and ``sagemaker-runtime``
(InvokeEndpoint). Both use the role's own credentials; which models it may invoke is a parameter of the
stack, ``JudgeModels``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rollout.aws import clients
from rollout.judge import Answer, NoVerdict, Question, chat_answer, chat_request

_TOOL = "verdict"


@dataclass(frozen=True, slots=True)
class Bedrock:
    """A model of Amazon Bedrock, asked by Converse; its verdict is the input of a tool it must call.

    Args:
        model: model id, inference profile id or ARN.
        temperature: None leaves it out, for models that refuse it.
        max_tokens: that the verdict may have.
        region: the function's own if empty.
    """

    model: str
    temperature: float | None = 0.0
    max_tokens: int = 1_000
    region: str = ""

    @property
    def name(self) -> str:
        """``bedrock:`` and the model."""
        return f"bedrock:{self.model}"

    def ask(self, question: Question) -> Answer:
        """Ask once.

        Raises:
            NoVerdict: the model refused, or was cut off.
            ClientError, BotoCoreError: Bedrock did.
        """
        inference: dict[str, Any] = {"maxTokens": self.max_tokens}
        if self.temperature is not None:
            inference["temperature"] = self.temperature
        specification = {
            "name": _TOOL,
            "description": "Give the verdict.",
            "inputSchema": {"json": question.schema},
        }
        region = self.region or clients.own_region()
        bedrock = clients.client(
            "bedrock-runtime", region, read_timeout=question.seconds, attempts=1
        )
        answer = bedrock.converse(
            modelId=self.model,
            system=[{"text": question.system}],
            messages=[{"role": "user", "content": [{"text": question.user}]}],
            inferenceConfig=inference,
            toolConfig={
                "tools": [{"toolSpec": specification}],
                "toolChoice": {"tool": {"name": _TOOL}},
            },
        )
        if answer["stopReason"] not in ("tool_use", "end_turn"):
            raise NoVerdict(f"the answer ended with {answer['stopReason']!r}")
        blocks: list[dict[str, Any]] = answer["output"]["message"]["content"]
        called = [block["toolUse"]["input"] for block in blocks if "toolUse" in block]
        said = called[0] if called else "".join(block.get("text", "") for block in blocks)
        usage = answer.get("usage", {})
        return Answer(said, usage.get("inputTokens", 0), usage.get("outputTokens", 0))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A SageMaker endpoint that takes chat completions.

    Args:
        endpoint: its name.
        model: ``model`` of the request; left out if empty.
        temperature: None leaves it out.
        max_tokens: that the verdict may have.
        region: the function's own if empty.
    """

    endpoint: str
    model: str = ""
    temperature: float | None = 0.0
    max_tokens: int = 1_000
    region: str = ""

    @property
    def name(self) -> str:
        """``endpoint:`` and its name."""
        return f"endpoint:{self.endpoint}"

    def ask(self, question: Question) -> Answer:
        """Ask once.

        Raises:
            NoVerdict: the answer is no chat completion.
            ClientError, BotoCoreError: the endpoint failed.
        """
        region = self.region or clients.own_region()
        runtime = clients.client(
            "sagemaker-runtime", region, read_timeout=question.seconds, attempts=1
        )
        answer = runtime.invoke_endpoint(
            EndpointName=self.endpoint,
            ContentType="application/json",
            Accept="application/json",
            Body=chat_request(
                question, self.model, max_tokens=self.max_tokens, temperature=self.temperature
            ),
        )
        return chat_answer(answer["Body"].read())
