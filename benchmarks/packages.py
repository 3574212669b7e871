"""The variants that are measured, each as a package of its own: what one would deploy, compiled.

``ours`` is what ``sam build`` made. The others are installed here from the project's own locks, with
their whole dependencies as the package index has them, since that is how they are deployed; nothing
is trimmed from them. Everything is compiled, since what is not would be compiled at every start.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / ".aws-sam" / "x86_64"
PEERS = ROOT / "benchmarks" / "peers"
_CACHE = ROOT / ".cache" / "peers"
_UV = ROOT / ".tools" / "uv" / "bin" / "uv"
_LOCK = ROOT / "requirements" / "dev.txt"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to write the endpoint.

    Args:
        name: as the tables have it.
        module: of ``benchmarks/peers``, with ``handler`` and what else the measurements call.
        handler: what the emulator starts.
        requires: packages it is deployed with, from requirements/dev.txt.
        environment: of .tools, where its packages live instead; its lock is the one of that name.
    """

    name: str
    module: str
    handler: str
    requires: tuple[str, ...] = ()
    environment: str = ""

    @property
    def code(self) -> Path:
        """Where its module of ``benchmarks/peers`` is installed."""
        return _CACHE / self.module

    @property
    def paths(self) -> list[Path]:
        """Where its code and its packages are: what counts as its size."""
        if self.module == "ours":
            layers = [
                BUILT / layer / "python"
                for layer in ("RolloutLayer", "EnvironmentsX86", "DependenciesX86")
            ]
            return [BUILT / "ApiFunction", *layers]
        if self.environment:
            found = sorted((ROOT / f".tools/{self.environment}/lib").glob("python3*/site-packages"))
            return [self.code, *found]
        return [self.code]

    def environ(self) -> dict[str, str]:
        """What its process needs to find its packages, and nothing of this checkout."""
        places = dict.fromkeys([*self.paths, self.code, RUNTIME])
        return {
            "PYTHONPATH": ":".join(map(str, places)),
            "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's file system is read-only
            "AWS_LAMBDA_FUNCTION_NAME": "bench",
        }

    def size(self) -> int:
        """Bytes unzipped, compiled files included."""
        files = (path for place in self.paths for path in place.rglob("*"))
        return sum(path.stat().st_size for path in files if path.is_file())


OURS = Variant("this endpoint", "ours", "api.handler")
BARE = Variant("bare handler", "bare", "bare.handler", ("boto3", "pydantic"))
STARLETTE = Variant(
    "Starlette + Mangum",
    "starlette_mangum",
    "starlette_mangum.handler",
    ("boto3", "mangum", "pydantic", "starlette"),
)
FASTAPI = Variant(
    "FastAPI + Mangum",
    "fastapi_mangum",
    "fastapi_mangum.handler",
    ("boto3", "fastapi", "mangum", "pydantic"),
)
AGENTCORE = Variant(
    "agentcore-rl-toolkit 0.2.0", "agentcore", "agentcore.handler", environment="agentcore"
)
SDK = Variant("sagemaker.train.rft 1.27.0", "sdk", "sdk.handler", environment="sdk")
# Ours with the same job as the peers: nothing is accepted, recorded or stored.
UNRECORDED = Variant("this endpoint, records off", "ours", "ours.unrecorded")
VARIANTS = (BARE, OURS, STARLETTE, FASTAPI, AGENTCORE, SDK)
# Lambda's own part, the same for all: it is on no variant's account.
RUNTIME = _CACHE / "runtime"
# The interpreter without the packages of any environment.
PYTHON = Path(sys.base_prefix) / "bin" / "python3"


def prepare() -> None:
    """Install and compile every variant that is not there yet.

    Raises:
        SystemExit: something that make builds is missing, with the command that builds it.
    """
    if not (BUILT / "RolloutLayer").exists():
        raise SystemExit("There is no build to measure: run make build.")
    for variant in VARIANTS:
        if variant.environment and len(variant.paths) < 2:
            raise SystemExit(
                f"{variant.name} is not installed: run make .tools/{variant.environment}/ready."
            )
        _install(variant.code, variant.requires, PEERS / f"{variant.module}.py")
        if variant.environment:
            _compile_once(variant)
    _install(RUNTIME, ("awslambdaric",))


def _install(place: Path, requires: tuple[str, ...], source: Path | None = None) -> None:
    mark = place / ".lock"
    wanted = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        if requires:
            command = [_UV, "pip", "install", "-q", "--python", ROOT / ".venv/bin/python"]
            command += ["--target", place, "-c", _LOCK, *requires]
            subprocess.run(command, check=True)
        mark.write_text(wanted)
    if source:
        for file in (source, PEERS / "job.py", PEERS / "model.py", PEERS.parent / "player.py"):
            shutil.copy(file, place)
    _compile(place)


def _compile_once(variant: Variant) -> None:
    mark = ROOT / f".tools/{variant.environment}/compiled"
    if not mark.exists():
        _compile(variant.paths[-1])
        mark.touch()


def _compile(place: Path) -> None:
    # Its exit code is not checked: some packages ship templates that only look like Python.
    subprocess.run([PYTHON, "-m", "compileall", "-qq", "-j", "2", place], check=False)
