"""Where things are: what the project ships, and the repository that holds the user's environments.

The project is this clone, or in an installed release the folder ``devkit/project``. The user's repository
is what ``ENVIRONMENTS`` names; else the folder one stands in, if it holds ``environments``; else the
project, whose own four environments are there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rollout.settings import DEFAULT_AGENT

_INSTALLED = Path(__file__).resolve().parent / "project"
ROOT = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "template.yaml"
HANDLERS = ROOT / "functions" / "rollout"
# The lock of what the dependencies layer ships.
SHIPPED = ROOT / "layers" / "dependencies" / "requirements.txt"
_CODE = ("layers/rollout/python", "functions/rollout", "functions/console")
_PACKAGE = "environments"


def repository() -> Path:
    """The folder that holds the user's ``environments``, and their samconfig.toml.

    Raises:
        ValueError: ``ENVIRONMENTS`` names no such folder.
    """
    named = os.environ.get("ENVIRONMENTS", "")
    if named:
        given = Path(named).expanduser().resolve()
        found = given if (given / _PACKAGE).is_dir() or given.name != _PACKAGE else given.parent
        if not (found / _PACKAGE).is_dir():
            raise ValueError(
                f"ENVIRONMENTS={named}: {given} holds no folder environments; name the folder that "
                "holds it (rollout init makes one)"
            )
    else:
        here = Path.cwd()
        found = here if (here / _PACKAGE).is_dir() else ROOT
    if not (found / _PACKAGE / "__init__.py").is_file():
        raise ValueError(f"{found / _PACKAGE} has no __init__.py; make an empty one")
    return found


def environments() -> list[str]:
    """The names of the environments in the user's repository, in order."""
    inside = (repository() / _PACKAGE).glob("*/__init__.py")
    return sorted(path.parent.name for path in inside)


def default_agent() -> str:
    """What is played where nobody names an agent: the setting's default, or the one that is there."""
    names = environments()
    if len(names) == 1:
        return f"{_PACKAGE}.{names[0]}:{names[0]}"
    return DEFAULT_AGENT


def dataset_of(agent: str) -> Path:
    """The dataset that comes with an environment.

    Args:
        agent: ``environments.NAME:FUNCTION``.
    """
    module = agent.partition(":")[0]
    return repository().joinpath(*module.split("."), "dataset.jsonl")


def samconfig() -> Path:
    """The user's samconfig.toml, or the project's where they have none."""
    own = repository() / "samconfig.toml"
    return own if own.is_file() else ROOT / "samconfig.toml"


def find_code() -> None:
    """Let this process and its children import the user's environments and the project's code.

    The user's repository comes first of all, so that no other folder's ``environments`` is taken. The
    project's folders come before installed packages and after what PYTHONPATH names.

    Raises:
        ValueError: there is no repository where ``ENVIRONMENTS`` says.
    """
    user = str(repository())
    ours = [str(ROOT), *(str(ROOT / folder) for folder in _CODE)]
    sys.path[:] = [user, *(folder for folder in sys.path if folder != user)]
    installed = (i for i, place in enumerate(sys.path) if place.endswith("site-packages"))
    place = next(installed, len(sys.path))
    sys.path[place:place] = [folder for folder in ours if folder not in sys.path[:place]]
    asked = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    every = dict.fromkeys([user, *asked, *ours])
    os.environ["PYTHONPATH"] = os.pathsep.join(every)
