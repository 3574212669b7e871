"""What the fork server imports, so that a child begins with everything loaded."""

from __future__ import annotations

import boto3

import tests.chaos.killer
import tests.playing  # noqa: F401

# Loads the service models into the session's cache.
for _service in ("lambda", "dynamodb", "s3", "sagemakerjobruntime"):
    boto3.client(_service, "us-west-2", aws_access_key_id="x", aws_secret_access_key="x")
