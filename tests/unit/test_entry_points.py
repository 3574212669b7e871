from __future__ import annotations

from devkit.emulator.gateway import LambdaContext, environment_of, proxy_event
from devkit.emulator.stack import HANDLERS
from rollout.settings import settings
from tests.building import ENVIRON


def test_environments_of_one_process_do_not_read_each_others_event(monkeypatch):
    """Given two environments, when one serves in the midst of the other, then both answer their own."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    ours, theirs = (environment_of(HANDLERS / "api.py")() for _ in range(2))
    between = []

    class Interrupted(dict):
        """An event that lets the other environment serve the first time its method is read."""

        def __getitem__(self, key):
            if key == "httpMethod" and not between:
                between.append(None)
                between[0] = theirs(proxy_event("GET", "/nowhere"), LambdaContext())
            return super().__getitem__(key)

    answer = ours(Interrupted(proxy_event("GET", "/health")), LambdaContext())
    settings.cache_clear()
    assert between[0]["statusCode"] == 404
    assert answer["statusCode"] == 200
