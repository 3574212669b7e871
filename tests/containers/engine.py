"""A container engine for SAM CLI: Docker where it answers, else podman, started and ended here.

With Docker the public image is used. Where it is missing, as on most machines of continuous integration
without a registry, podman gets the stand-in image; both are real containers. Nothing is skipped: where
neither is there, the tests fail and say what to install.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from devkit.emulator import container_host
from tests.containers import image

_GATEWAY = "10.88.0.1"  # podman's default bridge
# Debian's podman 4.3 knows no host-gateway: it writes the word into /etc/hosts, where nobody can read it.
_HOSTS = f"127.0.0.1 localhost\n{_GATEWAY} {container_host.NAME}\n"


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    Args:
        environ: what SAM CLI's environment must have for it.
        flags: what its local commands must be given.
    """

    environ: dict[str, str] = field(default_factory=dict[str, str])
    flags: tuple[str, ...] = ()


@contextmanager
def engine() -> Iterator[Engine]:
    """A container engine, for as long as the block lasts.

    Raises:
        RuntimeError: there is neither Docker nor podman.
    """
    try:
        container_host.address()
    except container_host.NoEngine as error:
        missing = [name for name in ("podman", "runc") if shutil.which(name) is None]
        if missing or os.geteuid() != 0:
            what = f"{' and '.join(missing)} are missing" if missing else "podman needs root here"
            raise RuntimeError(f"{error}; {what} (make setup installs them on Debian)") from None
        with tempfile.TemporaryDirectory(prefix="podman-") as scratch:
            yield from _podman(Path(scratch))
    else:
        yield Engine()


def _podman(place: Path) -> Iterator[Engine]:
    hosts, conf, address = place / "hosts", place / "containers.conf", place / "podman.sock"
    hosts.write_text(_HOSTS)
    template = (Path(__file__).parent / "containers.conf").read_text()
    conf.write_text(template.replace("@HOSTS@", str(hosts)))
    environ = {"CONTAINERS_CONF": str(conf), "DOCKER_HOST": f"unix://{address}"}
    podman = ["podman", "--root", str(place / "root"), "--runroot", str(place / "run")]

    def run(*arguments: str) -> None:
        command = [*podman, *arguments]
        done = subprocess.run(
            command, env={**os.environ, **environ}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"

    archive = place / "image.tar"
    image.write(archive)
    changes = [part for change in image.CHANGES for part in ("--change", change)]
    run("import", "--quiet", *changes, str(archive), image.NAME)
    archive.unlink()
    with (place / "log").open("wb") as log:
        service = subprocess.Popen(
            [*podman, "system", "service", "--time=0", f"unix://{address}"],
            env={**os.environ, **environ}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_for(address, service)
        yield Engine(environ, ("--skip-pull-image",))
    finally:
        run("rm", "--force", "--all")
        service.terminate()
        service.wait(20)
        run("rmi", "--force", "--all")


def _wait_for(path: Path, service: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        assert service.poll() is None, "podman system service ended"
        with socket.socket(socket.AF_UNIX) as tried, suppress(OSError):
            tried.connect(str(path))
            return
        time.sleep(0.1)
    raise AssertionError("podman system service does not answer")
