"""Routes below a custom domain's base path."""

from __future__ import annotations

import pytest

from rollout.contract import route_path


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
def test_the_base_path_is_taken_off(path, resource, parameters, own):
    event = {"path": path, "resource": resource, "pathParameters": parameters}
    assert route_path(event) == own
