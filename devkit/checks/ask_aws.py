"""Asking AWS, read-only: what it refuses or does not answer becomes a finding, never a crash."""

from __future__ import annotations

from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from devkit.aws_session import client
from devkit.checks.check_result import CheckResult, unchecked

_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "RequestExpired")
_MISSING = ("ResourceNotFoundException", "NoSuchEntity", "NoSuchResourceException")


class Unanswered(Exception):
    """A question that AWS did not answer.

    Args:
        finding: what the report says instead.
        general: whether no other question would be answered either.
    """

    def __init__(self, finding: CheckResult, *, general: bool = False) -> None:
        super().__init__(finding.what)
        self.finding = finding
        self.general = general


class AwsReader:
    """Clients of one region that answer within seconds or not at all.

    Args:
        region: of the stack.
    """

    def __init__(self, region: str) -> None:
        self.region = region
        self._config = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
        self._clients: dict[str, Any] = {}

    def ask(self, check: str, service: str, operation: str, **parameters: Any) -> Any:
        """Call one operation; None where what it asks about does not exist.

        Args:
            check: named in the finding if it is not answered.
            service: as boto3 calls it, e.g. ``service-quotas``.
            operation: as boto3 calls it, e.g. ``get_role``.

        Raises:
            Unanswered: AWS refused, or did not answer.
        """
        try:
            if service not in self._clients:
                where = {"region_name": self.region, "config": self._config}
                self._clients[service] = client(service, **where)
            return getattr(self._clients[service], operation)(**parameters)
        except ClientError as refused:
            return self._refused(check, service, operation, refused)
        except NoCredentialsError:
            raise Unanswered(
                unchecked(
                    check,
                    "There are no AWS credentials here; what AWS knows was not checked.",
                    "Log in (aws sso login, or AWS_PROFILE) and check again.",
                ),
                general=True,
            ) from None
        except BotoCoreError as silent:
            raise Unanswered(
                unchecked(
                    check,
                    f"Could not check: {_action(service, operation)} did not answer "
                    f"({type(silent).__name__}).",
                    "Check the network and the region, then check again.",
                )
            ) from None

    def _refused(self, check: str, service: str, operation: str, refused: ClientError) -> Any:
        answer: Any = refused.response
        code = str(answer.get("Error", {}).get("Code", ""))
        text = str(answer.get("Error", {}).get("Message", ""))
        if code in _MISSING or (code == "ValidationError" and "does not exist" in text):
            return None
        action = _action(service, operation)
        if code in _DENIED:
            finding = unchecked(
                check, f"Could not check: this needs {action}.", f"Allow {action} to yourself."
            )
            raise Unanswered(finding) from None
        if code in _EXPIRED:
            finding = unchecked(
                check,
                "The AWS credentials here are expired or unknown; the rest was not checked.",
                "Log in and check again.",
            )
            raise Unanswered(finding, general=True) from None
        finding = unchecked(
            check, f"Could not check: {action} answered {code}.", "Try again, or look by hand."
        )
        raise Unanswered(finding) from None


def _action(service: str, operation: str) -> str:
    """The IAM action of an operation; API Gateway's are named by the HTTP method."""
    if service == "apigateway":
        return "apigateway:GET"
    prefix = {"service-quotas": "servicequotas"}.get(service, service)
    return f"{prefix}:{''.join(word.capitalize() for word in operation.split('_'))}"
