"""Numbers: one line of CloudWatch's embedded metric format per event, of which CloudWatch makes metrics.

Every combination of a metric's name and dimension values is a custom metric that is billed. So each
dimension takes few values: one ``service`` (the stack), one ``agent``, the boundaries of
:data:`BOUNDARIES`, and of jobs only those the setting ``ROLLOUT_JOB_METRICS`` names. Everything else
(job, trajectory and execution ids) stands in the line as a property, where Logs Insights finds it.

Source of the format: CloudWatch user guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import fnmatch
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from aws_lambda_powertools.metrics.functions import is_metrics_disabled
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)

from rollout.settings import Settings

NAMESPACE = "Rollout"
# Every metric there is, and its unit.
METRICS = {
    "RolloutsAccepted": "Count",
    "RolloutsCompleted": "Count",
    "RolloutsFailed": "Count",
    "RolloutsFloored": "Count",
    "RolloutsClosed": "Count",
    "Reward": "None",
    "Turns": "Count",
    "TokensIn": "Count",
    "TokensOut": "Count",
    "SampleLatency": "Seconds",
    "InlineSeconds": "Seconds",
    "InlineOverruns": "Count",
    "DurableSeconds": "Seconds",
    "Replays": "Count",
    "ReportRetries": "Count",
    "ReportsPending": "Count",
    "TextToolCalls": "Count",
    "Healthy": "Count",
}
# What is counted by the boundary at fault as well, and the boundaries a rollout can fail at.
BY_BOUNDARY = ("RolloutsFailed",)
BOUNDARIES = ("agent", "policy", "tool", "deadline", "trainer", "platform")
OTHER_JOBS = "other"

# A line takes 100 values of one metric; the provider prints by itself when it has 100.
_MOST_VALUES = 99

Values = Mapping[str, float | Sequence[float]]


def service() -> str:
    """The name that logs and metrics carry: the stack's."""
    return os.environ.get("POWERTOOLS_SERVICE_NAME", "rollout")


def job_dimension(job_arn: str, patterns: Sequence[str]) -> str:
    """The value of the dimension ``job``: the first pattern the job's name matches, or ``other``."""
    name = job_arn.rsplit("/", 1)[-1]
    return next((p for p in patterns if fnmatch.fnmatchcase(name, p)), OTHER_JOBS)


def emit(values: Values, settings: Settings, *, ids: Mapping[str, str], boundary: str = "") -> None:
    """Print the numbers of one event; nothing where Powertools' metrics are switched off.

    Args:
        values: by the names in :data:`METRICS`; a list is a distribution.
        settings: for the dimensions.
        ids: properties of the line, no dimensions.
        boundary: where the rollout failed, if it did.
    """
    if is_metrics_disabled():
        return
    rest: dict[str, list[float]] = {}
    for name, value in values.items():
        rest[name] = [value] if isinstance(value, (int, float)) else list(value)
    while any(rest.values()):
        part = {name: many[:_MOST_VALUES] for name, many in rest.items() if many}
        rest = {name: many[_MOST_VALUES:] for name, many in rest.items()}
        line = json.dumps(_document(part, settings, ids, boundary), separators=(",", ":"))
        sys.stdout.write(f"{line}\n")


def _document(
    values: dict[str, list[float]], settings: Settings, ids: Mapping[str, str], boundary: str
) -> dict[str, Any]:
    always = {"service": service(), "agent": settings.agent}
    provider: Any = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, dimension_set=dict(always))
    for name, many in values.items():
        for value in many:
            provider.add_metric(name, METRICS[name], value)
    job_arn = ids.get("job_arn", "")
    if settings.job_metrics and job_arn:
        provider.add_dimensions(**always, job=job_dimension(job_arn, settings.job_metrics))
    document: dict[str, Any] = {**provider.serialize_metric_set(), **ids}
    by_boundary = [name for name in BY_BOUNDARY if boundary and any(values.get(name, ()))]
    if boundary:
        document["boundary"] = boundary
    if by_boundary:
        document["_aws"]["CloudWatchMetrics"].append(
            {
                "Namespace": NAMESPACE,
                "Dimensions": [[*always, "boundary"]],
                "Metrics": [{"Name": name, "Unit": METRICS[name]} for name in by_boundary],
            }
        )
    return document
