"""The console behind API Gateway: the ASGI application through Mangum."""

from __future__ import annotations

from mangum import Mangum

from console.application import application
from console.stage import under_stage
from rollout.archive import Archive
from rollout.settings import settings

handler = Mangum(under_stage(application(lambda: Archive(settings()), settings)), lifespan="off")
