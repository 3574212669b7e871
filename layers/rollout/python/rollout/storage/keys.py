"""Every key of the table and the bucket, built and taken apart here alone; docs/records.md has the list.

The table's rows have ``pk`` and ``sk``. Its three indexes have keys of their own: ``by_job`` (a job's
rollouts by time, spread over shards), ``by_group`` (the rollouts of one instance) and ``open`` (what has
not ended, by when something is due; sparse).
"""

from __future__ import annotations

import hashlib

# Sort key of a rollout's row.
ROLLOUT = "rollout"
# Partition of the rows that list the jobs, with the moment each began.
JOBS = "jobs"
# Stands for the job where a rollout belongs to none.
EVALUATION = "evaluation"
# The row that is there while the stack drains.
DRAINING = {"pk": "stack", "sk": "draining"}
# A step hands out thousands of rollouts of one job at once; one index partition takes 1,000 writes
# a second, so a job is spread over several.
SHARDS = 16
# Partitions that a job's totals, and those of its groups, may take: each takes 1,000 writes a second.
PARTS = 4


def job_of(job_arn: str) -> str:
    """A job as keys name it: its ARN, or ``evaluation`` where there is none."""
    return job_arn or EVALUATION


def arn_of(job: str) -> str:
    """The ARN of a job that keys name; empty where it is ``evaluation``."""
    return "" if job == EVALUATION else job


# --- rows -----------------------------------------------------------------------------------------


def rollout(job_arn: str, trajectory_id: str) -> str:
    """Partition of a rollout's row."""
    return f"rollout#{job_arn}#{trajectory_id}"


def trajectory_of(pk: str, job_arn: str) -> str:
    """The trajectory id in a :func:`rollout` key; both parts may hold any sign but the job is known."""
    return pk.removeprefix(rollout(job_arn, ""))


def job_in(pk: str) -> str:
    """The job in a :func:`rollout` key; a job's ARN holds no ``#``."""
    return job_of(pk.split("#", 2)[1])


def totals(job: str, part: int) -> str:
    """A partition of a job's totals over time.

    Args:
        part: 0 to :data:`PARTS`; the first is the one that is written to, until it is throttled.
    """
    return f"totals#{job}#{part}"


def moment(start: int, width: int) -> str:
    """Sort key of the totals of one moment.

    Args:
        start: epoch seconds.
        width: seconds it lasts.
    """
    return f"{start:010d}#{width}"


def groups(job: str, group_id: str) -> str:
    """Partition of the totals of a group, which is the sort key; in the order of their keys."""
    return groups_part(job, int(group_id[:1], 16) * PARTS // 16)


def groups_part(job: str, part: int) -> str:
    """A partition of the totals of a job's groups; later parts have larger keys."""
    return f"groups#{job}#{part}"


def totals_of(job: str) -> list[str]:
    """Every partition with totals of a job."""
    return [of(job, part) for of in (totals, groups_part) for part in range(PARTS)]


# --- indexes --------------------------------------------------------------------------------------


def shard_of(trajectory_id: str) -> int:
    """The shard of the indexes that a rollout is in."""
    return hashlib.sha256(trajectory_id.encode()).digest()[0] % SHARDS


def job_shard(job: str, shard: int) -> str:
    """Partition of ``by_job``."""
    return f"{job}#{shard:x}"


def open_shard(shard: int) -> str:
    """Partition of ``open``."""
    return f"open#{shard:x}"


def group(job: str, group_id: str) -> str:
    """Partition of ``by_group``."""
    return f"{job}#{group_id}"


# --- objects --------------------------------------------------------------------------------------


def trajectory(job_arn: str, trajectory_id: str) -> str:
    """The object with a rollout's trajectory."""
    job = job_arn.rsplit("/", 1)[-1] or EVALUATION
    return f"trajectories/{job}/{_digest(job_arn, trajectory_id)}.json.gz"


def request(job_arn: str, trajectory_id: str, fingerprint: str) -> str:
    """The object with a request that is too large for the row."""
    return f"requests/{_digest(job_arn, trajectory_id, fingerprint)}.json"


def note(job_arn: str, trajectory_id: str, fingerprint: str) -> str:
    """The object with a result that could not be written to the row; it expires as checkpoints do."""
    return f"checkpoints/note-{_digest(job_arn, trajectory_id, fingerprint)}.json"


def checkpoint(execution_arn: str, operation_id: str) -> str:
    """The object with a step's value that is too large for a checkpoint."""
    return f"checkpoints/{_digest(execution_arn, operation_id)}.json"


# --- executions -----------------------------------------------------------------------------------


def execution(job_arn: str, trajectory_id: str, attempt: int, nonce: str) -> str:
    """The durable execution's name: 64 hexadecimal characters, one per acceptance of a rollout."""
    return _digest(job_arn, trajectory_id, str(attempt), nonce)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
