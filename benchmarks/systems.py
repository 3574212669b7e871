"""What other systems' environments cost beside a native one: a turn, and the import.

Run with their packages: ``.tools/environments/bin/python -m benchmarks.systems`` with this folder and
``layers/rollout/python`` on PYTHONPATH.
Prints a row for each: seconds of CPU and ratios to the native environment with as many turns.
"""

from __future__ import annotations

import importlib
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from rollout import agent
from rollout.testing import Script, rehearse, says

REPEATS = 30
SYSTEMS = (
    ("reasoning-gym", "reasoning_gym", "environments.puzzles:puzzles", None),
    ("Gymnasium", "gymnasium", "environments.lake:lake", {"seed": 1}),
    ("TextArena", "textarena", "environments.guess:guess", {"seed": 4}),
    ("verifiers", "verifiers.v1", "environments.capitals:capitals", None),
    ("OpenEnv", "websockets.sync.client", "environments.served:served", {"seed": 9}),
)


def native(turns: int) -> Any:
    """An agent that only samples."""

    @agent
    def play(episode: Any) -> float:
        messages = [{"role": "user", "content": "What now?"}]
        for _ in range(turns):
            messages += [episode.sample(messages).message, {"role": "user", "content": "And now?"}]
        return 1.0

    return play


def per_turn(function: Any, instance: dict[str, Any], script: Script) -> tuple[float, int]:
    """Median milliseconds for each turn, wall, and how many turns there are."""
    rehearse(function, instance, script)
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        result = rehearse(function, instance, script)
        took.append(time.perf_counter() - began)
        if result.status != "ready":
            raise ValueError(result.failure)
    return statistics.median(took) * 1000 / result.turns, result.turns


def imports(module: str) -> float:
    """Seconds of CPU for importing a module in a new process, the least of three."""
    code = f"import time, {module}; print(time.process_time())"
    command = [sys.executable, "-W", "ignore", "-c", code]
    return min(
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )


def server() -> subprocess.Popen[str]:
    """The example's OpenEnv server."""
    command = [sys.executable, "-W", "ignore", "examples/environments/served/server.py"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.environ["OPENENV_URL"] = f"http://127.0.0.1:{process.stdout.readline().strip()}"
    return process


def main() -> None:
    """Measure and print."""
    sys.path.insert(0, "examples")  # before the environments of the project
    process = server()
    base = imports("rollout")
    print(f"| rollout alone | {base:.2f} s | 1 | | |")
    for name, module, path, instance in SYSTEMS:
        place, _, function = path.partition(":")
        play = getattr(importlib.import_module(place), function)
        given = instance or next(iter(play.__rollout_agent__["rows"](1, 0)))
        script = importlib.import_module(f"{place}.scripts").gold
        took, turns = per_turn(play, given, script)
        own, _ = per_turn(native(turns), {}, says("x"))
        load = imports(module)
        print(
            f"| {name} | {load:.2f} s | {load / base:.1f} | {turns} | {took:.2f} ms, {took / own:.1f} |",
            flush=True,
        )
    process.kill()


if __name__ == "__main__":
    main()
