"""A real resources server of NeMo Gym's, its counter with a session; a count of 999 ends it, of 888 breaks it.

What NeMo Gym imports beside its servers (ray, wandb and others, a gigabyte) is stood in for by empty modules.
"""

from __future__ import annotations

import importlib.machinery
import os
import socket
import sys
import types

_ABSENT = {
    "datasets",
    "devtools",
    "docker",
    "gprof2dot",
    "gunicorn",
    "mlflow",
    "pydot",
    "ray",
    "wandb",
    "yappi",
}


class _Absent:
    """Finds an empty module for each of the absent packages."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in _ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda name: lambda *given, **named: None
        return module

    def exec_module(self, module):
        pass


sys.meta_path.append(_Absent())

import uvicorn  # noqa: E402 - what is imported here needs the stand-ins
from resources_servers.example_session_state_mgmt import app as counter  # noqa: E402


class Server(counter.StatefulCounterResourcesServer):
    async def increment_counter(
        self, request: counter.Request, body: counter.IncrementCounterRequest
    ):
        if body.count == 999:
            os._exit(9)
        if body.count == 888:
            raise RuntimeError("canary of the server")
        return await super().increment_counter(request, body)


config = counter.StatefulCounterResourcesServerConfig(host="127.0.0.1", port=0, entrypoint="app.py", name="counter",
                                                      domain="agent")  # fmt: skip
app = Server.model_construct(config=config, session_id_to_counter={}).setup_webserver()
listening = socket.create_server(("127.0.0.1", 0))
sys.stdout.write(f"{listening.getsockname()[1]}\n")
sys.stdout.flush()
uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listening])
