"""One variant in a process of its own, told by its parent what to do, line by line.

``python player.py MODULE`` imports a module of ``benchmarks/peers`` and answers each JSON line of
its standard input with one line: ``{"seconds": [...]}`` or what else the command measures. Only the
standard library is imported here, for it runs in every variant's package.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def memory(key: str) -> int:
    """Bytes resident, now (``VmRSS``) or at most so far (``VmHWM``)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(key))


class Context:
    """As much of a Lambda context as the handlers look at."""

    aws_request_id = "bench"
    function_name = "bench"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-west-2:123456789012:function:bench"

    def get_remaining_time_in_millis(self) -> int:
        """Plenty."""
        return 600_000


def handle(module: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Invoke the handler with one event, some times."""
    seconds: list[float] = []
    for _ in range(request["times"]):
        began = time.perf_counter()
        answer = module.handler(request["event"], Context())
        seconds.append(time.perf_counter() - began)
        if answer["statusCode"] != 200:
            raise RuntimeError(f"answered {answer}")
    return {"seconds": seconds}


def call(module: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Call one of the module's functions once for each list of arguments."""
    function = getattr(module, request["function"])
    seconds: list[float] = []
    processor: list[float] = []
    for arguments in request["arguments"]:
        began, computed = time.perf_counter(), time.process_time()
        function(*arguments)
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - computed)
    return {"seconds": seconds, "processor": processor}


def at_once(module: Any, request: dict[str, Any]) -> dict[str, Any]:
    """As :func:`call`, all at once on one pool of threads."""
    function = getattr(module, request["function"])
    arguments = request["arguments"]
    threading.stack_size(512 * 1024)

    def one(given: list[Any]) -> float:
        began = time.perf_counter()
        function(*given)
        return time.perf_counter() - began

    with ThreadPoolExecutor(request["workers"]) as pool:
        began, computed = time.perf_counter(), time.process_time()
        seconds = list(pool.map(one, arguments))
        took, computed = time.perf_counter() - began, time.process_time() - computed
    return {"seconds": seconds, "took": took, "processor": computed, "resident": memory("VmHWM")}


def peak(module: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The most bytes Python objects took during one call, beyond those there before it."""
    import tracemalloc

    function = getattr(module, request["function"])
    gc.collect()
    tracemalloc.start()
    function(*request["arguments"][0])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"bytes": most}


def collect(module: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Collect garbage and tell what is resident."""
    del module, request
    gc.collect()
    return {"resident": memory("VmRSS")}


COMMANDS = {"handle": handle, "call": call, "at_once": at_once, "peak": peak, "collect": collect}


def main() -> None:
    """Obey until the standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a peer prints must not mix with answers
    module = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(COMMANDS[request["do"]](module, request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
