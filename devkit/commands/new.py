"""``rollout new NAME``: a working environment with its scripts, dataset and test, to be changed."""

from __future__ import annotations

import argparse
import builtins
import keyword
import re
from typing import Any

from rich.console import Console
from rich.markup import escape

from devkit.places import ROOT, repository

_AGENT = '''"""{title}.

An instance has ``question`` and ``answer``. The reward is 1.0 for the right answer, else 0.0.
"""

from __future__ import annotations

from rollout import Episode, agent

SYSTEM = "Answer with the result alone."


@agent
def {name}(episode: Episode) -> float:
    """Answer a question; 1.0 if the answer is right."""
    reply = episode.converse(episode.instance["question"], system=SYSTEM)
    return float(reply.text.strip() == episode.instance["answer"])
'''
_SCRIPTS = '''"""What a perfect and a poor policy would say, and the proof of their order."""

from __future__ import annotations

from typing import Any

from environments.{name} import {name}
from rollout.testing import check_grades, check_order, says


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Knows the answer."""
    del messages
    return {{"content": instance["answer"]}}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Does not know."""
    del instance, messages
    return {{"content": "I do not know"}}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that gold earns 1.0 and poor less, and that the reward means what it says.

    Raises:
        ValueError: it does not hold for this instance.
    """
    answer = instance["answer"]
    # The same answer in other words must earn as much, and what only looks like it less. Add what a
    # policy may find: another form, half of the work, the right end by forbidden means.
    check_grades(
        {name},
        instance,
        equal=[
            ("white space", says(f" {{answer}}\\n")),
            ("thought first", says(f"<think>no, not {{answer}}0</think>{{answer}}")),
        ],
        less=[
            ("thought alone", says(f"<think>{{answer}}</think>")),
            ("one of many", says(f"{{answer}} or {{answer}}0")),
            ("nothing", says("")),
        ],
    )
    return check_order({name}, instance, [("gold", gold), ("poor", poor)])
'''
_TEST = """from __future__ import annotations

import argparse
from pathlib import Path

from devkit.rehearsal.play import read_rows
from environments.{name} import scripts


def test_the_reward_is_in_order_on_every_row():
    for row in read_rows(Path(__file__).with_name("dataset.jsonl"), 1_000):
        assert scripts.validate(row)[0] == 1.0
"""
_ROWS = """\
{"prompt": "{\\"question\\": \\"2 + 3 = ?\\", \\"answer\\": \\"5\\"}"}
{"prompt": "{\\"question\\": \\"7 * 6 = ?\\", \\"answer\\": \\"42\\"}"}
"""


_PATTERN = re.compile("[a-z][a-z0-9_]*")
# What the tree, the generated files or the layer's build use for something else.
_RESERVED = {
    "agent", "annotations", "api", "check_grades", "check_order", "closer", "conftest",
    "console", "dataset", "devkit", "environments", "episode", "gold", "job", "poor", "problems",
    "requirements", "rollout", "says", "scripts", "sweep", "test", "tests", "tool", "tools",
    "validate", "worker",
}  # fmt: skip
_STAYING = ("test_", "dataset")  # a file that begins so never ships


def register(commands: Any) -> None:
    """Add ``new`` to the command line."""
    new = commands.add_parser("new", help="write an environment: agent, scripts, dataset and test")
    new.add_argument("name", help="of the environment: a-z, 0-9 and _")
    new.set_defaults(command=_new)


def _new(options: argparse.Namespace, console: Console) -> int:
    return new_environment(options.name, console)


def new_environment(name: str, console: Console) -> int:
    """Write the four files of an environment; nothing is written over. Returns the exit code."""
    root = repository()
    wrong = fault_of(name)
    folder = root / "environments" / name
    if wrong is None and folder.exists():
        wrong = f"{folder} exists already"
    if wrong is not None:
        console.print(f"[red]{escape(wrong)};[/red] choose another name.", soft_wrap=True)
        return 2
    title = name.replace("_", " ").capitalize()
    folder.mkdir()
    for path, text in (
        (folder / "__init__.py", _AGENT.format(name=name, title=title)),
        (folder / "scripts.py", _SCRIPTS.format(name=name)),
        (folder / "dataset.jsonl", _ROWS),
        (folder / f"test_{name}.py", _TEST.format(name=name)),
    ):
        path.write_text(text)
        console.print(f"wrote {path.relative_to(root)}", highlight=False)
    run = "make run AGENT=" if root == ROOT else "rollout run --agent "
    console.print(f"Next: {run}environments.{name}:{name}", highlight=False, soft_wrap=True)
    return 0


def fault_of(name: str) -> str | None:
    """Why an environment cannot have a name; None if it can."""
    if not _PATTERN.fullmatch(name):
        return f"{name!r} is no name for an environment: use a-z, 0-9 and _, a letter first"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return f"{name!r} is a word of Python's"
    if hasattr(builtins, name):
        return f"{name!r} is built into Python, and an agent of that name would hide it"
    if name in _RESERVED or name.startswith(_STAYING):
        return f"{name!r} has a meaning of its own in this tree"
    return None
