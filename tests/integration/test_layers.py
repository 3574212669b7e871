"""Every function gets the layers it needs, as SAM CLI itself resolves the built template."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.building import ROOT
from tests.processes import SAM

OTEL = "arn:aws:lambda:us-west-2:901920570463:layer:aws-otel-python-amd64-ver-1-32-0:2"
TRACED = {"ApiFunction", "WorkerFunction"}
SUFFIX = {"arm64": "Arm64", "x86_64": "X86"}


def asked(*command: str):
    """The answer of ``tests/as_sam_sees_it.py``, run where SAM CLI is."""
    environ = {**os.environ, "AWS_DEFAULT_REGION": "us-west-2", "SAM_CLI_TELEMETRY": "0"}
    script = [str(SAM / "bin/python"), str(ROOT / "tests/as_sam_sees_it.py"), *command]
    done = subprocess.run(
        script, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("otel", ["", OTEL])
@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_every_function_gets_every_layer_it_needs(architecture, otel):
    built = ROOT / ".aws-sam" / architecture
    functions = asked(
        "layers",
        str(built / "template.yaml"),
        f"Architecture={architecture}",
        *([f"OtelLayer={otel}"] if otel else []),
    )
    assert len(functions) >= 6
    for name, layers in functions.items():
        needed = [f"Dependencies{SUFFIX[architecture]}", "RolloutLayer"]
        if name != "ConsoleFunction":
            needed.append(f"Environments{SUFFIX[architecture]}")
        places = {layer["name"]: Path(layer["place"]) for layer in layers}
        assert list(places)[: len(needed)] == needed, name
        for layer in needed:
            assert places[layer] == built / layer
            assert (places[layer] / "python").is_dir()
        rest = [layer for layer in places if layer not in needed]
        if name not in TRACED:
            assert rest == []
        elif otel:
            assert rest == [otel]
        else:
            assert rest == ["WithoutOtel"]
            assert [path.name for path in places["WithoutOtel"].iterdir()] == ["README.txt"]


def test_a_change_of_the_library_publishes_versions():
    versions = asked("versions", str(ROOT / "template.yaml"), "RolloutLayer")
    assert set(versions[""]) == {"ApiFunction", "JobFunction", "WorkerFunction"}
    for function, version in versions[""].items():
        assert versions["RolloutLayer"][function] != version
