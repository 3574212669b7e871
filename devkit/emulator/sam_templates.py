"""Templates that SAM CLI takes on this machine, made of what ``sam build`` left.

``.aws-sam/build`` is where SAM CLI looks when nobody names a template, ``sam deploy`` too. Its
``template.yaml`` is the built one with this machine's architecture as the default. ``sam local
start-api`` serves every API of a template under one address, and both have a ``/{proxy+}``: ``api.yaml``
is without the console's routes, ``console.yaml`` without the others.
"""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import Any

from devkit.emulator.template import read_template

ARCHITECTURE = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
_CONSOLE_API = "ConsoleApi"


def prepare(built: Path) -> Path:
    """Make ``build`` beside a folder that ``sam build`` made; returns it.

    Args:
        built: ``.aws-sam/{architecture of this machine}``.

    Raises:
        FileNotFoundError: nothing was built there.
    """
    template = read_template(built / "template.yaml")
    template["Parameters"]["Architecture"]["Default"] = ARCHITECTURE
    place = built.parent / "build"
    if place.is_symlink():
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for entry in built.iterdir():
        if entry.is_dir():
            (place / entry.name).symlink_to(Path("..") / built.name / entry.name)
    _write(place / "template.yaml", template)
    _write(place / "api.yaml", _without(template, served=False))
    _write(place / "console.yaml", _without(template, served=True))
    return place


def _without(template: dict[str, Any], *, served: bool) -> dict[str, Any]:
    """A template without the console's routes, or with no other."""
    copy: dict[str, Any] = json.loads(json.dumps(template))
    for resource in copy["Resources"].values():
        events: dict[str, Any] = resource.get("Properties", {}).get("Events", {})
        for name, event in list(events.items()):
            api = event["Properties"].get("RestApiId")
            if event["Type"] == "Api" and (api == {"Ref": _CONSOLE_API}) is not served:
                del events[name]
    return copy


def _write(path: Path, template: dict[str, Any]) -> None:
    path.write_text(json.dumps(template, indent=1, default=str) + "\n")
