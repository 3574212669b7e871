"""Published on-demand prices and default quotas, as one frozen table each, with where they were read.

US dollars, first tier, no free tier, no savings plan. AWS draws the price tables of its pages in the
browser, so a stored page holds the prices of its worked examples only, and those are of US East (N.
Virginia). US West (Oregon) has so far had the same prices for the services here; the regional table
itself could not be read, so check ``https://calculator.aws`` before you budget. A figure that no AWS
page confirmed has ``confirmed=False``.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

READ_ON = "2026-11-24"
REGION = "us-west-2"

_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_LAMBDA_QUOTAS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_S3 = "https://aws.amazon.com/s3/pricing/"


@dataclass(frozen=True, slots=True)
class Price:
    """What one unit costs.

    Args:
        dollars: for one ``unit``.
        unit: what is counted.
        source: the page that has it.
        confirmed: whether AWS's own page was read; otherwise another publication that cites it.
    """

    dollars: float
    unit: str
    source: str
    confirmed: bool = True


PRICES = MappingProxyType(
    {
        "lambda-arm64": Price(0.0000133334, "GB-second", _LAMBDA),
        "lambda-x86_64": Price(0.0000166667, "GB-second", _LAMBDA),
        "lambda-requests": Price(0.20 / 1e6, "request", _LAMBDA),
        "durable-operations": Price(8.00 / 1e6, "operation", _LAMBDA),
        "durable-written": Price(0.25, "GB written", _LAMBDA),
        "durable-retained": Price(0.15, "GB-month", _LAMBDA),
        "api-gateway-rest": Price(
            3.50 / 1e6, "request", "https://aws.amazon.com/api-gateway/pricing/", confirmed=False
        ),
        "dynamodb-writes": Price(0.625 / 1e6, "write request unit", _DYNAMODB, confirmed=False),
        "dynamodb-reads": Price(0.125 / 1e6, "read request unit", _DYNAMODB, confirmed=False),
        "dynamodb-storage": Price(0.25, "GB-month", _DYNAMODB, confirmed=False),
        "dynamodb-recovery": Price(0.20, "GB-month", _DYNAMODB, confirmed=False),
        "s3-puts": Price(0.005 / 1e3, "PUT request", _S3, confirmed=False),
        "s3-gets": Price(0.0004 / 1e3, "GET request", _S3, confirmed=False),
        "s3-storage": Price(0.023, "GB-month", _S3, confirmed=False),
        "logs-ingested": Price(0.50, "GB ingested", _CLOUDWATCH, confirmed=False),
        "logs-stored": Price(0.03, "GB-month, compressed", _CLOUDWATCH, confirmed=False),
        "metrics": Price(0.30, "custom metric and month", _CLOUDWATCH, confirmed=False),
        "alarms": Price(0.10, "alarm and month", _CLOUDWATCH, confirmed=False),
        "dashboards": Price(3.00, "dashboard and month", _CLOUDWATCH, confirmed=False),
        # Events of AWS services on the default bus, as our closer takes, cost nothing.
        "events-custom": Price(
            1.00 / 1e6,
            "custom event",
            "https://aws.amazon.com/eventbridge/pricing/",
            confirmed=False,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Quota:
    """A default limit.

    Args:
        limit: at most so many ``unit``.
        unit: what is counted.
        source: the page that has it.
        code: of the Service Quotas entry that tells an account's own value; empty if there is none.
        raisable: whether AWS raises it on request.
    """

    limit: float
    unit: str
    source: str
    code: str = ""
    raisable: bool = True


_DYNAMODB_QUOTAS = (
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html"
)

QUOTAS = MappingProxyType(
    {
        "lambda-concurrency": Quota(
            1_000, "environments at once, account and region", _LAMBDA_QUOTAS, "L-B99A9384"
        ),
        "lambda-scaling": Quota(
            100, "new environments a second and function", _LAMBDA_QUOTAS, raisable=False
        ),
        "durable-starts": Quota(300, "durable starts a second", _LAMBDA_QUOTAS, "L-A0D6E196"),
        # 10,000 outside US East (N. Virginia), US West (Oregon) and Europe (Ireland).
        "checkpoints": Quota(20_000, "checkpoint calls a second", _LAMBDA_QUOTAS, "L-DF87A8A6"),
        # The closer looks up every execution that ended badly.
        "durable-lookups": Quota(30, "GetDurableExecution calls a second", _LAMBDA_QUOTAS),
        "durable-running": Quota(10_000_000, "executions at once", _LAMBDA_QUOTAS, "L-ABBF0CF3"),
        "durable-operations": Quota(
            3_000, "operations an execution", _LAMBDA_QUOTAS, "L-42D0A120", raisable=False
        ),
        "durable-written": Quota(
            100, "MB written an execution", _LAMBDA_QUOTAS, "L-560437FE", raisable=False
        ),
        "dynamodb-partition": Quota(
            1_000, "write units a second and partition", _DYNAMODB_QUOTAS, raisable=False
        ),
        "dynamodb-table": Quota(
            4_000,
            "write units a second, a new on-demand table",
            "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html",
        ),
        "s3-puts": Quota(
            3_500,
            "PUTs a second and prefix",
            "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
            raisable=False,
        ),
        "api-gateway": Quota(
            10_000,
            "requests a second, account and region",
            "https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html",
            "L-8A5B8E43",
        ),
    }
)


def dollars(name: str, amount: float) -> float:
    """What ``amount`` units of a price cost, in US dollars."""
    return PRICES[name].dollars * amount
