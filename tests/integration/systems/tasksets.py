"""Tasksets that fail, each at another of verifiers' boundaries."""

from __future__ import annotations

import os
import signal

import verifiers.v1 as vf


class _Task(vf.Task):
    @vf.reward
    async def said(self, trace):
        return float(trace.last_reply == self.data.name)


def taskset(kind, **data):
    """A taskset of one task."""

    class One(vf.Taskset[kind]):
        def load(self):
            yield kind(vf.TaskData(prompt="Say yes.", name="yes", **data))

    return One


class RaisingReward(_Task):
    @vf.reward
    async def broken(self, trace):
        raise KeyError("canary-secret-of-a-task")


class RaisingSetup(_Task):
    async def setup(self, trace, runtime):
        raise RuntimeError("no data")


class BrokenSandbox(_Task):
    async def setup(self, trace, runtime):
        raise vf.SandboxError("the box is gone")


class BrokenTools(_Task):
    @classmethod
    def toolsets(cls, config):
        raise OSError("no server")


class Unrewarded(vf.Task):
    pass


class Stopped(_Task):
    @vf.stop
    async def enough(self, trace: vf.Trace) -> bool:
        return trace.num_turns >= 2


class DyingToolset(vf.Toolset[vf.ToolsetConfig, vf.State]):
    TOOL_PREFIX = None

    @vf.tool
    async def die(self) -> str:
        """End the server."""
        os.kill(os.getpid(), signal.SIGKILL)
        return "never"


class Dying(_Task):
    @classmethod
    def toolsets(cls, config):
        return [DyingToolset(vf.ToolsetConfig())]


if __name__ == "__main__":
    DyingToolset.run()
