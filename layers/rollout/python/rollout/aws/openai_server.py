"""An OpenAI-compatible server that a request names, as trainers outside SageMaker serve their policy.

Their gateways keep every turn, as the Job Runtime does, so a Sample is sent again only where it
provably reached no model. Redirects are not followed: the key is for the host that
:mod:`rollout.trust` checked. No proxy of the environment is used. With urllib3, which botocore brings.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlsplit

from rollout.aws import clients, secrets_manager
from rollout.aws.sampling import Answer, bounded, refused, unreached, until_sent
from rollout.errors import RolloutError, SampleFailed
from rollout.settings import Settings
from rollout.trust import Destination

# More connections to one host than a process has rollouts in flight.
_POOL = 64
_CONNECT_SECONDS = 5.0
# Bytes of an error's text that are looked at.
_LONGEST_ERROR = 10_000


@dataclass(frozen=True, slots=True)
class OpenAIServer:
    """A policy behind ``BASE_URL/chat/completions``.

    Args:
        base_url: checked.
        key: reads the key; empty where the server wants none.
        timeout: seconds one turn may take.
    """

    base_url: str
    key: Callable[[], str] = field(repr=False)
    timeout: float

    def sample(self, body: bytes, deadline: float) -> bytes:
        return until_sent(lambda: self._send(body), deadline, _failure)

    def _send(self, body: bytes) -> bytes:
        from urllib3 import Timeout

        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := self.key():
            headers["Authorization"] = f"Bearer {key}"
        answer = _pool().request(
            "POST",
            f"{self.base_url}/chat/completions",
            body=body,
            headers=headers,
            timeout=Timeout(connect=_CONNECT_SECONDS, read=self.timeout),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            if answer.status != 200:
                raise _refused(answer)
            data = bounded(answer)
        except BaseException:
            answer.close()
            raise
        answer.release_conn()
        return data


def key_of(destination: Destination, settings: Settings) -> Callable[[], str]:
    """Reads the key of a rollout's server: the operator's secret, or what the request brought."""
    secret = settings.trust.base_url_secret
    if not secret:
        return lambda: destination.api_key
    return lambda: _from_secret(secret, settings.region, urlsplit(destination.base_url).netloc)


def _from_secret(name: str, region: str, host: str) -> str:
    """The key in a secret: its text, or of a JSON object what stands under the host (and port).

    Read once in five minutes.
    """
    try:
        text = secrets_manager.read(name, region)
    except Exception as error:  # noqa: BLE001 - botocore's own and Powertools' around it
        raise SampleFailed(
            f"The key of base_url cannot be read from its secret ({type(error).__name__}).",
            captured="no",
            retry_after=1,
        ) from None
    try:
        keys = json.loads(text or "")
    except ValueError:
        return str(text or "").strip()
    if not isinstance(keys, dict):
        return str(text).strip()
    key = cast("dict[str, Any]", keys).get(host)
    if not isinstance(key, str) or not key:
        raise SampleFailed(f"The secret of base_url has no key for {host}.", captured="no")
    return key


@lru_cache(maxsize=1)
def _pool() -> Any:
    from botocore import httpsession
    from urllib3 import PoolManager

    certificates = cast("Any", httpsession).get_cert_path(True)  # the ones that AWS's clients trust
    return PoolManager(num_pools=16, maxsize=_POOL, ca_certs=certificates)


def _refused(answer: Any) -> RolloutError:
    """What an answer that is no reply means."""
    if 300 <= answer.status < 400:
        return SampleFailed(
            f"base_url answered {answer.status}; redirects are not followed, for the key is for the "
            "host that was named. Name the final URL.",
            captured="no",
        )
    wait = clients.retry_after(
        {"HTTPHeaders": {"retry-after": answer.headers.get("retry-after", "")}}
    )
    said = answer.read(_LONGEST_ERROR).decode("utf-8", "replace")
    return refused(Answer(answer.status, "", said, wait))


def _failure(error: Exception) -> RolloutError:
    from urllib3 import exceptions as http

    if isinstance(error, (http.NewConnectionError, http.ConnectTimeoutError)):
        return unreached(error)  # a name that does not resolve among them
    if isinstance(error, http.LocationValueError) or (
        error.args and isinstance(error.args[0], ssl.SSLCertVerificationError)
    ):
        return SampleFailed(f"The Sample could not be sent: {type(error).__name__}.", captured="no")
    return SampleFailed(
        f"Sampling broke off ({type(error).__name__}); the turn may have been kept by the server, so it "
        "is not sampled again.",
        captured="unknown",
    )
