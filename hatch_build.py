"""What a wheel of this project holds and asks for; hatchling calls this.

An installed release has the project's files under ``devkit/project``, as they lie here: the template,
the functions, the layers with their build files, the sample environments. A ``.pth`` file puts the
library and the console on the path from there, so that there is one copy of each.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_ROOT = Path(__file__).resolve().parent
_PROJECT = "devkit/project"
# The environments are those that come with the project, not what a user has put beside them.
_SHIPPED = (
    "LICENSE", "template.yaml", "samconfig.toml", "functions", "layers", "events",
    *(f"environments/{name}" for name in ("__init__.py", "calculator", "wordle", "sql", "support_desk")),
)  # fmt: skip
_LEFT = re.compile(r"(^|/)(__pycache__|\.[^/]*|test_[^/]*|tests)(/|$)|\.pyc$")
_ON_PATH = ("layers/rollout/python", "functions/console")
# Frameworks that an agent may be written in: the extra's name and what it installs.
_EXTRAS = {
    "openai": ("openai",),
    "openai-agents": ("openai-agents",),
    "langchain": ("langchain-openai",),
    "langgraph": ("langgraph", "langchain-openai"),
    "pydantic-ai": ("pydantic-ai-slim[openai]",),
    "strands": ("strands-agents[openai]",),
    "mcp": ("mcp",),
    "data": ("pyarrow",),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow-skinny",),
    "wandb": ("wandb",),
    "otel": ("opentelemetry-sdk",),
    "test": ("pytest",),
}
_NAME = re.compile(r"^([A-Za-z0-9._-]+)(\[[^]]*\])?(.*)$")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


class CustomMetadataHook(MetadataHookInterface):
    """Dependencies, from the ``.in`` files and their locks."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set what the wheel asks for.

        The layer's packages come in the layer's versions, so that what plays here is what is deployed;
        the others from the version they were tested with, within its major version.
        """
        layer = _pins("layers/dependencies/requirements.txt")
        tested: dict[str, str] = {}
        for lock in ("exports", "data", "dev"):  # the environment that all else is tested in wins
            tested |= _pins(f"requirements/{lock}.txt")
        metadata["dependencies"] = [
            *(
                f"{name}=={layer[name.lower()]}"
                for name in _names("layers/dependencies/requirements.in")
            ),
            f"botocore=={layer['botocore']}",  # boto3 takes any later one
            *(_within(line, tested) for line in _names("requirements/devkit.in")),
        ]
        metadata["optional-dependencies"] = {
            extra: [_within(name, tested) for name in names] for extra, names in _EXTRAS.items()
        }


class CustomBuildHook(BuildHookInterface[Any]):
    """The project's files, where it is not installed in place."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add every file that is shipped to the wheel."""
        if version == "editable":
            return
        places = build_data["force_include"]
        for name in _SHIPPED:
            start = _ROOT / name
            for path in [start] if start.is_file() else sorted(start.rglob("*")):
                inside = path.relative_to(_ROOT).as_posix()
                if path.is_file() and not _LEFT.search(inside):
                    places[str(path)] = f"{_PROJECT}/{inside}"
        pth = Path(self.directory) / "serverless-rollout.pth"
        pth.parent.mkdir(parents=True, exist_ok=True)
        pth.write_text("".join(f"{_PROJECT}/{folder}\n" for folder in _ON_PATH))
        places[str(pth)] = pth.name

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take away the file that was written for the wheel alone."""
        del version, build_data, artifact_path
        (Path(self.directory) / "serverless-rollout.pth").unlink(missing_ok=True)


def _names(file: str) -> list[str]:
    lines = (line.split("#")[0].strip() for line in (_ROOT / file).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def _pins(lock: str) -> dict[str, str]:
    """Versions by name; the lowest where a lock has several for several Pythons."""
    found: dict[str, str] = {}
    for name, version in _PIN.findall((_ROOT / lock).read_text()):
        known = found.get(name)
        if known is None or _key(version) < _key(known):
            found[name] = version
    return found


def _key(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _within(line: str, tested: dict[str, str]) -> str:
    match = _NAME.match(line)
    if match is None:
        raise ValueError(f"{line!r} is no requirement")
    name, extras, bound = match[1], match[2] or "", match[3].strip()
    if bound.startswith("=="):
        return line
    version = tested[name.lower()]
    first, second = _key(version)[:2]
    # Before 1.0 a minor version may break what stands on it.
    return f"{name}{extras}>={version},<{first + 1 if first else f'0.{second + 1}'}"
