"""May we talk to this host, account, region and endpoint?

The request names the host that our credentials are sent to, so the rule is an exact match against
hosts this module builds itself or the operator listed; nothing is matched by suffix or pattern.
Job Runtime host: botocore's endpoint rule set for ``sagemakerjobruntime``
(``job-runtime.sagemaker.{region}.api.aws``, ``sagemaker-fips`` for its FIPS host); a stage label as in
``sagemaker.train.rft.feedback``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from rollout.contract import RolloutMetadata, RolloutRequest
from rollout.errors import Untrusted
from rollout.settings import Settings

# Source: shape JobArn of the botocore service model; boto3 itself does not check it.
_JOB_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z\-]*):sagemaker:(?P<region>[a-z0-9\-]*):(?P<account>[0-9]{12})"
    r":job/[a-zA-Z0-9_\-]+/[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
)
_TRAJECTORY_ID = re.compile(r"[A-Za-z0-9._:/-]{1,256}")
_MODEL_ENDPOINT = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_BASE_URL = re.compile(
    r"(?P<origin>https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[::1\])(?::[0-9]{1,5})?)"
    r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?"
)
_LONGEST_URL = 2_048
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\]):[0-9]{1,5}")
# The machine that a container of sam local runs on, where the emulated Job Runtime listens.
_CONTAINER_HOST = re.compile(r"http://host\.docker\.internal:[0-9]{1,5}")
_DNS_SUFFIX = {"aws": "api.aws", "aws-cn": "api.amazonwebservices.com.cn", "aws-us-gov": "api.aws"}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a rollout's turns are sampled and its report goes, after every check passed.

    ``job_arn`` and ``endpoint`` are empty for a rollout on another policy than a job's that belongs to
    no job: its report goes nowhere, its reward is in the answer.
    """

    job_arn: str
    trajectory_id: str
    endpoint: str
    region: str
    model_endpoint: str
    training_session: str = ""
    base_url: str = ""
    api_key: str = field(default="", repr=False)

    @property
    def of_job(self) -> bool:
        """Whether turns are sampled at the Job Runtime, which captures them."""
        return not (self.model_endpoint or self.training_session or self.base_url)


def job_runtime_endpoint(
    region: str, *, stage: str = "", partition: str = "aws", fips: bool = False
) -> str:
    """The Job Runtime's URL in a region.

    Args:
        region: e.g. ``us-west-2``.
        stage: a non-production stage's label, empty for production.
        partition: the ARN's partition.
        fips: the host with FIPS-validated cryptography, which has no stages.
    """
    label = f"{stage}." if stage else ""
    service = "sagemaker-fips" if fips else "sagemaker"
    suffix = _DNS_SUFFIX.get(partition, "api.aws")
    return f"https://job-runtime.{label}{service}.{region}.{suffix}"


def check(request: RolloutRequest, settings: Settings) -> Destination:
    """Decide where this rollout may go.

    Raises:
        Untrusted: naming the field at fault and the setting that would allow it.
    """
    metadata = request.metadata
    other = {
        "model_endpoint": _check_model_endpoint(request.model_endpoint, settings),
        "training_session": _check_training_session(request.training_session, settings),
        "base_url": _check_base_url(request.base_url, settings),
        "api_key": _check_api_key(request.api_key, settings),
    }
    if any(other.values()) and not metadata.job_arn:
        _check_trajectory_id(metadata.trajectory_id)
        return Destination("", metadata.trajectory_id, "", settings.region, **other)
    return replace(check_metadata(metadata, settings), **other)


def check_metadata(metadata: RolloutMetadata, settings: Settings) -> Destination:
    """Decide whether a job's trajectory may be sampled and reported at the endpoint it names.

    Raises:
        Untrusted: naming the field at fault and the setting that would allow it.
    """
    _check_trajectory_id(metadata.trajectory_id)
    region, partition = _check_job(metadata, settings)
    endpoint = _check_endpoint(metadata.endpoint, region, partition, settings)
    return Destination(metadata.job_arn, metadata.trajectory_id, endpoint, region, "")


def is_name(job_arn: str, trajectory_id: str) -> bool:
    """Whether a rollout could have this job and this id; an evaluation has no job."""
    plausible = not job_arn or (len(job_arn) <= 256 and _JOB_ARN.fullmatch(job_arn))
    return bool(plausible and _TRAJECTORY_ID.fullmatch(trajectory_id))


def _check_trajectory_id(trajectory_id: str) -> None:
    if not _TRAJECTORY_ID.fullmatch(trajectory_id):
        raise Untrusted(
            "metadata.trajectory_id must be 1 to 256 characters of A-Z a-z 0-9 . _ : / -",
            field="metadata.trajectory_id",
        )


def _check_model_endpoint(name: str | None, settings: Settings) -> str:
    if not name:
        return ""
    if not _MODEL_ENDPOINT.fullmatch(name) or name not in settings.trust.allowed_model_endpoints:
        raise Untrusted(
            "model_endpoint is not one of ROLLOUT_ALLOWED_MODEL_ENDPOINTS.", field="model_endpoint"
        )
    return name


def _check_training_session(name: str | None, settings: Settings) -> str:
    if not name:
        return ""
    allowed = settings.trust.allowed_training_sessions
    if not _MODEL_ENDPOINT.fullmatch(name) or not {name, "*"} & allowed:
        raise Untrusted(
            "training_session is not one of ROLLOUT_ALLOWED_TRAINING_SESSIONS.",
            field="training_session",
        )
    return name


def _check_base_url(url: str | None, settings: Settings) -> str:
    """Return the base URL if its host is exactly one the operator listed.

    What it may consist of leaves nothing for two parsers to read differently: no user, query, fragment,
    escape or dotted path. Plain http is for a server on this machine, and never in Lambda.
    """
    if not url:
        return ""
    listed = settings.trust.allowed_base_urls
    known = {f"https://{entry}" for entry in listed}
    if settings.place != "lambda":
        known |= _local(listed, settings)
    match = _BASE_URL.fullmatch(url) if len(url) <= _LONGEST_URL else None
    if not match or match["origin"] not in known:
        raise Untrusted(
            "base_url must be https://HOST/PATH, with a HOST (and port, if it has one) of "
            "ROLLOUT_ALLOWED_BASE_URLS and a plain PATH.",
            field="base_url",
        )
    return url.rstrip("/")


def _check_api_key(key: str | None, settings: Settings) -> str:
    if key and settings.trust.base_url_secret:
        raise Untrusted(
            "api_key: this stack reads the key from ROLLOUT_BASE_URL_SECRET and takes none from "
            "requests.",
            field="api_key",
        )
    return key or ""


def _check_job(metadata: RolloutMetadata, settings: Settings) -> tuple[str, str]:
    """Check ARN, account and region; return the job's region and partition."""
    field = "metadata.job_arn"
    match = _JOB_ARN.fullmatch(metadata.job_arn)
    if not match or len(metadata.job_arn) > 256:
        raise Untrusted("metadata.job_arn is not the ARN of a SageMaker job.", field=field)
    if match["account"] != settings.trust.account_id:
        raise Untrusted(
            "metadata.job_arn belongs to another account; this stack serves only the account of "
            "ROLLOUT_ACCOUNT_ID.",
            field=field,
        )
    region = match["region"]
    if region not in settings.trust.allowed_regions:
        raise Untrusted(
            "The region of metadata.job_arn is not one of ROLLOUT_ALLOWED_REGIONS.", field=field
        )
    # The contract's default for an absent region is us-west-2, wherever the job runs: only a region
    # that was really sent is held against the ARN's.
    if "region" in metadata.model_fields_set and metadata.region != region:
        raise Untrusted(
            "metadata.region and the region of metadata.job_arn differ.", field="metadata.region"
        )
    return region, match["partition"]


def _check_endpoint(url: str, region: str, partition: str, settings: Settings) -> str:
    """Return the endpoint if it is exactly one we may send credentials to."""
    local = _local_endpoints(settings)
    known = {*local, *(f"https://{entry}" for entry in settings.trust.allowed_endpoints - local)}
    if settings.place == "lambda" or not local:
        known.add(job_runtime_endpoint(region, partition=partition))
        known.add(job_runtime_endpoint(region, partition=partition, fips=True))
    if settings.trust.stage:
        known.add(job_runtime_endpoint(region, stage=settings.trust.stage, partition=partition))
    # One trailing slash is what URL builders add; anything else must match to the letter. Comparing
    # whole strings leaves no parser to disagree with the HTTP client's.
    candidate = url.removesuffix("/")
    if candidate in known:
        return candidate
    if settings.place != "lambda" and local:
        # The real host would only be waited for: its credentials and jobs are not here.
        raise Untrusted(
            f"This stack runs on one machine and serves the Job Runtime {', '.join(sorted(local))}; "
            "send that as metadata.endpoint.",
            field="metadata.endpoint",
        )
    raise Untrusted(_why_not(url, region), field="metadata.endpoint")


def _local_endpoints(settings: Settings) -> frozenset[str]:
    """The allowed endpoints without TLS: on loopback, or beside a container of ``sam local``.

    ``host.docker.internal`` is this machine only inside such a container. In Lambda it would be
    whatever a network's DNS makes of it, so it is never trusted there, whoever lists it.
    """
    return _local(settings.trust.allowed_endpoints, settings)


def _local(entries: frozenset[str], settings: Settings) -> frozenset[str]:
    return frozenset(
        entry
        for entry in entries
        if _LOOPBACK.fullmatch(entry)
        or (settings.place == "sam-local" and _CONTAINER_HOST.fullmatch(entry))
    )


def _why_not(url: str, region: str) -> str:
    """The most helpful reason for an endpoint that matched nothing."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "https" and not (
            parts.username or parts.port or parts.path.strip("/") or parts.query or parts.fragment
        )
    except ValueError:
        plain = False
    if not plain:
        return "metadata.endpoint must be https://HOST with no user, port, path, query or fragment."
    return (
        f"metadata.endpoint is not the Job Runtime of the job's region {region}, nor a host in "
        "ROLLOUT_ALLOWED_ENDPOINTS."
    )
