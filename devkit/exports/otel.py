"""A rehearsal's rollouts as OpenTelemetry traces, in OTLP's JSON.

One trace a rollout, its turns within, named and described as the stack's own spans are
(``rollout.telemetry.traces``, GenAI semantic conventions 1.41), and as free of content. One
``TracesData`` a line: what a collector's file receiver reads, and what ``/v1/traces`` takes. No package
is needed to write it.

A rehearsal knows how long a turn took, not when: every rollout begins where the run did, and its turns
are laid one after the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from devkit.rehearsal.run_files import Manifest, RolloutRecord, read_manifest, read_rollouts

_INTERNAL, _CLIENT, _ERROR = 1, 3, 2
_SECOND = 1_000_000_000


def write(run: Path, out: Path) -> str:
    """Write the traces of a run; where, and how many.

    Raises:
        ValueError: the directory holds no run.
    """
    manifest = read_manifest(run)
    count = 0
    with out.open("w", encoding="utf-8") as file:
        for record in read_rollouts(run):
            json.dump(traces_of(record, manifest), file, ensure_ascii=False)
            file.write("\n")
            count += 1
    return f"{count} traces in {out}"


def traces_of(record: RolloutRecord, manifest: Manifest) -> dict[str, Any]:
    """One rollout as ``TracesData`` of OTLP."""
    resource = {"service.name": "rollout-rehearsal", "rollout.run": manifest.name}
    scope = {"scope": {"name": "rollout"}, "spans": list(_spans(record, manifest))}
    return {
        "resourceSpans": [
            {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope]}
        ]
    }


def _spans(record: RolloutRecord, manifest: Manifest) -> Iterator[dict[str, Any]]:
    trace = _identifier(record.trajectory_id, 16)
    root = _identifier(f"{record.trajectory_id} rollout", 8)
    provider = _provider(manifest.policy)
    begin = int(datetime.fromisoformat(manifest.started_at).timestamp() * _SECOND)
    usage = [turn.usage for turn in record.turns]
    about: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": manifest.agent,
        "gen_ai.provider.name": provider,
        "gen_ai.conversation.id": record.trajectory_id,
        "rollout.group": str(record.group),
        "rollout.status": record.status,
        "rollout.turns": len(record.turns),
        "gen_ai.usage.input_tokens": sum(each.get("prompt_tokens", 0) for each in usage),
        "gen_ai.usage.output_tokens": sum(each.get("completion_tokens", 0) for each in usage),
    }
    if record.reward is not None:
        about["rollout.reward"] = record.reward
    about |= {f"rollout.metrics.{name}": value for name, value in record.metrics.items()}
    whole = _span(trace, root, f"invoke_agent {manifest.agent}", _INTERNAL, about)
    whole |= _times(begin, record.seconds)
    if record.error:
        kind = record.error.get("slug") or record.error.get("type", "unknown").rpartition(":")[2]
        whole["attributes"] += _attributes({"error.type": kind})
        whole["status"] = {"code": _ERROR}
    yield whole
    for number, turn in enumerate(record.turns):
        params = {
            f"gen_ai.request.{name}": turn.params[name]
            for name in ("model", "temperature", "top_p", "max_tokens", "seed")
            if turn.params.get(name) is not None
        }
        model = str(turn.params.get("model", ""))
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            **params,
            "gen_ai.usage.input_tokens": turn.usage.get("prompt_tokens", 0),
            "gen_ai.usage.output_tokens": turn.usage.get("completion_tokens", 0),
            "gen_ai.response.finish_reasons": [turn.finish_reason],
        }
        place = _identifier(f"{record.trajectory_id} turn {number}", 8)
        span = _span(trace, place, f"chat {model}".strip(), _CLIENT, attributes)
        yield {**span, "parentSpanId": root, **_times(begin, turn.seconds or 0.0)}
        begin += int((turn.seconds or 0.0) * _SECOND)


def _span(
    trace: str, identifier: str, name: str, kind: int, attributes: dict[str, Any]
) -> dict[str, Any]:
    known = _attributes(attributes)
    return {"traceId": trace, "spanId": identifier, "name": name, "kind": kind, "attributes": known}


def _times(begin: int, seconds: float) -> dict[str, str]:
    """OTLP writes 64-bit numbers as text."""
    return {
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + int(seconds * _SECOND)),
    }


def _attributes(known: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in known.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        items = [str(item) for item in cast("list[Any]", value)]
        return {"arrayValue": {"values": [{"stringValue": item} for item in items]}}
    return {"stringValue": str(value)}


def _provider(policy: str) -> str:
    """The convention's names for who serves a model."""
    if policy.startswith("bedrock:"):
        return "aws.bedrock"
    return "aws.sagemaker" if policy.startswith("endpoint:") else policy.partition("?")[0]


def _identifier(text: str, size: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[: 2 * size]
