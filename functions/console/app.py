"""The console behind API Gateway: the ASGI application through Mangum."""

from __future__ import annotations

import asyncio

from mangum import Mangum

from console.application import application
from console.stage import under_stage
from rollout.settings import settings
from rollout.storage.archive import Archive

# Mangum runs on the thread's event loop, which Python no longer makes by itself.
asyncio.set_event_loop(asyncio.new_event_loop())
handler = Mangum(under_stage(application(lambda: Archive(settings()), settings)), lifespan="off")
