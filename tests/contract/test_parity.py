"""Our models against the platform's own, from the published sagemaker-train 1.27.0, both ways."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rollout.contract import RolloutRequest
from tests.building import ROOT

SDK = "sagemaker-train==1.27.0"


@pytest.fixture(scope="session")
def oracle():
    """The SDK's models.py alone: it needs only pydantic, the package itself 630 MB."""
    cache = ROOT / ".cache" / "sdk"
    cache.mkdir(parents=True, exist_ok=True)
    wheels = list(cache.glob("*.whl"))
    if not wheels:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "-d",
            str(cache),
            SDK,
        ]
        subprocess.run(command, check=True)
        wheels = list(cache.glob("*.whl"))
    source = cache / "rft_models.py"
    source.write_bytes(zipfile.ZipFile(wheels[0]).read("sagemaker/train/rft/models.py"))
    spec = importlib.util.spec_from_file_location("rft_models", source)
    module = importlib.util.module_from_spec(spec)
    sys.modules["rft_models"] = module
    spec.loader.exec_module(module)
    return module.RolloutRequest


text = st.text(max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
instances = st.dictionaries(
    text, st.recursive(scalars, lambda x: st.lists(x, max_size=3), max_leaves=5)
)
numbers = st.none() | st.integers(-5, 5) | st.floats(allow_nan=False) | text | st.booleans()
valid = st.fixed_dictionaries(
    {
        "instance": instances,
        "metadata": st.fixed_dictionaries(
            {"job_arn": text, "trajectory_id": text, "endpoint": text},
            optional={"region": text, "x": scalars},
        ),
    },
    optional={
        "inference_params": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "temperature": st.none() | st.floats(-10, 10),
                "max_tokens": st.none() | st.integers(),
                "top_p": st.none() | st.floats(0, 1),
            },
        ),
        "model_name": st.none() | text,
        "model_endpoint": st.none() | text,
        "unknown": scalars,
    },
)
anything = st.fixed_dictionaries(
    {},
    optional={
        "instance": instances | scalars,
        "metadata": scalars
        | st.fixed_dictionaries(
            {},
            optional={
                "job_arn": scalars,
                "trajectory_id": scalars,
                "endpoint": scalars,
                "region": scalars,
            },
        ),
        "inference_params": scalars
        | st.fixed_dictionaries(
            {}, optional={"temperature": numbers, "max_tokens": numbers, "top_p": numbers}
        ),
        "model_name": scalars,
        "model_endpoint": scalars,
    },
)
thorough = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@thorough
@given(document=valid)
def test_what_theirs_reads_ours_reads_alike(oracle, document):
    assert (
        RolloutRequest.model_validate(document).model_dump()
        == oracle.model_validate(document).model_dump()
    )


@thorough
@given(document=anything)
def test_what_theirs_refuses_ours_refuses(oracle, document):
    def verdict(model):
        try:
            return model.model_validate(document).model_dump()
        except ValidationError as error:
            return sorted(item["loc"] for item in error.errors())

    assert verdict(RolloutRequest) == verdict(oracle)


@thorough
@given(document=valid)
def test_what_ours_writes_theirs_reads(oracle, document):
    ours = RolloutRequest.model_validate(document)
    assert oracle.model_validate_json(ours.model_dump_json()).model_dump() == ours.model_dump()
