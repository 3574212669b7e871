"""Imports an agent from what was built and nothing else; ``devkit/checks/built.py`` runs it as a program.

It runs with ``-I -S``, so that neither PYTHONPATH nor any site-packages is there: what it imports is the
standard library, the function's folder and the layers, as in Lambda. Prints one line of JSON.
"""

from __future__ import annotations

import ast
import json
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def load(task: str, opt: str, agent: str) -> dict[str, Any]:
    """Why an agent cannot be imported, and which packages are missing, now or when it asks for them.

    Args:
        task: the function's folder, ``/var/task``.
        opt: the layers, one upon the other, ``/opt``.
        agent: ``module:function``.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    # The order of Lambda's runtime for Python.
    sys.path[:0] = [task, f"{opt}/python/lib/python{python}/site-packages", f"{opt}/python"]
    try:
        from rollout.agent import load_agent
        from rollout.errors import AgentUnavailable
    except ImportError as problem:
        return {
            "failed": f"the library itself does not load: {problem}",
            "missing": [problem.name or "?"],
        }
    try:
        load_agent(agent)
    except AgentUnavailable as problem:
        why = problem.__context__
        names = [str(why.name)] if isinstance(why, ModuleNotFoundError) else []
        return {"failed": problem.detail, "missing": names}
    module = sys.modules[agent.partition(":")[0]]
    return {"failed": "", "missing": sorted(_missing(Path(str(module.__file__))))}


def _missing(module: Path) -> set[str]:
    """Packages that are not there and that a module, or one beside it, imports inside a function."""
    files = module.parent.rglob("*.py") if module.name == "__init__.py" else [module]
    wanted = {name for file in files for name in _imported(ast.parse(file.read_bytes()))}
    return {name for name in wanted if name not in sys.modules and find_spec(name) is None}


def _imported(node: ast.AST) -> set[str]:
    """The packages imported by their own names, but for what may be missing or is for types alone."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return set() if node.level or not node.module else {node.module.partition(".")[0]}
    if isinstance(node, ast.Try) or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ):
        return set()
    return {name for inside in ast.iter_child_nodes(node) for name in _imported(inside)}


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):  # what an import prints is no answer
        found = load(*sys.argv[1:])
    sys.stdout.write(json.dumps(found) + "\n")
