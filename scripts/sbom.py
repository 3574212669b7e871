"""The bill of materials of the dependencies layer, as CycloneDX JSON: ``make sbom``.

cyclonedx-bom reads the packages out of the built layer's own metadata; the crates that are compiled
into a wheel come from the bill the wheel carries (PEP 770). No dates and no serial numbers: the same
layer gives the same text, so a test can hold ``docs/sbom.json`` to what was built.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "docs/sbom.json"
LAYERS = {
    "arm64": ROOT / ".aws-sam/arm64/DependenciesArm64/python",
    "x86_64": ROOT / ".aws-sam/x86_64/DependenciesX86/python",
}
_CYCLONEDX = ROOT / ".tools/scan/bin/cyclonedx-py"


def bill(layer: Path) -> str:
    """The bill of materials of a built layer's ``python`` folder.

    Raises:
        FileNotFoundError: the layer is not built, or cyclonedx-bom is not installed.
    """
    for needed, made_by in ((layer, "make build"), (_CYCLONEDX, "make setup")):
        if not needed.exists():
            raise FileNotFoundError(f"{needed} is missing; run {made_by}")
    with tempfile.TemporaryDirectory() as folder:
        # An environment that holds the layer and nothing else, since cyclonedx-bom reads environments.
        venv.create(folder, with_pip=False, symlinks=True)
        packages = next(Path(folder).glob("lib/python*/site-packages"))
        packages.rmdir()
        packages.symlink_to(layer)
        found = subprocess.run(  # noqa: S603 - our own tool
            [
                *(_CYCLONEDX, "environment", "--output-reproducible", "--PEP-639", "--short-PURLs"),
                *("--schema-version", "1.6", folder),
            ],
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            stdout=subprocess.PIPE,
            check=True,
        )
    document = json.loads(found.stdout)
    for component in document["components"]:
        crates = _crates(layer, component["name"])
        if crates:
            component["components"] = crates
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def licences(document: dict[str, Any]) -> dict[str, list[str]]:
    """Every component's licences, crates included, by ``name version``."""
    found: dict[str, list[str]] = {}
    for component in document["components"]:
        for part in (component, *component.get("components", [])):
            said = (entry.get("license", entry) for entry in part.get("licenses", []))
            found[f"{part['name']} {part['version']}"] = [
                one.get("expression") or one.get("id") or one["name"] for one in said
            ]
    return found


def _crates(layer: Path, package: str) -> list[dict[str, Any]]:
    name = package.replace("-", "_")
    found = [
        {key: crate[key] for key in ("type", "name", "version", "licenses") if key in crate}
        | {
            "purl": crate["purl"].partition("?")[0]
        }  # behind it: folders of the machine that built it
        for path in layer.glob(f"{name}-*.dist-info/sboms/*.json")
        for crate in json.loads(path.read_text())["components"]
    ]
    return sorted(found, key=lambda crate: crate["purl"])


def main() -> int:
    """Write the bill of the layer that is built."""
    SBOM.write_text(bill(LAYERS["x86_64"]))
    count = len(licences(json.loads(SBOM.read_text())))
    sys.stdout.write(f"{SBOM.relative_to(ROOT)}: {count} components\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
