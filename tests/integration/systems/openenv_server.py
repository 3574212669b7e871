"""The example's OpenEnv server, whose words also break or end it, and which notes its sessions in a file."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from environments.served.server import Guessing, serve

LOG = Path(sys.argv[1])


class Noting(Guessing):
    def __init__(self):
        super().__init__()
        self._note("opened")

    def step(self, action, timeout_s=None, **more):
        if action.word == "kill":
            os._exit(9)
        if action.word == "raise":
            raise RuntimeError("canary of the server")
        if action.word == "sleep":
            time.sleep(3)
        return super().step(action, timeout_s, **more)

    def close(self):
        self._note("closed")

    def _note(self, what):
        with LOG.open("a") as file:
            file.write(f"{what}\n")


serve(Noting)
