"""Runs in the clients' environment: each client meets a refused, silent and overloaded server on loopback.

Prints one JSON object: verdicts by client and server.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from rollout.judgement import judge

BODY = b'{"error": "down"}'


def serve(answer):
    """A server that reads and then answers, or says nothing; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def one(connection):
        with connection:
            try:
                if answer is None:
                    connection.settimeout(5)
                    while connection.recv(65536):
                        pass
                elif connection.recv(65536):
                    connection.sendall(answer)
            except OSError:
                pass

    def accept():
        while True:
            threading.Thread(target=one, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listening.getsockname()[1]


def http(status, reason):
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
    return head.encode() + BODY


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def with_httpx(url):
    import httpx

    httpx.get(url, timeout=0.4).raise_for_status()


def with_requests(url):
    import requests

    requests.get(url, timeout=0.4).raise_for_status()


def with_requests_retrying(url):
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    session = requests.Session()
    session.mount(
        "http://", HTTPAdapter(max_retries=Retry(1, status_forcelist=[429, 503], backoff_factor=0))
    )
    session.get(url, timeout=0.4).raise_for_status()


def with_urllib(url):
    with urllib.request.urlopen(url, timeout=0.4):
        pass


def with_urllib3(url):
    import urllib3

    answer = urllib3.PoolManager(retries=urllib3.Retry(1, status_forcelist=[429, 503])).request(
        "GET", url, timeout=0.4
    )
    if answer.status >= 400:
        raise LookupError(answer.status)


def with_aiohttp(url):
    import aiohttp

    async def get():
        timeout = aiohttp.ClientTimeout(total=0.4)
        session = aiohttp.ClientSession(timeout=timeout, raise_for_status=True)
        async with session, session.get(url) as answer:
            await answer.read()

    asyncio.run(get())


def with_boto3(url):
    import boto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, read_timeout=0.4, connect_timeout=0.4)
    client = boto3.client(
        "s3", region_name="us-west-2", endpoint_url=url, config=config,
        aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip
    client.get_object(Bucket="b", Key="k")


def with_openai(url):
    import openai

    client = openai.OpenAI(api_key="x", base_url=url, max_retries=0, timeout=0.4)
    client.chat.completions.create(model="m", messages=[])


def port_of(url):
    return int(url.split("//", 1)[1].rstrip("/").rpartition(":")[2])


def host_of(url):
    return url.split("//", 1)[1].rpartition(":")[0]


def with_redis(url):
    import redis

    redis.Redis(
        host_of(url), port_of(url), socket_timeout=0.4, socket_connect_timeout=0.4, retry=None
    ).ping()


def with_psycopg(url):
    import psycopg

    psycopg.connect(host=host_of(url), port=port_of(url), user="u", connect_timeout=2)


def with_asyncpg(url):
    import asyncpg

    asyncio.run(
        asyncpg.connect(host=host_of(url), port=port_of(url), user="u", timeout=0.5, ssl=False)
    )


def with_pymongo(url):
    import pymongo

    with pymongo.MongoClient(host_of(url), port_of(url), serverSelectionTimeoutMS=400) as client:
        client.admin.command("ping")


def with_grpc(url):
    import grpc

    with grpc.insecure_channel(f"{host_of(url)}:{port_of(url)}") as channel:
        channel.unary_unary("/a/b")(b"", timeout=0.5)


HTTP = [
    with_httpx,
    with_requests,
    with_requests_retrying,
    with_urllib,
    with_urllib3,
    with_aiohttp,
    with_boto3,
    with_openai,
]
OTHERS = [with_redis, with_psycopg, with_asyncpg, with_pymongo, with_grpc]


def verdict(client, url):
    try:
        client(url)
    except Exception as error:  # noqa: BLE001 - what it is, is what is asked
        found, said = judge(error)
        return [found, f"{type(error).__module__}.{type(error).__name__}", type(said).__name__]
    return ["none", "", ""]


def main():
    places = {
        "refused": f"http://127.0.0.1:{free_port()}",
        "silent": f"http://127.0.0.1:{serve(None)}",
        "no name": "http://nobody.invalid:80",
    }
    answers = {"503": (503, "Unavailable"), "429": (429, "Too Many"), "404": (404, "Not Found")}
    answered = {
        name: f"http://127.0.0.1:{serve(http(*answer))}" for name, answer in answers.items()
    }
    cut = f"http://127.0.0.1:{serve(http(200, 'OK')[:-5])}"
    found = {}
    pool = ThreadPoolExecutor(16)
    for client in [*HTTP, *OTHERS]:
        urls = {**places, **(answered if client in HTTP else {})}
        if client in (with_httpx, with_requests, with_aiohttp):
            urls["cut off"] = cut
        found[client.__name__.removeprefix("with_")] = {
            name: pool.submit(verdict, client, url) for name, url in urls.items()
        }
    outcomes = {
        client: {name: f.result() for name, f in known.items()} for client, known in found.items()
    }
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main()
