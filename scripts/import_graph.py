"""Which module imports which: printed by folder or by module, or written for Graphviz.

``make graph`` prints the folders, each with those it imports; ``--modules`` goes into them, ``--dot``
writes the same as DOT (``make graph DOT=1 | dot -Tsvg``). tests/unit/test_layers.py holds the directions
to the same graph. Imports inside functions and for types only count like any other.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Where modules are found, and what stands before their names.
SOURCES = {
    "layers/rollout/python/rollout": "rollout",
    "functions/rollout": "handlers",
    "functions/console/console": "console",
    "devkit": "devkit",
}
# The one way up: ``episode.openai()`` makes its client when an agent asks for it.
ON_DEMAND = ("rollout", "rollout.adapters")


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """One module that another imports.

    Args:
        importer, imported: dotted names; a package goes by its own. ``imported`` may be a foreign module.
        deferred: whether it happens inside a function only, or for types only.
    """

    importer: str
    imported: str
    deferred: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """The project's modules and everything they import."""

    modules: frozenset[str]
    imports: frozenset[Import]

    def inside(self) -> set[tuple[str, str]]:
        """Pairs of the project's own modules, importer first."""
        return {(i.importer, i.imported) for i in self.imports if i.imported in self.modules}

    def reached(self, module: str) -> set[str]:
        """Everything a module imports, and what that imports, foreign modules too."""
        following: defaultdict[str, set[str]] = defaultdict(set)
        for one in self.imports:
            following[one.importer].add(one.imported)
        found: set[str] = set()
        left = [module]
        while left:
            for name in following[left.pop()] - found:
                found.add(name)
                left.append(name)
        return found


def folder_of(module: str) -> str:
    """The folder a module stands in, as far as directions are concerned: at most two names.

    A package's own ``__init__`` hands out what the package holds, and ``__main__`` starts it: both stand
    above the folder they are in.
    """
    parts = module.split(".")
    if len(parts) == 1:
        return f"{module}.__init__"
    return ".".join(parts[:2]) if len(parts) > 2 or parts[-1] == "__main__" else parts[0]


def read_graph(root: Path = ROOT, sources: Mapping[str, str] = SOURCES) -> Graph:
    """Read every module under the sources."""
    paths = {
        _name(path, root / source, package): path
        for source, package in sources.items()
        for path in sorted((root / source).rglob("*.py"))
    }
    # A folder that has no __init__.py of its own is named by what is in it.
    folders = {name.rpartition(".")[0] for name in paths}
    modules = frozenset(paths)
    packages = {name for name, path in paths.items() if path.name == "__init__.py"} | folders
    found: set[Import] = set()
    for name, path in paths.items():
        package = name if name in packages else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(), str(path))
        found.update(
            Import(name, imported, deferred)
            for imported, deferred in _imports(tree, package, modules)
            if imported != name
        )
    return Graph(modules, frozenset(found))


def circle(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """The names of one circle of imports; empty where they all go one way."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for importer, imported in pairs:
        sorter.add(importer, imported)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def by_folder(pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Imports between folders that imports between modules come to, without the one on demand."""
    folders = {(folder_of(importer), folder_of(imported)) for importer, imported in pairs}
    return {(a, b) for a, b in folders if a != b} - {ON_DEMAND}


def as_text(pairs: Iterable[tuple[str, str]]) -> str:
    """One line for each importer, those that nobody imports first."""
    following: defaultdict[str, set[str]] = defaultdict(set)
    for importer, imported in pairs:
        following[importer].add(imported)
        following[imported].update()
    order = list(TopologicalSorter(following).static_order())[::-1]
    width = max(map(len, order), default=0)
    return "\n".join(
        f"{name:<{width}}  {' '.join(sorted(following[name]))}".rstrip() for name in order
    )


def as_dot(pairs: Iterable[tuple[str, str]]) -> str:
    """The pairs in Graphviz's language."""
    lines = [f'  "{importer}" -> "{imported}";' for importer, imported in sorted(pairs)]
    return "\n".join(["digraph imports {", "  rankdir=LR; node [shape=box];", *lines, "}"])


def _name(path: Path, source: Path, package: str) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join([package, *(part for part in parts if part != "__init__")])


def _imports(tree: ast.Module, package: str, modules: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """What a module's text imports, the longest dotted name that is a module, and whether deferred."""
    left: list[tuple[ast.AST, bool]] = [(tree, False)]
    while left:
        node, deferred = left.pop()
        for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if for_types or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            deferred = True
        left += [(child, deferred) for child in ast.iter_child_nodes(node)]
        if isinstance(node, ast.Import):
            yield from ((_longest(alias.name, modules), deferred) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            for alias in node.names:
                within = f"{module}.{alias.name}"
                yield (within if within in modules else _longest(module, modules)), deferred
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield _longest(first.value, modules), deferred


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _longest(name: str, modules: frozenset[str]) -> str:
    """The module a dotted name leads to; a foreign one as it is."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        known = ".".join(parts[:end])
        if known in modules:
            return known
    return name


def main() -> int:
    """Print the graph."""
    parser = argparse.ArgumentParser(description="Which module imports which.")
    parser.add_argument("--modules", action="store_true", help="modules instead of folders")
    parser.add_argument("--dot", action="store_true", help="as DOT, for Graphviz")
    given = parser.parse_args()
    inside = read_graph().inside()
    pairs = inside if given.modules else by_folder(inside)
    found = circle(pairs)
    if found:
        sys.stderr.write(f"a circle: {' -> '.join(found)}\n")
        return 1
    sys.stdout.write((as_dot(pairs) if given.dot else as_text(pairs)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
