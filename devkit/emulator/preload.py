"""What a fork server imports, so that a worker forked from it begins with everything loaded."""

from __future__ import annotations

import importlib

from devkit.aws_session import client

importlib.import_module("devkit.emulator.process_killer")

# Loads the service models into the session's cache.
for _service in ("lambda", "dynamodb", "s3", "sagemakerjobruntime"):
    _keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}  # nosec B105 - nothing is asked
    client(_service, region_name="us-west-2", **_keys)
