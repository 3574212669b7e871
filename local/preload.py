"""What a fork server imports, so that a worker forked from it begins with everything loaded."""

from __future__ import annotations

import boto3

import local.killer  # noqa: F401

# Loads the service models into the session's cache.
for _service in ("lambda", "dynamodb", "s3", "sagemakerjobruntime"):
    boto3.client(_service, "us-west-2", aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106
