"""Servers on loopback that answer as a judge's model would, and remember what they were asked."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


def asked_of(body):
    """Id and transcript of a question, read as a model has to read it; chat completions or Converse."""
    if "response_format" in body:
        system, user = (message["content"] for message in body["messages"])
    else:
        system, user = body["system"][0]["text"], body["messages"][0]["content"][0]["text"]
    identifier = re.search(r'"id": "([0-9a-f]{16})"', system)[1]
    opened, shown, closed = user.split("\n")
    assert opened == f"<transcript-{identifier}>"
    assert closed == f"</transcript-{identifier}>"
    return identifier, json.loads(shown), system


def verdict(identifier, score, *, addressed=False, reason="because"):
    return {"id": identifier, "reason": reason, "addresses_judge": addressed, "score": score}


def completion(said, *, finish="stop"):
    text = said if isinstance(said, str) else json.dumps(said)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
    }
    return {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 20}}


def converse(said, *, stop="tool_use"):
    block = (
        {"text": said}
        if isinstance(said, str)
        else {"toolUse": {"toolUseId": "t", "name": "verdict", "input": said}}
    )
    return {
        "output": {"message": {"role": "assistant", "content": [block]}},
        "stopReason": stop,
        "usage": {"inputTokens": 100, "outputTokens": 20, "totalTokens": 120},
        "metrics": {"latencyMs": 1},
    }  # fmt: skip


@contextmanager
def server(answers):
    """Serve; yields the base URL and the list of (path, headers, body).

    Args:
        answers: takes the body, returns (status, document), or (status, document, headers).
    """
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, dict(self.headers), body))
            status, document, *more = answers(body)
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}", seen
        finally:
            serving.shutdown()
