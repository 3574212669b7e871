"""The scanners' findings: none without a written reason. ``make scan`` runs these alone.

bandit numbers its rules as ruff does, so one ``# noqa: S… - reason`` on a line answers both; what ruff
does not know carries ``# nosec B… - reason``. Rules that stay as a whole are in ``accepted.toml``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from devkit.emulator.template import load_template
from scripts.datasets import NAMES
from scripts.sbom import LAYERS, SBOM, bill, licences
from tests.building import ROOT

TOOLS = ROOT / ".tools/scan/bin"
BUILT = ROOT / ".aws-sam/x86_64/template.yaml"
ACCEPTED = tomllib.loads((Path(__file__).parent / "accepted.toml").read_text())
SCANNED = (
    "layers", "functions", "devkit", "scripts", "benchmarks", *(f"environments/{name}" for name in NAMES),
)  # fmt: skip
# Where multi-turn RL is, of the regions of durable functions.
REGIONS = ("us-west-2", "us-east-1")
_KEY = "arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# Parameters as the pages set them: each value that one names stands in one of these.
SETS = {
    "default": {},
    "development": {
        "AgentVariables": "SHOP_URL=https://shop.example,SHOP_SECRET=shop-key",
        "AgentSecretArns": "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop-key-AbCdEf",
        "RetentionDays": "7", "Agent": "environments.adder:adder", "MemorySize": "512",
    },
    "production": {"RetentionDays": "90", "GradualDeployment": "true"},
    "everything": {
        "AgentPolicies": "arn:aws:iam::123456789012:policy/shop,arn:aws:iam::123456789012:policy/crm",
        "AgentSecretArns": "arn:aws:secretsmanager:us-west-2:123456789012:secret:shop-AbCdEf",
        "AgentVariables": "SHOP_URL=https://shop.example", "VpcSecurityGroups": "sg-0a1b2c3d",
        "VpcSubnets": "subnet-0a1b2c3d,subnet-4e5f6a7b",
        "AlarmTopic": "arn:aws:sns:us-west-2:123456789012:alarms", "AllowedAccountId": "123456789012",
        "AllowedModelEndpoints": "base-model", "ApiAccessLogs": "true", "ApiSnapStart": "true",
        "Architecture": "x86_64",
        "CheckpointKmsKeyArn": _KEY, "GradualDeployment": "true", "JobConcurrency": "60",
        "JobKmsKeyArn": _KEY, "JobMetrics": "nightly-*,exp-7", "JobTimeout": "900",
        "OtelLayer": "arn:aws:lambda:us-west-2:123456789012:layer:otel:1", "Tracing": "Active",
        "WorkerConcurrency": "106", "WorkerTimeout": "1800",
    },
    "bare": {"Alarms": "false", "RecordContent": "numbers"},
}  # fmt: skip


def output(command: list[str | Path], *, findings: bool = True) -> str:
    """What a scanner printed. It exits with 1, or cfn-lint with more, where it found something."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environ |= {"AWS_DEFAULT_REGION": "us-west-2", "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or findings, done.stderr
    assert done.stdout.strip(), f"{command[0]} printed nothing: {done.stderr}"
    return done.stdout


def unexplained(tool: str, findings: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Findings, as rule and place, whose rule has no reason to stay; by rule."""
    found = defaultdict(list)
    for rule, place in findings:
        if not ACCEPTED[tool].get(rule, "").strip():
            found[rule].append(place)
    return dict(found)


@pytest.fixture(scope="module")
def expansions(tmp_path_factory) -> dict[str, Path]:
    """The built template as the plain CloudFormation that AWS makes of it, with each set of parameters."""
    assert BUILT.is_file(), f"{BUILT} is missing; run make build"
    found = {}
    for name, values in SETS.items():
        given = [f"{parameter}={value}" for parameter, value in values.items()]
        expand = [ROOT / ".tools/sam/bin/python", ROOT / "tests/scan/expand.py", BUILT, *given]
        found[name] = tmp_path_factory.mktemp(name) / "template.json"
        found[name].write_text(output(expand, findings=False))
    return found


@pytest.fixture(scope="module")
def expanded(expansions) -> Path:
    """As it is deployed if nobody says anything."""
    return expansions["default"]


def test_bandit_finds_nothing_that_is_not_explained_where_it_stands():
    report = json.loads(
        output([TOOLS / "bandit", "-q", "-r", *SCANNED, "-x", "*/test_*.py", "-f", "json"])
    )
    assert report["errors"] == []
    assert report["metrics"]["_totals"]["loc"] > 5_000
    findings = []
    for result in report["results"]:
        lines = (ROOT / result["filename"]).read_text().splitlines()
        text = "\n".join(lines[number - 1] for number in result["line_range"])
        if not re.search(rf"noqa: [^#]*\bS{result['test_id'][1:]}\b[^#]* - \w", text):
            findings.append((result["test_id"], f"{result['filename']}:{result['line_number']}"))
    assert unexplained("bandit", findings) == {}


def test_every_suppression_of_a_security_rule_has_its_reason():
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in SCANNED
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"# (noqa: (\w+, *)*S\d|nosec)", line)
        and not re.search(r"# (noqa: [\w, ]+|nosec [B\d, ]+) - \w", line)
    ]
    assert bare == []


def test_checkov_finds_nothing_without_a_reason(expanded):
    command = [TOOLS / "checkov", "--file", expanded, "--framework", "cloudformation"]
    report = json.loads(output([*command, "--skip-download", "--quiet", "-o", "json"]))
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["resource_count"] > 30
    findings = [(c["check_id"], c["resource"]) for c in report["results"]["failed_checks"]]
    assert unexplained("checkov", findings) == {}


def test_cfn_lint_and_the_serverless_rules_find_nothing_without_a_reason(expansions):
    command = [TOOLS / "cfn-lint", "--include-checks", "I", "--format", "json"]
    rules = ["--append-rules", "cfn_lint_serverless.rules", "--regions", *REGIONS]
    report = json.loads(output([*command, *rules, "--template", *expansions.values()]))
    findings = [
        (match["Rule"]["Id"], f"{match['Location']['Path']}: {match['Message']}")
        for match in report
    ]
    assert "WS1004" in dict(findings), "the serverless rules did not run"
    assert {Path(match["Filename"]).parent for match in report} == {
        path.parent for path in expansions.values()
    }
    assert unexplained("cfn-lint", findings) == {}


def test_every_parameter_that_a_page_sets_is_linted_with_its_value():
    """What README, docs and samconfig.toml set, as NAME=VALUE."""
    pages = [ROOT / "README.md", ROOT / "samconfig.toml", *ROOT.glob("docs/**/*.md")]
    declared = load_template()["Parameters"]
    said = {
        (name, value)
        for page in pages
        for name, value in re.findall(
            r"\b([A-Z][A-Za-z]+)=([A-Za-z0-9.:_*,/=@+-]*[A-Za-z0-9])", page.read_text()
        )
        if name in declared
    }
    assert len(said) > 10
    linted = {pair for values in SETS.values() for pair in values.items()}
    defaults = {(name, str(one["Default"])) for name, one in declared.items()}
    assert said - linted - defaults == set()


def test_workflows_if_there_are_any_pass_zizmor():
    workflows = [*ROOT.glob(".github/**/*.y*ml"), *ROOT.glob("action.y*ml")]
    command = [TOOLS / "zizmor", "--offline", "--no-progress", "--format", "json"]
    version = output([TOOLS / "zizmor", "--version"], findings=False)
    assert version.startswith("zizmor "), version
    if workflows:
        assert json.loads(output([*command, *workflows])) == []


def test_the_bill_of_materials_is_of_the_layers_that_are_built():
    for architecture, layer in LAYERS.items():
        assert bill(layer) == SBOM.read_text(), f"{architecture}: run make sbom"


def test_the_layers_hold_what_the_lock_names_and_nothing_else():
    lock = (ROOT / "layers/dependencies/requirements.txt").read_text()
    locked = dict(re.findall(r"^([a-z][a-z0-9._-]*)==([^ ;]+)", lock, re.MULTILINE))
    components = json.loads(SBOM.read_text())["components"]
    assert {c["name"].replace("_", "-").lower(): c["version"] for c in components} == locked


def test_every_part_of_the_layer_has_a_licence_and_none_is_only_to_be_had_under_the_gpl():
    found = licences(json.loads(SBOM.read_text()))
    assert len(found) > 100, "the crates inside the wheels are missing"
    assert [part for part, named in found.items() if not named] == []
    bound = [
        part
        for part, named in found.items()
        for one in named
        if all("GPL" in choice for choice in one.split(" OR "))
    ]
    assert bound == []
