"""A game on an OpenEnv server as an agent (docs/environments/openenv.md); ``server.py`` is the server."""

from __future__ import annotations

import os

from rollout.adapters.openenv import openenv

served = openenv(
    os.environ.get("OPENENV_URL", "http://127.0.0.1:8000"),
    system="Answer with a number alone.",
    action="word",
    observe="text",
)
