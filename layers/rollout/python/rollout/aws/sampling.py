"""How a Sample is sent, and what the answers to it mean, wherever it is served."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.backoff import Backoff
from rollout.errors import BadReply, ContextFull, OutOfTime, RolloutError, SampleFailed
from rollout.judgement import AWS_OUTAGES, names_context
from rollout.policy import MAX_REPLY_BYTES

_PAUSES = Backoff(first=0.25, longest=8.0)


def until_sent(
    send: Callable[[], bytes], deadline: float, failure: Callable[[Exception], RolloutError]
) -> bytes:
    """Send a Sample; repeat it, with jitter, while it provably was not captured and may pass.

    Args:
        send: sends it and returns the reply.
        deadline: epoch seconds after which no attempt may start.
        failure: what any other exception than a RolloutError means there.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return send()
        except BadReply:
            raise
        except SampleFailed as error:
            failed: RolloutError = error
        except RolloutError:
            raise
        except Exception as error:  # noqa: BLE001 - also what clients' parsers choke on
            failed = failure(error)
        if not isinstance(failed, SampleFailed) or failed.captured != "no":
            raise failed
        if failed.retry_after is None:
            raise failed
        pause = _PAUSES.pause(attempt, failed.retry_after)
        if time.time() + pause >= deadline:
            raise failed
        time.sleep(pause)
        if time.time() >= deadline:
            raise OutOfTime("No time is left to sample another turn.")


def bounded(body: Any) -> bytes:
    """A reply's bytes.

    Args:
        body: the bytes, or what ``read`` gives them.

    Raises:
        BadReply: it is larger than a reply may be.
    """
    data = body if isinstance(body, bytes) else body.read(MAX_REPLY_BYTES + 1)
    if len(data) > MAX_REPLY_BYTES:
        raise BadReply(f"The policy's reply is larger than {MAX_REPLY_BYTES} bytes.")
    return data


def unreached(error: Exception) -> SampleFailed:
    """The runtime cannot be reached, so nothing was sampled."""
    return SampleFailed(
        f"The policy's runtime cannot be reached ({type(error).__name__}).",
        captured="no",
        retry_after=0,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP error answer.

    Args:
        said: its text; looked at, never kept.
        retry_after: seconds; 0 where it names none.
    """

    status: int
    code: str
    said: str
    retry_after: int

    @property
    def detail(self) -> str:
        """What is told of it."""
        return f"Sample answered {self.status} {self.code}".rstrip() + "."

    @property
    def may_pass(self) -> bool:
        """Whether it may be another answer in a moment."""
        return self.status in (408, 429) or self.status >= 500 or self.code in AWS_OUTAGES


def refused(answer: Answer) -> RolloutError:
    """By status and code; by the text only where nothing else tells a full context."""
    if answer.status == 429:
        return SampleFailed(answer.detail, captured="no", retry_after=answer.retry_after)
    if names_context(answer.status, answer.said):
        return ContextFull(
            "The conversation is longer than the model can read; score what was reached."
        )
    # 4xx: the request was refused before it reached the model. 5xx: nobody can know.
    turned_away = 400 <= answer.status < 500
    return SampleFailed(answer.detail, captured="no" if turned_away else "unknown")
