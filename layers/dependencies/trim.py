"""Take out of the layer what nothing in it can reach; sam build calls this with the layer's folder.

What goes is named here once, so that a reader sees it: data of services without a client in the
layer, examples, assets of a page the console does not serve, type stubs, and programs. Every module that
can be imported stays, and so do each package's METADATA and licences.
"""

from __future__ import annotations

import ast
import gzip
import json
import shutil
import sys
from pathlib import Path
from typing import Any

# The clients the library makes, and sts, which credential providers use.
SERVICES = {
    "bedrock-runtime",
    "dynamodb",
    "lambda",
    "s3",
    "sagemaker-runtime",
    "sagemakerjobruntime",
    "sagemakertrainingsessionruntime",
    "secretsmanager",
    "sts",
}
# Of the large ones, what reads and writes data: a client is made from every operation of its model, and
# S3 has 110. The rest is configuration, which no rollout has permission for.
OPERATIONS = {
    "bedrock-runtime": {"Converse"},
    "dynamodb": {
        "BatchGetItem", "BatchWriteItem", "DeleteItem", "DescribeTable", "GetItem", "PutItem", "Query",
        "Scan", "TransactGetItems", "TransactWriteItems", "UpdateItem",
    },
    "lambda": {
        "CheckpointDurableExecution", "GetDurableExecution", "GetDurableExecutionState", "Invoke",
    },
    "sagemakertrainingsessionruntime": {"SampleTrainingSession"},
    "secretsmanager": {"GetSecretValue"},
    "s3": {
        "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload",
        "DeleteObject", "DeleteObjects", "GetObject", "HeadBucket", "HeadObject", "ListObjectsV2",
        "PutObject", "UploadPart",
    },
}  # fmt: skip
# endpoints.json names a service by its host's first label, not by its client.
PREFIXES = {
    "bedrock-runtime", "dynamodb", "lambda", "s3", "runtime.sagemaker", "secretsmanager", "sts",
}  # fmt: skip
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


# Packages that import every event source there is for the one that is used: a third of the modules of a
# cold start. In the layer their names are imported when they are asked for.
LAZY = ("aws_lambda_powertools/event_handler", "aws_lambda_powertools/utilities/data_classes")
_GETATTR = """

def __getattr__(name):
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(place, __name__), name)
    globals()[name] = value
    return value
"""


def trim(python: Path) -> None:
    """Trim the layer's ``python`` folder in place."""
    for package in LAZY:
        _be_lazy(python / package / "__init__.py")
    for pattern in GONE:
        for path in list(python.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    data = python / "botocore" / "data"
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in SERVICES:
            shutil.rmtree(folder)
    for service in SERVICES:
        *older, newest = sorted((data / service).iterdir())
        for version in older:  # clients are made from the newest
            shutil.rmtree(version)
        _cut(newest, OPERATIONS.get(service))
    # Read whole for the first client that is made: 300 services cost time as well as room.
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        kept = {name: known for name, known in partition["services"].items() if name in PREFIXES}
        partition["services"] = kept
    (data / "endpoints.json").write_text(json.dumps(endpoints, separators=(",", ":")))


def _be_lazy(init: Path) -> None:
    """Have a package that only imports names from its modules import each when it is asked for."""
    places: dict[str, str] = {}
    kept: list[str] = []
    for node in ast.parse(init.read_text()).body:
        match node:
            case ast.ImportFrom(module=str(module), names=names, level=level):
                # A name that is its module's as well would be taken for it once that is imported.
                own = [name for name in names if name.name == module.rpartition(".")[2]]
                kept += [ast.unparse(ast.ImportFrom(module, own, level))] if own else []
                places |= {
                    name.asname or name.name: "." * level + module
                    for name in names
                    if name not in own
                }
            case ast.Expr(value=ast.Constant()) | ast.Assign():  # its docstring, __all__
                kept.append(ast.unparse(node))
            case _:
                raise SystemExit(f"{init} does more than import names")
    init.write_text("\n".join([*kept, f"_PLACES = {places!r}", _GETATTR]))


def _cut(version: Path, operations: set[str] | None) -> None:
    """Leave of one version of a service what a client is made from, as plain JSON without its prose."""
    for packed in list(version.glob("*.json.gz")):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    for path in version.glob("*.json"):
        document = _without_prose(json.loads(path.read_text()))
        if operations is not None and path.name == "service-2.json":
            known = document["operations"]
            if missing := operations - set(known):
                raise SystemExit(f"{path} has no {', '.join(sorted(missing))}")
            document["operations"] = {name: known[name] for name in known if name in operations}
            document["shapes"] = _reached(document)
        elif operations is not None and path.name.startswith("paginators-1"):
            kept = document.get("pagination", {})
            document["pagination"] = {k: v for k, v in kept.items() if k in operations}
        elif operations is not None and path.name.startswith("waiters-2"):
            kept = document["waiters"]
            document["waiters"] = {k: v for k, v in kept.items() if v["operation"] in operations}
        path.write_text(json.dumps(document, separators=(",", ":")))


def _without_prose(value: Any) -> Any:
    """A document without the texts that only documentation is made from."""
    if isinstance(value, dict):
        return {
            # botocore reads the texts of these few.
            name: part if name == "clientContextParams" else _without_prose(part)
            for name, part in value.items()
            if not (name == "documentation" and isinstance(part, str))
        }
    return [_without_prose(part) for part in value] if isinstance(value, list) else value


def _reached(model: dict[str, Any]) -> dict[str, Any]:
    """The shapes that a model's operations lead to, in their order."""
    shapes, found = model["shapes"], set[str]()
    following = list(model["operations"].values())
    while following:
        part = following.pop()
        if isinstance(part, list):
            following.extend(part)
        elif isinstance(part, dict):
            following.extend(part.values())
            name = part.get("shape")
            if isinstance(name, str) and name not in found:
                found.add(name)
                following.append(shapes[name])
    return {name: shape for name, shape in shapes.items() if name in found}


if __name__ == "__main__":
    trim(Path(sys.argv[1]))
