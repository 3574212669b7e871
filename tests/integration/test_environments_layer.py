"""The layer of environments: what it holds, what it leaves out, which packages it takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from scripts.datasets import NAMES
from tests.building import ROOT


@pytest.mark.parametrize("layer", ["arm64/EnvironmentsArm64", "x86_64/EnvironmentsX86"])
def test_scripts_tests_and_datasets_stay_at_home(layer):
    ours = ROOT / ".aws-sam" / layer / "python/environments"
    found = {str(path.relative_to(ours)) for path in ours.rglob("*") if path.is_file()}
    assert found >= {"__init__.py", "wordle/words.txt", *(f"{name}/__init__.py" for name in NAMES)}
    staying = ("scripts.", "problems.", "dataset", "test_", "requirements", "Makefile", "conftest")
    assert not [path for path in found if path.rsplit("/", 1)[-1].startswith(staying)]
    # Lambda cannot write beside a layer's files.
    for source in ours.rglob("*.py"):
        assert list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")), source


@pytest.fixture
def folder(tmp_path):
    package = tmp_path / "environments"
    (package / "mine").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "mine/__init__.py").touch()
    return package


def make(folder):
    """Build the layer of a folder as SAM does, for the processor that this machine is not."""
    artifacts = folder.parent / "artifacts"
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.mkdir()
    command = [
        "make",
        "--makefile",
        ROOT / "layers/environments/Makefile",
        "build-EnvironmentsArm64",
    ]
    return artifacts / "python", subprocess.run(
        command,
        cwd=folder, env={**os.environ, "ARTIFACTS_DIR": str(artifacts)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("locked", [False, True])
def test_a_package_comes_without_what_the_stack_ships(folder, locked):
    # It stands on pydantic, which has a compiled part, and on one package that the stack has not.
    (folder / "requirements.txt").write_text("pydantic-settings\n")
    if locked:
        (folder / "requirements.txt").rename(folder / "requirements.in")
        environ = {**os.environ, "ENVIRONMENTS": str(folder)}
        subprocess.run([sys.executable, "-m", "devkit", "lock"], cwd=ROOT, env=environ, check=True)
        assert "--hash=sha256:" in (folder / "requirements.txt").read_text()
    python, done = make(folder)
    assert done.returncode == 0, done.stderr
    assert (python / "pydantic_settings/main.py").is_file()
    assert (python / "dotenv/main.py").is_file()
    for name in ("pydantic", "pydantic_core", "annotated_types", "typing_extensions.py"):
        assert not (python / name).exists()
    assert not list(python.glob("pydantic_core-*"))
    assert (
        "annotated-types, pydantic, pydantic-core, typing-extensions, typing-inspection"
        in done.stdout
    )


def test_a_version_that_is_not_the_stacks_is_refused(folder):
    (folder / "requirements.txt").write_text("pydantic==2.11.0\n")
    _, done = make(folder)
    assert done.returncode != 0
    assert "conflict" in done.stderr.lower()


def test_a_lock_with_hashes_is_held_to_them(folder):
    lock = "python-dotenv==1.1.0 --hash=sha256:" + "0" * 64 + "\n"
    (folder / "requirements.txt").write_text(lock)
    _, done = make(folder)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
