"""An S3 of the operations the stack uses: buckets, objects put, got, listed and deleted, path-style.

Source: Amazon S3 API reference.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape  # nosec B406 - writes text, parses nothing

Answer = tuple[int, dict[str, str], bytes]

# Headers of a PUT that a GET gives back.
_KEPT = ("content-type", "content-encoding", "cache-control", "content-disposition")
_LONGEST_KEY = 1024
_MOST_LISTED = 1000
_ERRORS = {
    "AccessDenied": (403, "Access Denied"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "BucketAlreadyOwnedByYou": (409, "The bucket is already owned by you."),
    "KeyTooLongError": (400, "Your key is too long"),
    "MethodNotAllowed": (405, "The local store does not know this operation."),
}


@dataclass(frozen=True, slots=True)
class Object:
    """A stored object.

    Args:
        headers: what a GET answers beside the body, lower case.
    """

    body: bytes
    headers: dict[str, str]
    at: float

    @property
    def etag(self) -> str:
        """The MD5 of the body in quotation marks, as S3 gives it for a plain PUT."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


# Called with bucket, key and the object as it is now (None: deleted), while the store is locked.
Watch = Callable[[str, str, Object | None], None]


class S3:
    """Buckets in memory; safe to be used from many threads.

    Args:
        watch: told of every write; a new bucket is a write without a key.
        hides_missing: answer 403 for a missing key, as S3 does where the caller may not list the bucket.
    """

    def __init__(self, watch: Watch | None = None, *, hides_missing: bool = False) -> None:
        self.lock = threading.RLock()
        self.hides_missing = hides_missing
        self._buckets: dict[str, dict[str, Object]] = {}
        self._watch = watch

    def load(self, bucket: str, key: str, kept: Object | None) -> None:
        """Put in place what was written before."""
        objects = self._buckets.setdefault(bucket, {})
        if kept is not None:
            objects[key] = kept

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; a missing one is none the worse."""
        with self.lock:
            if self._buckets.get(bucket, {}).pop(key, None) is not None and self._watch:
                self._watch(bucket, key, None)

    def call(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Answer one request.

        Args:
            path: quoted, ``/bucket/key``.
            headers: with names in lower case.
        """
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        with self.lock:
            objects = self._buckets.get(bucket)
            if objects is None:
                made = method == "PUT" and not key
                return self._create(bucket) if made else _error("NoSuchBucket", method)
            if key:
                return self._object(method, bucket, key, headers, body)
            if method == "PUT":
                return _error("BucketAlreadyOwnedByYou", method)
            if method == "GET":
                return self._list(bucket, objects, query)
        return (200, {}, b"") if method == "HEAD" else _error("MethodNotAllowed", method)

    def _create(self, bucket: str) -> Answer:
        self._buckets[bucket] = {}
        if self._watch:
            self._watch(bucket, "", None)
        return 200, {"Location": f"/{bucket}"}, b""

    def _object(
        self, method: str, bucket: str, key: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        objects = self._buckets[bucket]
        if method == "PUT":
            if len(key.encode()) > _LONGEST_KEY:
                return _error("KeyTooLongError", method)
            kept = {name: value for name, value in headers.items() if _is_kept(name)}
            if kept.get("content-encoding") == "aws-chunked":  # of the transfer, not of the object
                del kept["content-encoding"]
            made = Object(_unchunked(headers, body), kept, time.time())
            objects[key] = made
            if self._watch:
                self._watch(bucket, key, made)
            return 200, {"ETag": made.etag}, b""
        if method == "DELETE":
            self.delete(bucket, key)
            return 204, {}, b""
        if method not in ("GET", "HEAD"):
            return _error("MethodNotAllowed", method)
        found = objects.get(key)
        if found is None:
            return _error("AccessDenied" if self.hides_missing else "NoSuchKey", method)
        answered = {
            "content-type": "binary/octet-stream",
            **found.headers,
            "ETag": found.etag,
            "Last-Modified": formatdate(found.at, usegmt=True),
            "Content-Length": str(len(found.body)),
        }
        return 200, answered, b"" if method == "HEAD" else found.body

    @staticmethod
    def _list(bucket: str, objects: Mapping[str, Object], query: str) -> Answer:
        asked = {
            name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()
        }
        if "location" in asked:
            return 200, {}, b"<LocationConstraint/>"
        prefix, after = asked.get("prefix", ""), asked.get("continuation-token", "")
        most = min(int(asked.get("max-keys", _MOST_LISTED)), _MOST_LISTED)
        keys = sorted(key for key in objects if key.startswith(prefix) and key > after)
        listed = keys[:most]
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key].body)}</Size>"
            f"<ETag>{escape(objects[key].etag)}</ETag></Contents>"
            for key in listed
        )
        truncated, more = len(keys) > len(listed), ""
        if truncated and listed:
            more = f"<NextContinuationToken>{escape(listed[-1])}</NextContinuationToken>"
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>'
            f"<Name>{escape(bucket)}</Name><KeyCount>{len(listed)}</KeyCount>"
            f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{more}{rows}"
            "</ListBucketResult>"
        )
        return 200, {"Content-Type": "application/xml"}, text.encode()


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith("x-amz-meta-")


def _unchunked(headers: Mapping[str, str], body: bytes) -> bytes:
    """The body of a PUT whose transfer is in chunks with a checksum behind them."""
    if "x-amz-decoded-content-length" not in headers:
        return body
    parts: list[bytes] = []
    rest = body
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return b"".join(parts)
        parts.append(rest[:length])
        rest = rest[length + 2 :]


def _error(code: str, method: str) -> Answer:
    status, message = _ERRORS[code]
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
        f"<Message>{message}</Message></Error>"
    )
    return status, {"Content-Type": "application/xml"}, b"" if method == "HEAD" else text.encode()
