"""``rollout new NAME``: a working agent with its dataset and test, to be changed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]

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
from rollout.testing import check_order


def gold(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Knows the answer."""
    del messages
    return {{"content": instance["answer"]}}


def poor(instance: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Does not know."""
    del instance, messages
    return {{"content": "I do not know"}}


def validate(instance: dict[str, Any]) -> list[float]:
    """Prove that gold earns 1.0 and poor less.

    Raises:
        ValueError: the order does not hold for this instance.
    """
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


def register(commands: Any) -> None:
    """Add ``new`` to the command line."""
    new = commands.add_parser("new", help="write an environment: agent, scripts, dataset and test")
    new.add_argument("name", help="of the agent: a-z, 0-9 and _")
    new.set_defaults(command=_new)


def _new(options: argparse.Namespace, console: Console) -> int:
    return new_agent(options.name, console)


def new_agent(name: str, console: Console, root: Path = ROOT) -> int:
    """Write the four files; nothing that exists is written over. Returns the exit code."""
    if not name.isidentifier() or not name.islower():
        console.print(f"[red]{name!r} is no name for a module:[/red] use a-z, 0-9 and _.")
        return 2
    title = name.replace("_", " ").capitalize()
    files = {
        root / "environments" / name / "__init__.py": _AGENT.format(name=name, title=title),
        root / "environments" / name / "scripts.py": _SCRIPTS.format(name=name),
        root / "environments" / name / "dataset.jsonl": _ROWS,
        root / "environments" / name / f"test_{name}.py": _TEST.format(name=name),
    }
    taken = [path for path in files if path.exists()]
    if taken:
        console.print(f"[red]{taken[0]} exists already;[/red] choose another name.")
        return 2
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        console.print(f"wrote {path.relative_to(root)}", highlight=False)
    console.print(
        f"Next: make run AGENT=environments.{name}:{name}",
        highlight=False,
        soft_wrap=True,
    )
    return 0
