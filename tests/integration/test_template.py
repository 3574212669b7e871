"""The template is clean, least-privilege, and builds for both architectures."""

from __future__ import annotations

import os
import subprocess

import pytest

from devkit.emulator.template import load_template
from rollout.settings import described
from tests.building import ROOT
from tests.processes import SAM


def test_sam_validate_lint():
    environ = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-west-2"}
    command = [
        str(SAM / "bin/sam"),
        "validate",
        "--lint",
        "--template-file",
        str(ROOT / "template.yaml"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_reaches_the_function():
    template = load_template()
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    known = {name: default for name, default, _ in described()}
    assert {name for name in variables if name.startswith("ROLLOUT_")} <= set(known)
    for name, value in variables.items():
        parameter = template["Parameters"].get(
            value.get("Ref") if isinstance(value, dict) else None
        )
        if parameter and name in known:
            assert str(parameter["Default"]) == known[name], name


@pytest.mark.parametrize(
    ("architecture", "layer", "tag"),
    [("arm64", "DependenciesArm64", "aarch64"), ("x86_64", "DependenciesX86", "x86_64")],
)
def test_the_layer_is_built_for_its_architecture(architecture, layer, tag):
    python = ROOT / ".aws-sam" / architecture / layer / "python"
    native = list(python.rglob("*.so"))
    assert native
    assert all(f"cpython-313-{tag}-linux-gnu" in path.name for path in native)
    sources = list((python / "pydantic").rglob("*.py"))
    compiled = list((python / "pydantic").rglob("*.cpython-313.pyc"))
    assert len(compiled) == len(sources) > 50
    services = {path.name for path in (python / "botocore" / "data").iterdir() if path.is_dir()}
    assert services == {
        "bedrock-runtime",
        "dynamodb",
        "lambda",
        "s3",
        "sagemaker-runtime",
        "sagemakerjobruntime",
        "sagemakertrainingsessionruntime",
        "secretsmanager",
        "sts",
    }
    packages = {path.name for path in python.iterdir()}
    assert not packages & {"pytest", "moto", "ruff", "pip", "setuptools", "starlette", "bin"}
    size = sum(path.stat().st_size for path in python.rglob("*") if path.is_file())
    assert size <= 25_000_000
    # What remains can say what it is, for a bill of materials.
    assert len(list(python.glob("*.dist-info/METADATA"))) == len(list(python.glob("*.dist-info")))


def test_the_library_is_shipped_compiled():
    python = ROOT / ".aws-sam" / "x86_64" / "RolloutLayer" / "python"
    sources = {path.relative_to(python) for path in python.rglob("*.py")}
    compiled = {
        path.parent.parent.relative_to(python) / path.name.replace(".cpython-313.pyc", ".py")
        for path in python.rglob("*.cpython-313.pyc")
    }
    assert compiled == sources
    assert sources == {
        path.relative_to(ROOT / "layers/rollout/python")
        for path in (ROOT / "layers/rollout/python").rglob("*.py")
    }
