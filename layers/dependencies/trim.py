"""Take out of the layer what nothing in it can reach; sam build calls this with the layer's folder.

What goes is named here once, so that a reader sees it: data of services without a client in the
layer, examples, assets of a page the console does not serve, type stubs, and programs. Every module that
can be imported stays, and so do each package's METADATA and licences.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

# The clients the library makes, and sts, which credential providers use.
SERVICES = {"dynamodb", "lambda", "s3", "sagemaker-runtime", "sagemakerjobruntime", "sts"}
# endpoints.json names a service by its host's first label, not by its client.
PREFIXES = {"dynamodb", "lambda", "s3", "runtime.sagemaker", "sts"}
GONE = (
    "bin",
    "boto3/examples",
    "boto3/data/*/",  # resources; the library has clients only
    "botocore/data/*/*/examples-1.json",
    # What APIGatewayRestResolver.enable_swagger() would serve; ours does not.
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.js",
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.css",
    "**/tests/",
    "**/__pycache__/",
    "**/*.pyi",
)


def trim(python: Path) -> None:
    """Trim the layer's ``python`` folder in place."""
    for pattern in GONE:
        for path in list(python.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    data = python / "botocore" / "data"
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in SERVICES:
            shutil.rmtree(folder)
    # Read whole for the first client that is made: 300 services cost time as well as room.
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        kept = {name: known for name, known in partition["services"].items() if name in PREFIXES}
        partition["services"] = kept
    (data / "endpoints.json").write_text(json.dumps(endpoints, separators=(",", ":")))


if __name__ == "__main__":
    trim(Path(sys.argv[1]))
