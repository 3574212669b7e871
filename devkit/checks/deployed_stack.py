"""A deployed stack, and who asks about it."""

from __future__ import annotations

from dataclasses import dataclass

from devkit.checks.ask_aws import AwsReader
from devkit.checks.stack_plan import JOB_KINDS, StackPlan, job_arn


@dataclass(frozen=True)
class DeployedStack:
    """A deployed stack.

    Args:
        aws: where to ask.
        plan: with the deployed parameters.
        outputs: of the stack.
        job_role: ARN of the role a job runs with; empty if it was not named.
        caller: ARN of who asks.
    """

    aws: AwsReader
    plan: StackPlan
    outputs: dict[str, str]
    job_role: str
    caller: str

    @property
    def worker(self) -> str:
        """The worker's name."""
        return self.outputs.get("WorkerName", "")

    @property
    def job_function(self) -> str:
        """The name of the function a job invokes, without its alias."""
        return ":".join(self.outputs.get("JobLambdaArn", "").split(":")[6:7])

    @property
    def jobs(self) -> list[str]:
        """A job of each kind served, by its ARN: one that trains and one that evaluates."""
        return [job_arn(self.plan.region, self.plan.account, kind) for kind in JOB_KINDS]
