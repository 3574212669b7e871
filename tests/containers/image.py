"""A stand-in for Lambda's public image, made of this machine's Python, where nothing can be pulled.

It has what ``sam local`` and the functions need, and no more: Python 3.13 as ``/var/lang``, the Runtime
Interface Client as ``/var/runtime``, a shell and the commands of the Dockerfile that SAM CLI writes.
"""

from __future__ import annotations

import importlib.util
import io
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from pathlib import Path

ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
NAME = f"public.ecr.aws/lambda/python:3.13-{ARCHITECTURE}"

_COMMANDS = ("sh", "cp", "mv", "rm", "mkdir", "chmod")
_LEFT_OUT = {
    "site-packages",
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "__pycache__",
}
_LEFT_OUT_BY_START = ("config-", "_tkinter.", "_test")
# What wheels are linked to besides; they stand beside the C library, which has most of them since 2.34.
_OF_WHEELS = (
    "libgcc_s.so.1", "libstdc++.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1",
    "libresolv.so.2",
)  # fmt: skip
_CLIENT = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
# As the public image starts the client: the function's code stands before the layers'.
_BOOTSTRAP = """#!/bin/sh
export PYTHONPATH=/var/task:/opt/python:/var/runtime LD_LIBRARY_PATH=/var/lang/lib
export AWS_EXECUTION_ENV=AWS_Lambda_python3.13
exec /var/lang/bin/python3.13 -m awslambdaric "$_HANDLER"
"""
_ENVIRONMENT = {
    "PATH": "/var/lang/bin:/bin:/usr/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib",
    "LANG": "C.UTF-8",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}
# What ``podman import --change`` takes, one by one.
CHANGES = ("WORKDIR /var/task", *(f"ENV {name}={value}" for name, value in _ENVIRONMENT.items()))


def write(sink: Path) -> None:
    """Write the image's files as a tar archive, for ``podman import``."""
    with tarfile.open(sink, "w") as archive:
        _python(archive)
        _client(archive)
        commands = [Path(shutil.which(name) or f"/bin/{name}").resolve() for name in _COMMANDS]
        for name, command in zip(_COMMANDS, commands, strict=True):
            archive.add(command, f"bin/{name}")
        for library in _libraries([Path(sys.executable).resolve(), *commands, *_extensions()]):
            archive.add(library.resolve(), str(library).lstrip("/"))
        for folder in ("tmp", "var/task", "var/rapid", "opt"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        _file(archive, "var/runtime/bootstrap", _BOOTSTRAP, 0o755)
        _file(archive, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)


def _python(archive: tarfile.TarFile) -> None:
    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = Path(entry.name).name
        return None if name in _LEFT_OUT or name.startswith(_LEFT_OUT_BY_START) else entry

    archive.add(Path(sys.executable).resolve(), "var/lang/bin/python3.13")
    archive.add(sysconfig.get_path("stdlib"), "var/lang/lib/python3.13", filter=kept)
    shared = Path(sysconfig.get_config_var("LIBDIR")) / str(sysconfig.get_config_var("INSTSONAME"))
    if shared.suffix != ".a" and shared.exists():
        archive.add(shared, f"var/lang/lib/{shared.name}")


def _client(archive: tarfile.TarFile) -> None:
    for name in _CLIENT:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise RuntimeError(f"{name} is missing; it comes with the development packages")
        place = Path(found.origin)
        place = place.parent if place.name == "__init__.py" else place
        archive.add(place, f"var/runtime/{place.name}")


def _extensions() -> list[Path]:
    found = Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so")
    return [path for path in found if not path.name.startswith(_LEFT_OUT_BY_START)]


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that programs are linked to, as the loader of this machine finds them."""
    found: set[Path] = set()
    printed = subprocess.run(
        ["ldd", *map(str, programs)], capture_output=True, text=True, check=False
    ).stdout
    for path in re.findall(r"(?:=>\s+|^\s+)(/\S+) \(0x", printed, re.MULTILINE):
        if "/libpython" not in path:
            found.add(Path(path))
    (libc,) = {path for path in found if path.name.startswith("libc.so")}
    return found | {libc.with_name(name) for name in _OF_WHEELS}


def _file(archive: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), mode
    archive.addfile(entry, io.BytesIO(text.encode()))
