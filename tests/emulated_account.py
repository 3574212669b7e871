"""An AWS account on this machine (ministack) that sam deploy deploys to, and calls to what is deployed there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from devkit.emulator.server import free_port
from tests.building import ROOT
from tests.processes import process

REGION, ACCOUNT = "us-east-1", "000000000000"
JOB_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:job/AgentRFT/deployed"


@contextmanager
def account(home: Path) -> Iterator[dict[str, str]]:
    """Yields the environment in which boto3 and SAM CLI talk to it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = {
        "GATEWAY_PORT": str(port),
        "HOME": str(home),
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.5",  # seconds between its questions; the emulator minds none
    }
    program = str(ROOT / ".tools" / "emulator" / "bin" / "ministack")
    with process([program], environ, home / "log", f"{url}/_ministack/health"):
        yield environ


def outputs_of(aws: dict[str, str], stack: str) -> dict[str, str]:
    """The outputs of a stack that is deployed there."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("cloudformation", REGION, endpoint_url=aws["AWS_ENDPOINT_URL"], **keys)
    described = client.describe_stacks(StackName=stack)["Stacks"][0]
    return {item["OutputKey"]: item["OutputValue"] for item in described["Outputs"]}


def address_of(aws: dict[str, str], url: str) -> str:
    """Where the emulator serves a deployed API, by the URL among the stack's outputs."""
    api = url.split("//")[1].split(".", maxsplit=1)[0]
    return f"{aws['AWS_ENDPOINT_URL']}/_aws/execute-api/{api}/v1"


def signed(method: str, url: str, body: bytes = b"") -> httpx.Response:
    """Call an API with AWS_IAM."""
    request = AWSRequest(method, url, data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(Credentials("test", "test"), "execute-api", REGION).add_auth(request)
    return httpx.request(method, url, content=body, headers=dict(request.headers), timeout=60)
