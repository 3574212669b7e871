"""Who is at fault for an exception: the policy, what stands behind a tool, or the author's code.

A zero that stands for an outage teaches the policy nonsense, and an outage called the policy's mistake
does too. The judgement goes from the exception to what it was raised from (``__cause__``, ``__context__``
unless it was suppressed, the members of a group, urllib3's and urllib's ``reason``); the first that says
something decides:

==========================================  ======================================================
raised                                      is
==========================================  ======================================================
a ``RolloutError``                          what it says
``ToolRefused``, or within ``policy_code``  the policy's doing
a type the tool's author named              what the author said (``@tool(outage=…, refusal=…)``)
an HTTP answer of 429 or 5xx                an outage; any other 4xx is a refusal
a type of the table below                   an outage
anything else                               a refusal in a tool; the author's mistake in an agent
==========================================  ======================================================

Types are known by name, so that no client is imported for this. ``HTTP answer`` means an exception that
carries a status the way httpx, requests, aiohttp, urllib, botocore, openai, anthropic, google.api_core or
elasticsearch do it.
"""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from rollout.errors import AgentRaised, RolloutError, StepRaised, ToolBroken, ToolRefused

Verdict = Literal["outage", "refusal"]
Kinds = type[BaseException] | tuple[type[BaseException], ...]

# What is no Exception and yet no more than the failure of the call that raised it. Others (the durable
# SDK's suspension) are signals that must not be held up.
_ENDS_AN_AGENT = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)

# The network under a file descriptor; other OSErrors (a file that is not there) are answers.
_DOWN = {
    errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.EIO, errno.EMFILE, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.ENFILE,
    errno.ENOBUFS, errno.ENOSPC, errno.ENOTCONN, errno.EPIPE, errno.ETIMEDOUT, errno.ESTALE,
}  # fmt: skip


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# By package and the names of its classes; a subclass counts with its base.
_OUTAGES: dict[str, frozenset[str]] = {
    package: _names(names)
    for package, names in {
        "builtins": "ConnectionError TimeoutError",
        "asyncio": "IncompleteReadError",
        "socket": "gaierror herror",
        "ssl": "SSLError",
        "http": "IncompleteRead BadStatusLine RemoteDisconnected",
        "urllib": "ContentTooShortError",
        "ftplib": "error_temp",
        "smtplib": "SMTPServerDisconnected SMTPConnectError",
        "httpx": "TimeoutException NetworkError RemoteProtocolError ProxyError ConnectError",
        "httpx2": "TimeoutException NetworkError RemoteProtocolError ProxyError ConnectError",
        "httpcore": "TimeoutException NetworkError RemoteProtocolError ProxyError",
        "httpcore2": "TimeoutException NetworkError RemoteProtocolError ProxyError",
        "anyio": "BrokenResourceError EndOfStream BrokenWorkerProcess",
        "requests": "ConnectionError Timeout ChunkedEncodingError",
        "urllib3": "TimeoutError ProtocolError NewConnectionError NameResolutionError ProxyError "
        "SSLError",
        "aiohttp": "ClientConnectionError ClientPayloadError ServerTimeoutError",
        "botocore": "HTTPClientError ConnectionError EndpointConnectionError NoCredentialsError "
        "PartialCredentialsError CredentialRetrievalError TokenRetrievalError IncompleteReadError "
        "ResponseStreamingError",
        "openai": "APIConnectionError RateLimitError InternalServerError",
        "anthropic": "APIConnectionError RateLimitError InternalServerError",
        "psycopg": "InterfaceError PoolTimeout",
        "psycopg_pool": "PoolTimeout PoolClosed TooManyRequests",
        "psycopg2": "InterfaceError",
        "asyncpg": "InterfaceError ConnectionDoesNotExistError PostgresConnectionError",
        "redis": "ConnectionError TimeoutError BusyLoadingError ClusterDownError TryAgainError",
        "pymongo": "ConnectionFailure AutoReconnect ServerSelectionTimeoutError",
        "sqlalchemy": "TimeoutError DisconnectionError",
        "elastic_transport": "ConnectionError ConnectionTimeout",
        "elasticsearch": "ConnectionError ConnectionTimeout",
        "websockets": "ConnectionClosedError",
        "google": "ServerError TooManyRequests RetryError TransportError",
        "aiobotocore": "HTTPClientError",
        "rollout": "ToolBroken",
    }.items()
}
# Of these, what the request itself was wrong about.
_REFUSALS: dict[str, frozenset[str]] = {
    "httpx": _names("UnsupportedProtocol LocalProtocolError InvalidURL"),
    "httpx2": _names("UnsupportedProtocol LocalProtocolError InvalidURL"),
    "requests": _names("InvalidURL InvalidSchema MissingSchema InvalidProxyURL"),
    "urllib3": _names("LocationParseError LocationValueError URLSchemeUnknown"),
    "aiohttp": _names("InvalidURL NonHttpUrlClientError"),
}

# Codes of AWS services that answer with 400: throttled, or our own credentials are at fault.
AWS_OUTAGES = _names(
    "ThrottlingException Throttling ThrottledException RequestThrottled RequestThrottledException "
    "TooManyRequestsException RequestLimitExceeded ProvisionedThroughputExceededException SlowDown "
    "BandwidthLimitExceeded LimitExceededException PriorRequestNotComplete "
    "TransactionInProgressException EC2ThrottledException ServiceUnavailable "
    "ServiceUnavailableException InternalError InternalFailure "
    "InternalServerError RequestTimeout RequestTimeoutException ExpiredToken ExpiredTokenException "
    "InvalidClientTokenId UnrecognizedClientException ModelNotReadyException"
)
# How servers say that a conversation is longer than the model's context: OpenAI and vLLM, SGLang,
# llama.cpp, Ollama, LMDeploy and TGI, Bedrock and Anthropic, Mistral, Gemini.
_CONTEXT = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|max(?:imum)?[ _-]model[ _-]len|(?:prompt|input|messages?)"
    r"[^.]{0,60}(?:too long|too large|exceeds?)[^.]{0,60}(?:tokens?|length|limit|maximum)"
    r"|prompt is too long|input is too long|too many (?:input )?tokens"
    r"|input (?:tokens? )?(?:length|count)[^.]{0,60}exceed"
    r"|exceeds? the (?:maximum|max) (?:number of )?(?:allowed )?(?:input )?(?:tokens|sequence length)"
    r"|reduce the length of the (?:messages|prompt|input)",
    re.IGNORECASE,
)
# gRPC: what the service did, not what it was asked.
_GRPC_OUTAGES = _names(
    "UNAVAILABLE DEADLINE_EXCEEDED RESOURCE_EXHAUSTED INTERNAL ABORTED DATA_LOSS"
)
# SQLSTATE: connection, resources, operator's intervention, system, serialisation; not a statement that
# took too long (57014), which the policy wrote.
_SQLSTATE_OUTAGES = ("08", "53", "57P", "58", "40", "55P03", "XX")
# SQLite's primary result codes: busy, locked, I/O, corrupt, full, cannot open, protocol, not a database.
_SQLITE_OUTAGES = {5, 6, 10, 11, 13, 14, 15, 26}
# MySQL: cannot connect, gone away, lost, too many connections, shutting down, lock wait, deadlock.
_MYSQL_OUTAGES = {1040, 1053, 1203, 1205, 1213, 2002, 2003, 2005, 2006, 2013, 2055, 3169}


@dataclass(frozen=True, slots=True)
class Known:
    """What the author of a tool says about the exceptions it may raise.

    Args:
        outage: mean that what is behind the tool is down.
        refusal: mean that the tool has refused, also where they would read as an outage.
    """

    outage: tuple[type[BaseException], ...] = ()
    refusal: tuple[type[BaseException], ...] = ()


def ends_agent(error: BaseException) -> bool:
    """Whether an exception ends the call that raised it and nothing more."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(ends_agent(each) for each in group.exceptions)
    return isinstance(error, _ENDS_AN_AGENT) or _is(error, "asyncio", "CancelledError")


def types_of(kinds: Kinds) -> tuple[type[BaseException], ...]:
    """One exception type or several, as a tuple."""
    return kinds if isinstance(kinds, tuple) else (kinds,)


NOTHING = Known()


def judge(error: BaseException, known: Known = NOTHING) -> tuple[Verdict, BaseException]:
    """Whether an exception stands for an outage, and which one behind it says so.

    Args:
        error: as it was raised.
        known: what the author says about types of their own.
    """
    for each in behind(error):
        verdict = _of_one(each, known)
        if verdict is not None:
            return verdict, each
    return "refusal", error


def behind(error: BaseException) -> Iterator[BaseException]:
    """An exception and everything it was raised from, the nearest first."""
    found = [error]
    for each in found:  # grows as it is read
        yield each
        inner: list[Any] = [each.__cause__]
        if not each.__suppress_context__:
            inner.append(each.__context__)
        if isinstance(each, BaseExceptionGroup):
            inner += cast("BaseExceptionGroup[BaseException]", each).exceptions
        inner += [getattr(cast("Any", each), name, None) for name in ("reason", "orig")]
        for one in inner:
            if isinstance(one, BaseException) and not any(one is seen for seen in found):
                found.append(one)


def _of_one(error: BaseException, known: Known) -> Verdict | None:
    """The verdict of one exception by itself; None where it says nothing."""
    if isinstance(error, (ToolRefused, *known.refusal)):
        return "refusal"
    if isinstance(error, known.outage):
        return "outage"
    for rule in _RULES:
        verdict = rule(error)
        if verdict is not None:
            return verdict
    if _named(error, _REFUSALS):
        return "refusal"
    return "outage" if _named(error, _OUTAGES) else None


def _named(error: BaseException, table: dict[str, frozenset[str]]) -> bool:
    for kind in type(error).__mro__:
        if kind.__name__ in table.get(kind.__module__.partition(".")[0], ()):
            return True
    return False


def _status(error: BaseException) -> Verdict | None:
    """By the HTTP answer an exception carries."""
    status = next((code for code in _statuses(error) if 400 <= code < 600), None)
    if status is None:
        return None
    return "outage" if status in (408, 425, 429) or status >= 500 else "refusal"


def _statuses(error: BaseException) -> Iterator[int]:
    answer: Any = getattr(error, "response", None)
    package = type(error).__module__.partition(".")[0]
    candidates = [
        getattr(answer, "status_code", None),
        getattr(error, "status_code", None),
        getattr(error, "status", None),
        getattr(error, "code", None) if package in ("urllib", "google") else None,
    ]
    for candidate in candidates:
        value = getattr(candidate, "value", candidate)  # an HTTPStatus, or google's
        if isinstance(value, int) and not isinstance(value, bool):
            yield value


def _aws(error: BaseException) -> Verdict | None:
    """By the code and status of botocore's ClientError."""
    answer: Any = getattr(error, "response", None)
    if not isinstance(answer, dict) or not _is(error, "botocore", "ClientError"):
        return None
    document = cast("dict[str, dict[str, Any]]", answer)
    code = str(document.get("Error", {}).get("Code", ""))
    status: Any = document.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    outage = code in AWS_OUTAGES or status == 429 or (isinstance(status, int) and status >= 500)
    return "outage" if outage else "refusal"


def _grpc(error: BaseException) -> Verdict | None:
    code: Any = getattr(error, "code", None)
    if not _is(error, "grpc", "RpcError") or not callable(code):
        return None
    name = getattr(code(), "name", "")
    return "outage" if name in _GRPC_OUTAGES else "refusal"


def _database(error: BaseException) -> Verdict | None:
    """By SQLSTATE, SQLite's result code or MySQL's number."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return "outage" if isinstance(code, int) and code & 0xFF in _SQLITE_OUTAGES else "refusal"
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str) and state:
        return "outage" if state.startswith(_SQLSTATE_OUTAGES) else "refusal"
    number: Any = getattr(error, "errno", None) or (error.args[:1] or (None,))[0]
    if (
        _is(error, "pymysql", "Error")
        or _is(error, "MySQLdb", "Error")
        or _is(error, "mysql", "Error")
    ):
        return "outage" if number in _MYSQL_OUTAGES else None
    if _is(error, "psycopg", "OperationalError") or _is(error, "psycopg2", "OperationalError"):
        return "outage"  # without a SQLSTATE: there was no server to send one
    return None


def _system(error: BaseException) -> Verdict | None:
    """By the number of an OSError; what clients derive from it is judged by its name."""
    if isinstance(error, OSError) and type(error).__module__ == "builtins":
        return "outage" if error.errno in _DOWN else None
    return None


def _retries(error: BaseException) -> Verdict | None:
    """A client that gave up because of the answers: what it read last stands in the text only."""
    if _is(error, "urllib3", "ResponseError"):
        return "outage" if "error responses" in str(error) else "refusal"
    return None


_RULES: Iterable[Callable[[BaseException], Verdict | None]] = (
    _aws, _grpc, _database, _status, _system, _retries,
)  # fmt: skip


def _is(error: BaseException, package: str, name: str) -> bool:
    return _named(error, {package: frozenset({name})})


def names_context(status: int, said: str) -> bool:
    """Whether a refused request was refused because the conversation is longer than the model reads.

    No status or code of its own tells it apart; servers answer 400 (413, 422) and a sentence.
    """
    return status in (400, 413, 422) and _CONTEXT.search(said[:2_000]) is not None


def of_agent(error: BaseException, name: str) -> RolloutError:
    """What an exception out of an agent's function is: an outage, or the author's mistake.

    Args:
        error: as the agent raised it; a framework may have wrapped what the episode raised.
        name: the agent's.
    """
    ours = _rollout_error(error)
    if ours is not None:
        return ours
    verdict, said = judge(error)
    if verdict == "outage":
        return ToolBroken(
            f"Agent {name} met {type(said).__name__} at {_last_frame(error)}; what it called is down or "
            "slow. If that was code the policy wrote, run it within rollout.tools.policy_code()."
        )
    return AgentRaised(
        f"Agent {name} raised {type(error).__name__} at {_last_frame(error)}. The message is in no log; "
        "rehearse the rollout locally to see it."
    )


def of_step(error: BaseException, name: str) -> RolloutError:
    """What an exception out of the effect of an ``episode.step`` is."""
    verdict, said = judge(error)
    if verdict == "outage":
        return ToolBroken(
            f"The step {name!r} failed with {type(said).__name__}; what it calls is down."
        )
    return StepRaised(f"The step {name!r} raised {type(error).__name__}.")


def _rollout_error(error: BaseException) -> RolloutError | None:
    """The nearest RolloutError behind an exception, also where a framework said ``from None``."""
    found = [error]
    for each in found:  # grows as it is read
        if isinstance(each, RolloutError):
            return each
        inner: list[BaseException | None] = [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            inner += cast("BaseExceptionGroup[BaseException]", each).exceptions
        found += [one for one in inner if one is not None and not any(one is s for s in found)]
    return None


def _last_frame(error: BaseException) -> str:
    import traceback
    from pathlib import Path

    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
