"""The exported OpenAPI document, and schemathesis against it over real HTTP."""

from __future__ import annotations

import json
import subprocess
import sys

from devkit.emulator.stack import JOB_ARN, EmulatedStack
from scripts import openapi
from tests.hostile.watch import off_loopback, sockets

# Checks that hold of every answer. Left out, each for what the contract says: ignored_auth (IAM is the
# gateway's), use_after_free and the like (no route deletes), positive_data_acceptance (a stack serves
# the jobs of one account: a well-formed request of another is refused with 403).
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
]  # fmt: skip


def test_the_exported_document_is_current():
    assert openapi.PATH.read_text() == openapi.written(), "run python -m scripts.openapi"


def known_to(stack, document):
    """The document with the stack's own names as enums, so that cases get past the trust checks."""
    metadata = document["components"]["schemas"]["RolloutMetadata"]["properties"]
    metadata["job_arn"]["enum"] = [JOB_ARN, JOB_ARN.replace("123456789012", "999999999999")]
    metadata["endpoint"]["enum"] = [stack.simulator.url, "https://evil.example"]
    metadata["region"]["enum"] = ["us-west-2", "us-east-1"]
    metadata["trajectory_id"]["pattern"] = "^t-[0-9]$"
    identifier, job = document["paths"]["/rollouts/{trajectory_id}"]["get"]["parameters"]
    identifier["schema"]["pattern"], job["schema"]["enum"] = "^t-[0-9]$", [JOB_ARN]
    return document


def test_no_generated_request_breaks_the_contract_over_http(tmp_path):
    with (
        sockets() as seen,
        EmulatedStack(lambda _: {"content": "#### 2"}, durable=tmp_path) as stack,
    ):
        for number in range(10):
            stack.simulator.hand_out(JOB_ARN, f"t-{number}", {})
        path = tmp_path / "openapi.json"
        path.write_text(json.dumps(known_to(stack, openapi.document())))
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", stack.url, "--checks", ",".join(CHECKS),
            "--max-examples", "15", "--seed", "20261124", "--phases", "examples,coverage,fuzzing",
            "--generation-database", "none", "--no-color",
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert off_loopback(seen) == set()
