"""What an agent is, as hashes: its own source, and what that depends on.

Rewards of two versions are never mixed: a run, and a stack that keeps its state, remember which version
they belong to.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from devkit.places import ROOT

# Files beside an agent that are no part of it: rows are hashed by themselves, tests are not played.
_LEFT_OUT = ("dataset.jsonl", "__pycache__", "README.md")
_LIBRARY = ROOT / "layers/rollout/python/rollout"


@dataclass(frozen=True, slots=True)
class Version:
    """The version of an agent that is played.

    Args:
        agent_sha256: of the agent's source: its folder or file, and the modules of its own that it
            imports, wherever they lie outside of installed packages.
        dependencies_sha256: of the rollout library's source, and of name and version of each installed
            package that the agent needs.
    """

    agent_sha256: str
    dependencies_sha256: str


def version_of(agent: str) -> Version:
    """The version of an agent as it is now on disk.

    Args:
        agent: ``module:function``, which can be imported.
    """
    module = agent.partition(":")[0]
    files, imported = _sources(module)
    own = _digest(sorted((_name(path), path.read_bytes()) for path in files))
    library = sorted(
        (path.relative_to(_LIBRARY).as_posix(), path.read_bytes())
        for path in _LIBRARY.rglob("*.py")
    )
    packages = [(name, version.encode()) for name, version in _needed(imported)]
    return Version(own, _digest([*library, *packages]))


def _sources(module: str) -> tuple[set[Path], set[str]]:
    """The files of an agent, and the names of what it imports from installed packages."""
    files: set[Path] = set()
    outside: set[str] = set()
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _own_file(name)
        if path is None:  # an installed package, or a name within a module of the agent's own
            if _own_file(name.partition(".")[0]) is None:
                outside.add(name.partition(".")[0])
            continue
        found = {path}
        if path.name == "__init__.py" and name == module:
            found |= set(_beside(path.parent))
        files |= found
        for source in found:
            if source.suffix == ".py":
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                waiting += _imports(source, package)
    return files, outside


def _beside(folder: Path) -> Iterator[Path]:
    """What lies in an agent's folder and is part of it: code and the data that it reads."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and not any(
            part in _LEFT_OUT or part.startswith((".", "test_")) for part in inside
        ):
            yield path


def _own_file(name: str) -> Path | None:
    """The file of a module that is neither installed, nor Python's, nor the rollout library's.

    Nothing is imported: what stands below a package is looked for in its folder.
    """
    top, *rest = name.split(".")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None or not found.has_location:
        return None
    path = Path(found.origin).resolve()
    inside_of = (_python(), _LIBRARY)
    if "site-packages" in path.parts or any(path.is_relative_to(each) for each in inside_of):
        return None
    for part in rest:
        inside = (path.with_name(part) / "__init__.py", path.with_name(f"{part}.py"))
        here = next((each for each in inside if each.is_file()), None)
        if here is None or path.name != "__init__.py":
            return None
        path = here
    return path


@cache
def _python() -> Path:
    return Path(ast.__file__).resolve().parent


def _imports(source: Path, package: str) -> Iterator[str]:
    """The modules that a file imports, as absolute names."""
    try:
        tree = ast.parse(source.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _needed(modules: Iterable[str]) -> list[tuple[str, str]]:
    """Name and version of the installed packages behind modules, and of all that these need."""
    installed = set(modules) - sys.stdlib_module_names - {_LIBRARY.name}
    if not installed:
        return []
    providers = _providers()
    waiting = [name for module in installed for name in providers.get(module, [])]
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform, or an extra that is not installed
        found[name] = package.version
        waiting += [_required(text) for text in package.requires or [] if "extra ==" not in text]
    return sorted(found.items())


@cache
def _providers() -> Mapping[str, list[str]]:
    """The installed packages by the modules that they bring; reading them all takes a second."""
    return metadata.packages_distributions()


def _required(text: str) -> str:
    """The name at the beginning of a requirement."""
    return re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0]


def _name(path: Path) -> str:
    """How a file is named in the hash: not by where the repository lies."""
    return "/".join(path.parts[-3:])


def _digest(parts: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, content in parts:
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
