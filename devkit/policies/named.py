"""What a rehearsal plays against, by name: script, server, Bedrock, SageMaker endpoint, probe, one's own.

A policy stands behind the simulated Job Runtime, so turns reach it the way they reach the model that is
trained. Only ``endpoint:`` is asked by the stack itself, through InvokeEndpoint.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from devkit.aws_session import new_session
from devkit.emulator.job_runtime import PolicyFunction, SampleRequest
from devkit.policies import bedrock, openai_server, plugged
from devkit.policies.probes import PROBES, probe
from devkit.policies.scripts import script_of
from devkit.raised import Raised

NAMES = (
    "scripted[:gold|:poor|:NAME], http(s)://HOST/v1, bedrock:MODEL, endpoint:NAME, probe:NAME, "
    "MODULE:NAME"
)


@dataclass(frozen=True)
class ChosenPolicy:
    """A policy that is ready to be asked.

    Args:
        name: as the manifest keeps it.
        sample: answers a turn.
        model: that a server was asked for; empty where there is none to name.
        model_endpoint: SageMaker endpoint the stack samples from, in place of ``sample``.
        scripted: whether it answers at once, so that an inline rollout cannot run out of time.
        environ: what the stack's environment must have for it.
        close: lets go of connections.
        complaints: what its server refused, by text, for the end of a run.
        raised: what a user's own policy raised, for the end of a run.
        plugged: the user's own policy, where that is what was chosen.
    """

    name: str
    sample: PolicyFunction
    model: str = ""
    model_endpoint: str = ""
    scripted: bool = False
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    close: Callable[[], None] = lambda: None
    complaints: Callable[[], Mapping[str, int]] = dict
    raised: Raised = field(default_factory=Raised)
    plugged: Any = None


def choose(
    text: str,
    *,
    agent: str,
    skill: float = 0.75,
    model: str = "",
    seed: int = 0,
    turn: float = 0.0,
    leave_out: Collection[str] = (),
) -> ChosenPolicy:
    """Make a policy ready; a server is asked once whether it is there.

    Args:
        text: see ``NAMES``.
        agent: whose scripts are played.
        skill: share of rollouts that ``scripted`` plays by ``gold``.
        model: that an HTTP server is asked for; if empty, the only one it has.
        seed: of the mix, and of the seeds a server is sent.
        turn: seconds a script takes for a turn.
        leave_out: sampling parameters that an HTTP server or Bedrock is not sent.

    Raises:
        ValueError: saying what is wrong with the name, the server or the credentials.
    """
    kind, _, rest = text.partition(":")
    if kind == "scripted":
        mixed = f"scripted skill={skill:g}"
        name = text if rest else mixed
        return ChosenPolicy(name, scripted(agent, rest, skill, seed, turn), scripted=True)
    if kind in ("http", "https"):
        server = openai_server.connect(
            text, model=model, seed=lambda asked: seed_of(seed, asked), leave_out=leave_out
        )
        return ChosenPolicy(
            text,
            server.sample,
            model=server.model,
            close=server.close,
            complaints=lambda: server.complaints,
        )
    if kind == "bedrock" and rest:
        converse = bedrock.connect(rest, leave_out)
        return ChosenPolicy(
            text, converse.sample, model=rest, complaints=lambda: converse.complaints
        )
    if kind == "endpoint" and rest:
        environ = {"ROLLOUT_ALLOWED_MODEL_ENDPOINTS": rest, **_own_credentials()}
        return ChosenPolicy(text, never_asked, model=model, model_endpoint=rest, environ=environ)
    if kind == "probe":
        if rest not in PROBES:
            raise ValueError(f"there is no probe {rest!r}; use one of {', '.join(PROBES)}")
        return ChosenPolicy(text, probe(rest), scripted=True)
    if plugged.is_named(text):
        own = plugged.PluggedPolicy(text)
        return ChosenPolicy(
            text, own.sample, close=own.close, raised=own.raised, plugged=own.policy
        )
    raise ValueError(f"there is no policy {text!r}; use {NAMES}")


def place_of(trajectory_id: str) -> str:
    """Row and member at the end of a trajectory id: what stays when another run plays the same."""
    return "-".join(trajectory_id.split("-")[-2:])


def seed_of(seed: int, asked: SampleRequest) -> int:
    """The sampling seed of a rollout: 31 bits of the run's seed, the row and the member."""
    digest = hashlib.sha256(f"{seed}/{place_of(asked.trajectory_id)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def scripted(
    agent: str, name: str, skill: float, seed: int = 0, turn: float = 0.0
) -> PolicyFunction:
    """A policy that says what a script says.

    Without a name, an agent's ``gold`` in a share of the rollouts and its ``poor`` in the others; which
    is decided by seed, row and member, so that a rollout keeps to one script.
    """
    first = script_of(agent, name or "gold")
    other = first if name else script_of(agent, "poor")

    def policy(asked: SampleRequest) -> Any:
        if turn:
            time.sleep(turn)
        place = f"{seed}/{place_of(asked.trajectory_id)}"
        good = zlib.crc32(place.encode()) % 1000 < skill * 1000
        return (first if good else other)(asked.instance, asked.messages)

    return policy


def never_asked(asked: SampleRequest) -> Any:
    """The policy of a rollout whose turns go to a hosted endpoint."""
    raise AssertionError(f"{asked.trajectory_id} was to be sampled from the hosted endpoint")


def _own_credentials() -> dict[str, str]:
    """The user's credentials, for the one client of the local stack that talks to AWS.

    Raises:
        ValueError: there are none.
    """
    session = new_session()
    found = session.get_credentials()
    if found is None:
        raise ValueError("there are no AWS credentials; sign in, or set AWS_PROFILE")
    keys = found.get_frozen_credentials()
    region = session.region_name
    if not region:
        raise ValueError("there is no AWS region; set AWS_REGION to the endpoint's")
    return {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **({"AWS_SESSION_TOKEN": keys.token} if keys.token else {}),
        **{k: v for k, v in os.environ.items() if k == "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"},
    }
