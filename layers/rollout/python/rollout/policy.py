"""How a turn is sampled: one method, whatever serves the policy.

The runtimes of AWS are in :mod:`rollout.aws.job_runtime`; a script or a server on a laptop is a policy
as well.
"""

from __future__ import annotations

from typing import Protocol

# A reply of 6 MB that is all brackets takes 150 MB once it is read, and twice that with its
# record; a function has 1 GB.
MAX_REPLY_BYTES = 6_000_000


class Policy(Protocol):
    """The model that is being trained or evaluated."""

    def sample(self, body: bytes, deadline: float) -> bytes:
        """Sample one turn.

        Args:
            body: an OpenAI chat-completions request, UTF-8 JSON.
            deadline: epoch seconds after which no attempt may start.

        Returns:
            The chat completion, UTF-8 JSON.

        Raises:
            SampleFailed: ``captured`` says whether the turn may have been stored.
        """
        ...
