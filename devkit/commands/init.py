"""``rollout init``: make a folder the repository of your environments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.places import ROOT

_PACKAGE = '"""Your environments, one folder each: agent, problems, reward and proof."""\n'
_REQUIREMENTS = """\
# Packages that your agents need beside the library's: write names here, and rollout lock writes the
# lock that is built, requirements.txt.
"""
_IGNORED = ".aws-sam/\n.venv/\n__pycache__/\n.pytest_cache/\nruns/\n"


def register(commands: Any) -> None:
    """Add ``init`` to the command line."""
    init = commands.add_parser("init", help="make a folder the repository of your environments")
    init.add_argument("folder", nargs="?", type=Path, default=Path(), help="default: this one")
    init.set_defaults(command=_init)


def _init(options: argparse.Namespace, console: Console) -> int:
    folder = options.folder.resolve()
    # Plain sam build, too, takes the template that rollout build writes.
    settings = (ROOT / "samconfig.toml").read_text()
    build = "[default.build.parameters]\n"
    settings = settings.replace(build, f'{build}template_file = ".aws-sam/rollout.yaml"\n')
    for name, text in (
        ("environments/__init__.py", _PACKAGE),
        ("environments/requirements.in", _REQUIREMENTS),
        ("samconfig.toml", settings),
        (".gitignore", _IGNORED),
    ):
        path = folder / name
        if path.exists():
            console.print(f"kept  {name}", highlight=False)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        console.print(f"wrote {name}", highlight=False)
    here = "" if folder == Path.cwd() else f"cd {folder} && "
    console.print(f"Next: {here}rollout new NAME", highlight=False, soft_wrap=True)
    return 0
