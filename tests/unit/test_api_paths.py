"""Routes below a custom domain's base path."""

from __future__ import annotations

import importlib.util

import pytest

from tests.building import ROOT


@pytest.fixture(scope="module")
def own_path():
    spec = importlib.util.spec_from_file_location("api_paths", ROOT / "functions/rollout/api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module._own_path


@pytest.mark.parametrize(
    ("path", "resource", "parameters", "own"),
    [
        ("/train/rollout", "/rollout", None, "/rollout"),
        ("/a/b/health", "/health", None, "/health"),
        ("/train/rollouts/t-1", "/rollouts/{trajectory_id+}", {"trajectory_id": "t-1"}, "/rollouts/t-1"),
        ("/rollouts/rollouts/a/b", "/rollouts/{trajectory_id+}", {"trajectory_id": "a/b"}, "/rollouts/a/b"),
        ("/train/nothing", "/{proxy+}", {"proxy": "nothing"}, "/nothing"),
        ("/rollout", "/rollout", None, "/rollout"),
        ("/x/rollout", "/{proxy+}", {"proxy": "x/rollout"}, "/x/rollout"),
        ("/train/rollout", "/{proxy+}", {"proxy": "rollout"}, "/rollout"),
        ("/", "/", None, "/"),
        (None, "/rollout", None, None),
        ("/health", None, None, "/health"),
    ],
)  # fmt: skip
def test_the_base_path_is_taken_off(own_path, path, resource, parameters, own):
    event = {"path": path, "resource": resource, "pathParameters": parameters}
    assert own_path(event) == own
