"""Whether the agent loads from what was built, with exactly the folders that Lambda will have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devkit.checks.check_result import CheckResult, error, ok, some, unchecked, warning
from devkit.emulator.sam_templates import ARCHITECTURE
from devkit.emulator.template import read_template
from devkit.places import repository

# The function that plays; those that only report have the same layers.
_FUNCTION = "WorkerFunction"
_RUNTIME = (3, 13)
_SECONDS = 60
_BUILD = f"rollout build --architecture {ARCHITECTURE}"
_ADD = f"Name it in environments/requirements.in; rollout lock; {_BUILD}."
# What beside modules lies in a folder of packages.
_ASIDE = (".dist-info", ".egg-info", "__pycache__", "bin")


@dataclass(frozen=True)
class Built:
    """What was built, and the agent it is to play.

    Args:
        place: the folder that ``sam build`` left, for this machine's architecture.
        agent: ``module:function``.
    """

    place: Path
    agent: str


def loads(built: Built) -> Iterator[CheckResult]:
    """The agent is imported from the function's folder and its layers, and finds all it names."""
    if not (built.place / "template.yaml").is_file():
        text = (
            "Nothing is built for this machine, so nobody knows whether the agent loads in Lambda."
        )
        yield unchecked("built", text, "Run rollout build for its architecture, and check again.")
        return
    python = _python()
    if python is None:
        text = "There is no Python 3.13, Lambda's, to import the agent with."
        yield unchecked("built", text, "Install it so that python3.13 is on PATH.")
        return
    layers = _layers(built.place)
    yield from _changed(layers)
    hidden = list(_hidden(built.place / _FUNCTION, layers))
    if hidden:
        text = f"In Lambda {some(hidden)}."
        yield error("built-shadowed", text, "Use another package, or give yours another name.")
    found = _imported(python, built, layers)
    missing = some(found["missing"])
    if found["failed"]:
        check, mend = ("built-missing", _ADD) if missing else ("built", f"Correct it; {_BUILD}.")
        yield error(check, f"From what was built: {found['failed']}", mend)
    elif missing:
        text = f"The agent loads, but imports {missing} when it plays, and that is not built."
        yield warning("built-missing", text, _ADD)
    elif not hidden:
        yield ok("built", "The agent loads from what was built.", ARCHITECTURE)


def _python() -> str | None:
    return sys.executable if sys.version_info[:2] == _RUNTIME else shutil.which("python3.13")


def _layers(place: Path) -> list[Path]:
    """The built layers of the function, in the order in which Lambda unpacks them."""
    template = read_template(place / "template.yaml")
    holds = {"OnArm": ARCHITECTURE == "arm64", "HasOtel": False}
    found: list[Path] = []
    for layer in template["Resources"][_FUNCTION]["Properties"]["Layers"]:
        chosen = layer
        if "Fn::If" in layer:
            condition, then, otherwise = layer["Fn::If"]
            chosen = then if holds[condition] else otherwise
        found.append(place / chosen["Ref"])
    return [layer for layer in found if layer.is_dir()]  # one without code is not built


def _imported(python: str, built: Built, layers: list[Path]) -> dict[str, Any]:
    """What ``as_in_lambda`` says of the agent."""
    with tempfile.TemporaryDirectory() as folder:
        opt, task = Path(folder).resolve() / "opt", (built.place / _FUNCTION).resolve()
        opt.mkdir()
        for layer in layers:
            _unpack(layer, opt)
        program = Path(__file__).with_name("as_in_lambda.py")
        # -I and -S leave neither PYTHONPATH nor site-packages; nothing of this shell is passed on.
        command = [python, "-I", "-S", "-B", str(program), str(task), str(opt), built.agent]
        environ = {"PATH": os.environ.get("PATH", ""), "LAMBDA_TASK_ROOT": str(task)}
        try:
            done = subprocess.run(  # noqa: S603 - the user's own agent
                command, cwd=task, env=environ, timeout=_SECONDS,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"failed": f"importing it took longer than {_SECONDS} s.", "missing": []}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        return {"failed": f"Python ended with {done.returncode}: {last}", "missing": []}
    said = done.stdout.replace(str(opt), "/opt").replace(str(task), "/var/task")
    return json.loads(said.splitlines()[-1])


def _unpack(source: Path, place: Path) -> None:
    """Lay a layer upon those before it, by links: of a file that comes twice, the last one stands."""
    if not (source.is_dir() and place.is_dir()):
        place.unlink(missing_ok=True)
        place.symlink_to(source.resolve())
        return
    if place.is_symlink():  # a folder of a layer before, which must stay as it is
        below = place.resolve()
        place.unlink()
        place.mkdir()
        for entry in below.iterdir():
            (place / entry.name).symlink_to(entry)
    for entry in source.iterdir():
        _unpack(entry, place / entry.name)


def _hidden(task: Path, layers: list[Path]) -> Iterator[str]:
    """What is not the module one would think, because another of its name comes first."""
    above = {path.stem for path in task.iterdir()}
    before: dict[str, list[Path]] = {}
    for layer in layers:
        for entry in sorted(_entries(layer)):
            name = entry.name.partition(".")[0]
            under = next((old for old in before.get(name, ()) if _share(entry, old)), None)
            if under is not None:
                yield f"{name} of {layer.name} stands over that of {under.parents[1].name}"
            elif name in above:
                yield f"{name} of {layer.name} is hidden by the function's own"
            elif name in sys.stdlib_module_names:
                yield f"{name} of {layer.name} stands before the standard library's"
            before.setdefault(name, []).append(entry)


def _entries(layer: Path) -> list[Path]:
    """The modules and packages of a layer."""
    return [path for path in (layer / "python").iterdir() if not path.name.endswith(_ASIDE)]


def _share(one: Path, other: Path) -> bool:
    """Whether two packages of one name have a file in common; else they are parts of one namespace."""
    if one.is_dir() and other.is_dir():
        return bool(set(_files(one)) & set(_files(other)))
    return one.name == other.name


def _changed(layers: list[Path]) -> Iterator[CheckResult]:
    """What was built is what is there now."""
    ours = next(layer for layer in layers if layer.name.startswith("Environments"))
    folder = ours / "python" / "environments"
    for file in sorted(_files(folder)):
        now = repository() / "environments" / file
        if not now.is_file() or now.read_bytes() != (folder / file).read_bytes():
            text = f"environments/{file} has changed since the build."
            yield warning("built-old", text, f"{_BUILD}.")
            return


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder)


CHECKS: tuple[Callable[[Built], Iterator[CheckResult]], ...] = (loads,)
