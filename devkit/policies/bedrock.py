"""A policy on Amazon Bedrock: chat completions to Converse and back.

Source of the shapes: the ``bedrock-runtime`` service model of botocore, operation Converse.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection
from typing import Any, cast

from devkit.aws_session import new_session
from devkit.emulator.job_runtime import SampleRequest
from devkit.emulator.service_model import ServiceError
from devkit.policies.openai_server import Dialect, error_shape

Message = dict[str, Any]
_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


class Converse:
    """Samples turns from one Bedrock model.

    Args:
        client: boto3's ``bedrock-runtime``.
        model: model id, inference profile id or ARN.
        takes: what of a request the model takes.
    """

    def __init__(self, client: Any, model: str, takes: Dialect | None = None) -> None:
        self.complaints: Counter[str] = Counter()
        self._takes = takes or Dialect()
        for name in sorted(self._takes.left_out):
            self.complaints[f"{name} is left out of every request: the model refuses it"] += 1
        self._client = client
        self._model = model

    def sample(self, asked: SampleRequest) -> Any:
        """Sample one turn.

        Raises:
            ServiceError: Bedrock refused or failed.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            body = self._takes.of(asked.body)
            answer = self._client.converse(modelId=self._model, **request_of(body))
        except ClientError as error:
            response: Any = error.response
            status = int(response["ResponseMetadata"]["HTTPStatusCode"])
            said = str(response["Error"].get("Message", ""))
            self.complaints[f"{status}: {said[:200]}"] += 1
            retry_after = 1 if status == 429 else None
            raise ServiceError(error_shape(status), said[:500], retry_after) from None
        except BotoCoreError as error:
            self.complaints[f"{type(error).__name__}: {error}"[:200]] += 1
            raise ServiceError(error_shape(500), "Bedrock did not answer.") from None
        return completion_of(answer, self._model)


def connect(model: str, leave_out: Collection[str] = ()) -> Converse:
    """Find credentials and region, and ask the model once.

    Made before the local stack, which turns the environment's credentials to its own.

    Args:
        leave_out: sampling parameters the model does not take; what it refuses in its first answer is
            left out as well.

    Raises:
        ValueError: there are no credentials or no region, or the model does not answer.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    session = new_session()
    if session.get_credentials() is None:
        raise ValueError("there are no AWS credentials for Bedrock; sign in, or set AWS_PROFILE")
    if not session.region_name:
        raise ValueError("there is no AWS region for Bedrock; set AWS_REGION")
    config = Config(
        read_timeout=300, retries={"total_max_attempts": 1}, max_pool_connections=64
    )  # the stack decides what is tried again
    client = session.client("bedrock-runtime", config=config)
    asked = {
        "messages": [{"role": "user", "content": "Say OK."}],
        "max_tokens": 8,
        "temperature": 0.5,
        "top_p": 0.9,
    }
    known = Dialect(frozenset(leave_out))
    while True:
        try:
            client.converse(modelId=model, **request_of(known.of(asked)))
        except ClientError as error:
            response: Any = error.response
            said = str(response["Error"].get("Message", ""))
            # Bedrock's own names: "`temperature` and `top_p` cannot both be specified for this model".
            learned = known.after(said.replace("topP", "top_p"))
            if learned is None:
                raise ValueError(
                    f"Bedrock refuses model {model!r}: {said}; correct --policy"
                ) from None
            known = learned
        except BotoCoreError as error:
            raise ValueError(f"Bedrock does not answer: {error}") from None
        else:
            return Converse(client, model, known)


def request_of(body: dict[str, Any]) -> dict[str, Any]:
    """A chat-completions request as Converse's parameters, ``modelId`` apart.

    Messages of one side that follow each other become one, for Converse wants the sides to alternate.
    """
    system: list[Message] = []
    messages: list[Message] = []
    for message in body.get("messages", []):
        if message["role"] in ("system", "developer"):
            system += _texts(message)
            continue
        role, blocks = _blocks(message)
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    request: dict[str, Any] = {"messages": messages}
    if system:
        request["system"] = system
    config = _inference(body)
    if config:
        request["inferenceConfig"] = config
    tools = _tools(body)
    if tools:
        request["toolConfig"] = tools
    return request


def completion_of(answer: dict[str, Any], model: str) -> dict[str, Any]:
    """A Converse answer as a chat completion."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Message] = []
    for block in answer["output"]["message"]["content"]:
        if "text" in block:
            texts.append(block["text"])
        elif "reasoningContent" in block:
            thinking: Message = block["reasoningContent"].get("reasoningText") or {}
            thoughts.append(thinking.get("text", ""))
        elif "toolUse" in block:
            used = block["toolUse"]
            function = {"name": used["name"], "arguments": json.dumps(used.get("input") or {})}
            calls.append({"id": used["toolUseId"], "type": "function", "function": function})
    message: Message = {"role": "assistant", "content": "".join(texts) or None}
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    reason = answer.get("stopReason", "end_turn")
    usage = answer.get("usage", {})
    return {
        "id": answer.get("ResponseMetadata", {}).get("RequestId", "converse"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": _REASONS.get(reason, reason)}
        ],
        "usage": {
            "prompt_tokens": usage.get("inputTokens", 0),
            "completion_tokens": usage.get("outputTokens", 0),
            "total_tokens": usage.get("totalTokens", 0),
        },
    }


def _blocks(message: Message) -> tuple[str, list[Message]]:
    if message["role"] == "tool":
        result = {
            "toolUseId": message.get("tool_call_id") or "call",
            "content": _texts(message) or [{"text": "(empty)"}],
        }
        return "user", [{"toolResult": result}]
    blocks = _texts(message)
    calls: list[Message] = message.get("tool_calls") or []
    for call in calls:
        function: Message = call.get("function", {})
        blocks.append(
            {
                "toolUse": {
                    "toolUseId": call.get("id") or "call",
                    "name": function.get("name") or "none",
                    "input": _arguments(function.get("arguments")),
                }
            }
        )
    # A message without any block is refused; an empty text is too.
    return message["role"], blocks or [{"text": "(empty)"}]


def _texts(message: Message) -> list[Message]:
    """The text blocks of a message whose content is a string, a list of parts, or nothing."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"text": content}] if content.strip() else []
    parts: list[Message] = content or []
    return [{"text": part["text"]} for part in parts if part.get("text", "").strip()]


def _arguments(text: Any) -> Any:
    """Tool arguments as the JSON document Converse wants; what the model garbled stays as text."""
    try:
        value: Any = json.loads(text or "{}")
    except ValueError:
        return {"text": text}
    return cast("Message", value) if isinstance(value, dict) else {"value": value}


def _inference(body: dict[str, Any]) -> dict[str, Any]:
    stop = body.get("stop")
    config = {
        "maxTokens": body.get("max_completion_tokens") or body.get("max_tokens"),
        "temperature": body.get("temperature"),
        "topP": body.get("top_p"),
        "stopSequences": [stop] if isinstance(stop, str) else stop,
    }
    return {name: value for name, value in config.items() if value is not None}


def _called(body: dict[str, Any]) -> list[str]:
    """Names of the tools that the conversation has called."""
    names: list[str] = []
    messages: list[Message] = body.get("messages", [])
    for message in messages:
        calls: list[Message] = message.get("tool_calls") or []
        names += [str(call.get("function", {}).get("name") or "none") for call in calls]
    return list(dict.fromkeys(names))


def _tools(body: dict[str, Any]) -> dict[str, Any]:
    """What is offered; where nothing is, what the conversation called, for Converse wants that named."""
    tools: list[Message] = body.get("tools") or []
    choice = body.get("tool_choice", "auto")
    if not tools or choice == "none":
        tools = [{"function": {"name": name}} for name in _called(body)]
        choice = "auto"
    if not tools:
        return {}
    specs: list[Message] = []
    for tool in tools:
        function: Message = tool["function"]
        spec: Message = {
            "name": function["name"],
            "inputSchema": {"json": function.get("parameters") or {"type": "object"}},
        }
        if function.get("description"):  # an empty one is refused
            spec["description"] = function["description"]
        specs.append({"toolSpec": spec})
    config: dict[str, Any] = {"tools": specs}
    if choice == "required":
        config["toolChoice"] = {"any": {}}
    elif isinstance(choice, dict):
        config["toolChoice"] = {"tool": {"name": choice["function"]["name"]}}
    return config
