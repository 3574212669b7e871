"""A rehearsal on disk: ``run.json`` says what was played, ``rollouts.jsonl`` what came of it.

A run is a directory. ``rollouts.jsonl`` has one JSON object a line and rollout, appended and flushed as
each ends, so that a run that was stopped keeps what it has. Messages are OpenAI chat messages;
docs/rehearsal-format.md describes every field for readers that are not this program.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rollout.conversation import last

SCHEMA = 2
MANIFEST, ROLLOUTS = "run.json", "rollouts.jsonl"
# What the detectors found in a run, where they looked.
FAULTS = "faults.json"

Mode = Literal["inline", "durable", "url"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Manifest(_Strict):
    """What a run plays; the same run is gone on with only if all of it is the same."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    name: str = Field(description="Begins every trajectory id")
    agent: str = Field(description="module:function")
    dataset: str
    dataset_sha256: str
    agent_sha256: str = Field(default="", description="Of its source; empty on a deployed stack")
    dependencies_sha256: str = Field(
        default="", description="Of the library's source and the versions of what the agent needs"
    )
    rows: int = Field(description="Rows played, of which each is a group")
    group_size: int
    policy: str = Field(
        description="scripted, http(s)://…, bedrock:MODEL, endpoint:NAME, probe:NAME"
    )
    mode: Mode
    temperature: float | None
    top_p: float | None
    max_tokens: int | None = Field(description="sampling_max_tokens of the job")
    seed: int
    faults: str = ""
    rollout_timeout: float = Field(description="Seconds, of the job")
    started_at: str = Field(description="ISO 8601, UTC")
    chosen: Literal["all", "first", "sample"] = Field(
        default="all", description="Which rows: all, the first, or a sample drawn with the seed"
    )
    model: str = Field(default="", description="Model that the policy's server was asked for")
    url: str = Field(default="", description="The deployed stack, where mode is url")
    latency: float | None = Field(
        default=None, description="Seconds a turn of the policy that is trained, where stated"
    )
    rescored_from: str | None = Field(
        default=None, description="Directory of the run whose replies were scored again"
    )


class TurnRecord(_Strict):
    """One turn: what it added to the conversation, and the policy's answer."""

    messages: list[dict[str, Any]] = Field(description="Messages added since the turn before")
    repeated: int = Field(description="Messages repeated unchanged from the turn before")
    params: dict[str, Any] = Field(description="The rest of the request: tools, temperature, …")
    message: dict[str, Any] = Field(description="The assistant's message")
    finish_reason: str = ""
    usage: dict[str, int] = Field(default_factory=dict[str, int])
    seconds: float | None = Field(default=None, description="How long the policy took")


class RolloutRecord(_Strict):
    """One rollout of a rehearsal."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    trajectory_id: str
    group: int = Field(description="Number of the group, from 0: the row of the dataset")
    member: int = Field(description="Number within the group, from 0")
    instance: dict[str, Any]
    status: Literal["ready", "failed"]
    reward: float | None = Field(description="Sum over turns; null where the rollout failed")
    rewards: list[float] | None = Field(description="As reported: one, or one per turn")
    error: dict[str, str] | None = Field(default=None, description="type, title, boundary, detail")
    http_status: int = Field(description="What the endpoint answered")
    seconds: float = Field(description="From the request to the end, as the trainer waits")
    metrics: dict[str, float] = Field(default_factory=dict[str, float])
    output: Any = None
    turns: list[TurnRecord] = Field(default_factory=list[TurnRecord])
    sampled: int = Field(description="Sampling requests that reached the policy's runtime")
    turns_answered: int = Field(description="Turns that the rollout counted itself")
    reports: list[str] = Field(
        default_factory=list[str], description="Operation and status of each report, in order"
    )

    @property
    def truncated(self) -> bool:
        """Whether any reply was cut off by ``max_tokens``."""
        return any(turn.finish_reason == "length" for turn in self.turns)

    def messages(self) -> list[dict[str, Any]]:
        """The conversation as its last turn left it, the last reply included."""
        asked = last((turn.repeated, turn.messages) for turn in self.turns)
        return [*asked, *(turn.message for turn in self.turns[-1:])]


def read_manifest(run: Path) -> Manifest:
    """The manifest of a run's directory.

    Raises:
        ValueError: there is none, or it is of another schema.
    """
    try:
        manifest = Manifest.model_validate_json((run / MANIFEST).read_bytes())
    except OSError as error:
        raise ValueError(f"{run} is no rehearsal: {error.strerror} ({MANIFEST})") from None
    if manifest.schema_ != SCHEMA:
        raise ValueError(f"{run} is of schema {manifest.schema_}; this program reads {SCHEMA}")
    return manifest


def write_manifest(run: Path, manifest: Manifest) -> None:
    """Write a run's manifest; the directory is made."""
    run.mkdir(parents=True, exist_ok=True)
    (run / MANIFEST).write_text(manifest.model_dump_json(indent=2, by_alias=True) + "\n")


def read_rollouts(run: Path) -> Iterator[RolloutRecord]:
    """The rollouts of a run in the order they ended; a line cut short by a crash is passed over."""
    path = run / ROLLOUTS
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield RolloutRecord.model_validate_json(line)


def append_rollout(run: Path, record: RolloutRecord) -> None:
    """Append one rollout, in one write."""
    with (run / ROLLOUTS).open("ab") as file:
        file.write(record.model_dump_json(by_alias=True).encode() + b"\n")
