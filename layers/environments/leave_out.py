"""Take out of the environments' layer what the dependencies layer ships; its Makefile calls this.

An environment's package may need boto3 or pydantic. Both layers unpack into one folder, so the copy that
comes last would win over the tested one; and a second botocore is 20 MB in every function.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def leave_out(python: Path, lock: str) -> list[str]:
    """Delete the files of every installed package that a lock names.

    Args:
        python: a folder that packages were installed into.
        lock: text of the lock of the packages that are elsewhere.

    Returns:
        Their names.

    Raises:
        SystemExit: a package is there in another version than the lock's.
    """
    pins = {_canonical(name): version for name, version in _PIN.findall(lock)}
    gone: list[str] = []
    for package in list(distributions(path=[str(python)])):
        name = _canonical(package.metadata["Name"])
        if name not in pins:
            continue
        if package.version != pins[name]:
            sys.exit(f"{name} {package.version} was installed, the layer has {pins[name]}")
        for file in package.files or ():
            path = Path(str(package.locate_file(file))).resolve()
            if path.is_relative_to(python.resolve()):
                path.unlink(missing_ok=True)
        gone.append(name)
    # Deepest first, so that a folder whose last folder went goes as well.
    for folder in sorted((p for p in python.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return sorted(gone)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    found = leave_out(Path(sys.argv[1]), Path(sys.argv[2]).read_text())
    sys.stdout.write(f"left out, because the layer has it: {', '.join(found) or 'nothing'}\n")
