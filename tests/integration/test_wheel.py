"""The wheel in a bare virtual environment: from an empty folder to a deployed stack, without this clone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from devkit.emulator.job_runtime import JobRuntimeSimulator
from tests.building import ROOT
from tests.emulated_account import JOB_ARN, REGION, account, address_of, outputs_of, signed
from tests.processes import SAM

UV = ROOT / ".tools/uv/bin/uv"
ROW = {"question": "2 + 3 = ?", "answer": "5"}


@dataclass
class Installed:
    """A virtual environment with the wheel, and the user's folder."""

    python: Path
    repository: Path

    def run(
        self, program: str, *arguments: str, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the user's folder, away from all that is the clone's."""
        path = f"{self.python.parent}:{SAM / 'bin'}:/usr/bin:/bin"
        known = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return subprocess.run(
            [self.python.parent / program, *arguments],
            cwd=self.repository, env={**known, "PATH": path, "SAM_CLI_TELEMETRY": "0", **environ},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def rollout(self, *arguments: str, **environ: str) -> str:
        """What the command prints; it must not fail."""
        done = self.run("rollout", *arguments, **environ)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (found,) = place.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    place = tmp_path_factory.mktemp("user")
    repository = place / "repository"
    repository.mkdir()
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, place / "venv"], check=True)
    python = place / "venv/bin/python"
    subprocess.run([UV, "pip", "install", "-q", "--python", python, f"{wheel}[test]"], check=True)
    user = Installed(python, repository)
    user.rollout("init")
    user.rollout("new", "adder")
    return user


@pytest.fixture(scope="module")
def built(installed):
    installed.rollout("build", "--architecture", "x86_64")
    return installed.repository / ".aws-sam/x86_64"


def test_it_holds_what_ships_and_no_test(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "template.yaml",
        "layers/dependencies/requirements.txt",
        "functions/rollout/worker.py",
    ):
        assert f"devkit/project/{wanted}" in names
    assert not [
        name
        for name in names
        if re.search(r"(^|/)(tests?|test_[^/]*|conftest\.py)(/|$)|\.pyc$", name)
    ]


def test_it_asks_for_the_versions_that_are_deployed(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("METADATA"))
        asked = set(
            re.findall(r"^Requires-Dist: (\S+==\S+)$", file.read(name).decode(), re.MULTILINE)
        )
    lock = (ROOT / "layers/dependencies/requirements.txt").read_text()
    for package in ("boto3", "botocore", "pydantic", "aws-durable-execution-sdk-python"):
        pin = re.search(rf"^{package}==\S+", lock, re.MULTILINE)
        assert pin
        assert pin[0] in asked


def test_the_only_environment_is_played_rehearsed_and_checked(installed):
    played = installed.rollout("run", "--once", "--port", "0", "--skill", "1")
    assert "mean reward  1.000" in played
    data = ["environments/adder/dataset.jsonl", "--policy", "scripted"]
    said = installed.run("rollout", "rehearse", *data, "--group-size", "4", "--run", "runs/first")
    assert "2 rows x 4 = 8 rollouts" in said.stdout, said.stdout + said.stderr
    # With the plots, whose code is the console's.
    assert "uPlot" in (installed.repository / "runs/first/report.html").read_text()
    checked = json.loads(installed.rollout("check", "--json"))["findings"]
    assert {f["measured"] for f in checked if f["check"] == "agent"} == {"environments.adder:adder"}
    proved = installed.run("pytest", "-q", "environments/adder")
    assert proved.returncode == 0, proved.stdout


def test_a_folder_with_nothing_in_it_plays_the_calculator(installed, tmp_path):
    elsewhere = Installed(installed.python, tmp_path)
    assert "failed  0" in elsewhere.rollout("run", "--once", "--port", "0", "--limit", "1")


def test_a_change_is_built_again_and_nothing_of_the_users_machine_ships(installed, built):
    layer = built / "EnvironmentsX86/python"
    shipped = {str(path.relative_to(layer)) for path in layer.rglob("*.py")}
    assert shipped == {"environments/__init__.py", "environments/adder/__init__.py"}
    agent = installed.repository / "environments/adder/__init__.py"
    agent.write_text(agent.read_text().replace("SYSTEM = ", "CHANGED = True\nSYSTEM = "))
    # Plain sam build, as a user types it who has built once: the cache is on in samconfig.toml.
    done = subprocess.run(
        [SAM / "bin/sam", "build", "--build-dir", built, "--parameter-overrides", "Architecture=x86_64"],
        cwd=installed.repository, capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"SAM_CLI_TELEMETRY": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "CHANGED" in (layer / "environments/adder/__init__.py").read_text()


def test_it_deploys_and_the_users_agent_plays(installed, built, tmp_path):
    with (
        JobRuntimeSimulator(lambda asked: {"content": asked.instance["answer"]}) as simulator,
        account(tmp_path) as aws,
    ):
        installed.rollout(
            "deploy", "--no-build", "--stack", "from-a-wheel", "--set", "Architecture=x86_64",
            "--set", f"AllowedEndpoints={simulator.url}", "--set", "Alarms=false",
            "--", "--no-confirm-changeset", **aws,
        )  # fmt: skip
        outputs = outputs_of(aws, "from-a-wheel")
        simulator.hand_out(JOB_ARN, "wheel-1", ROW)
        metadata = {
            "job_arn": JOB_ARN,
            "trajectory_id": "wheel-1",
            "endpoint": simulator.url,
            "region": REGION,
        }
        body = json.dumps({"instance": ROW, "metadata": metadata}).encode()
        answer = signed("POST", f"{address_of(aws, outputs['Url'])}/rollout", body)
        assert (answer.status_code, answer.json()["reward"]) == (200, 1.0), answer.text
        refused = installed.run("rollout", "deploy", "--no-build", "--set", "Nothing=1", **aws)
        assert (refused.returncode, "no parameter Nothing" in refused.stderr) == (2, True), (
            refused.stderr
        )
