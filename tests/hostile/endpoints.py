"""Endpoint URLs crafted against the allow-list; every one of them must be refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.building import ENDPOINT

HOST = ENDPOINT.removeprefix("https://")
_EVIL = "evil.example"

_HOSTS = [
    HOST, HOST.upper(), HOST.title(), HOST + ".", HOST + "..", "." + HOST, HOST.replace(".", ".."),
    HOST.replace("us-west-2", "us-east-1"), HOST.replace("sagemaker", "s\u0430gemaker"),
    HOST.replace("aws", "\uff41ws"), HOST.replace(".", "\u3002"), HOST.replace(".", "\uff0e"),
    HOST.replace(".", "%2e"), HOST.replace("a", "%61"), HOST.replace("k", "\u212a"),
    HOST.replace("s", "\u017f"), HOST.replace("-", "\u2010"), HOST.replace("-", "\u00ad-"),
    HOST + "\u200b", "\ufeff" + HOST, "xn--" + HOST, HOST.replace("aws", "xn--aws-abc"),
    HOST + "." + _EVIL, HOST + "-" + _EVIL, "evil-" + HOST, _EVIL + "." + HOST, HOST.replace(".", "-"),
    "job-runtime.sagemaker.us-west-2.amazonaws.com", "sagemaker.us-west-2.api.aws", "api.aws",
    "job-runtime.gamma.sagemaker.us-west-2.api.aws", HOST.replace(".api.aws", ".api.aws.cn"),
    f"{HOST}\\@{_EVIL}", f"{_EVIL}\\.{HOST}", f"{HOST}@{_EVIL}", f"{_EVIL}#{HOST}", f"{_EVIL}?{HOST}",
    f"{_EVIL}/{HOST}", f"{HOST}%00.{_EVIL}", f"{HOST}\x00.{_EVIL}", f"{HOST}%0d%0a.{_EVIL}",
    f"{HOST}\r\nHost: {_EVIL}", f"{HOST}\n.{_EVIL}", f"{HOST}\t", f"{HOST} ", f" {HOST}", f"{HOST};{_EVIL}",
    f"{HOST},{_EVIL}", f"{HOST}|{_EVIL}", f"[{HOST}]", f"({HOST})", f"{{{HOST}}}", "", ".", "*", "*.api.aws",
    _EVIL, "localhost", "localhost.localdomain", "rebind.evil.example", "127.0.0.1.nip.io", "a" * 300,
    f"{HOST}.{'a' * 255}", "metadata.google.internal", "instance-data", "host.docker.internal",
    # One address in the forms that resolvers and URL parsers know.
    *(
        form
        for address in ((127, 0, 0, 1), (169, 254, 169, 254), (169, 254, 170, 2), (10, 0, 0, 1), (0, 0, 0, 0))
        for form in (
            ".".join(map(str, address)),
            ".".join(map(hex, address)),
            ".".join(f"0{part:o}" for part in address),
            ".".join(f"{part:03d}" for part in address),
            str(int.from_bytes(bytes(address))),
            hex(int.from_bytes(bytes(address))),
            f"0{int.from_bytes(bytes(address)):o}",
            f"{address[0]}.{int.from_bytes(bytes(address[1:]))}",
            f"[::ffff:{'.'.join(map(str, address))}]",
            f"[::ffff:{bytes(address).hex()[:4]}:{bytes(address).hex()[4:]}]",
            f"[64:ff9b::{'.'.join(map(str, address))}]",
        )
    ),
    "[::1]", "[::]", "[fe80::1%25eth0]", "[fd00:ec2::254]", "[::1", "::1]", "[]", "[127.0.0.1]", "127.1", "0",
    "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021",
]  # fmt: skip
_SCHEMES = [
    "https://", "http://", "HTTPS://", "https:", "https:/", "https:///", "//", "", "ftp://", "file://", "gopher://",
    "ws://", "javascript:", "data:", "https:\\\\", "\thttps://", " https://", "ht\ntps://", "http+unix://", "unix://",
]  # fmt: skip
_USERS = ["", "user@", "user:pass@", f"{HOST}@", ":@", "@", "a%40b@", "@@"]
_ENDS = [
    "", "/", "//", "/x", "/../", "/%2e%2e/", "/./", ":443", ":443/", ":80", ":8443", ":0", ":65536", ":-1", ":", ":٤٤٣",
    ":443@" + _EVIL, "?", "?x=1", "#", "#x", "/;x", "\\", "\\@" + _EVIL, "%2f", "\x00", "\r\n", "\n", " ", "\t",
    "/\u202e", "?redirect=https://" + _EVIL, "/sample", "/%00", "\ud800",
]  # fmt: skip


def crafted() -> Iterator[str]:
    """The URLs, each once, in the same order every time; none is the one that is allowed."""
    seen = {ENDPOINT, ENDPOINT + "/"}
    everything = itertools.chain(
        (s + u + HOST + e for s, u, e in itertools.product(_SCHEMES, _USERS, _ENDS)),
        (s + u + h for h, s, u in itertools.product(_HOSTS, _SCHEMES, _USERS[:4])),
        ("https://" + h + e for h, e in itertools.product(_HOSTS, _ENDS)),
    )
    for url in everything:
        if url not in seen:
            seen.add(url)
            yield url
