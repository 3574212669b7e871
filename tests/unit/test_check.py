"""The doctor without AWS: settings, agent, dataset, and the command that reports on them."""

from __future__ import annotations

import json
import re
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from devkit.__main__ import main
from devkit.checks import agent_and_dataset, packages, stack_parameters, times
from devkit.checks.agent_and_dataset import AgentAndDataset
from devkit.checks.cost import Job, Work
from devkit.checks.stack_plan import NO_ACCOUNT, StackPlan, from_samconfig
from devkit.emulator import template
from devkit.rehearsal.run_files import (
    Manifest,
    RolloutRecord,
    TurnRecord,
    append_rollout,
    write_manifest,
)
from tests.building import ROOT

WORK = Work(turns=3, waiting=9.0, computing=0.2)


def levels(job=None, work=WORK, longest=0, **parameters):
    """Worst level by check, for a stack with these parameters."""
    plan = StackPlan(
        stack="s", parameters=template.parameters(parameters), region="us-west-2",
        account=NO_ACCOUNT, job=job or Job(), work=work, longest=longest,
    )  # fmt: skip
    order = ["ok", "unchecked", "warning", "error"]
    found: dict[str, str] = {}
    for check in (*times.CHECKS, *stack_parameters.CHECKS):
        for finding in check(plan):
            known = found.get(finding.check, "ok")
            found[finding.check] = max(known, finding.level, key=order.index)
            assert finding.mend or finding.level == "ok"
    return found


def test_the_defaults_serve_a_job_with_the_platforms_defaults():
    assert set(levels().values()) == {"ok"}


@pytest.mark.parametrize(
    ("check", "level", "parameters", "job"),
    [
        ("job-timeout", "error", {"JobTimeout": "900"}, Job()),
        ("job-timeout", "warning", {}, Job(timeout=900)),
        ("settings", "error", {"JobTimeout": "300", "JobMargin": "300"}, Job(timeout=300)),
        ("settings", "error", {"InlineBudget": "4", "ReportMargin": "4"}, Job()),
        ("settings", "error", {"FailurePolicy": "agent=floor:much"}, Job()),
        ("sample-timeout", "warning", {"SampleTimeout": "580"}, Job()),
        ("worker-timeout", "warning", {"WorkerTimeout": "1800"}, Job()),
        ("invocation", "error", {"SampleTimeout": "890"}, Job()),
        ("invocation", "ok", {"SampleTimeout": "890", "WorkerTimeout": "1800"}, Job()),
        ("invocation", "error", {"SampleTimeout": "60", "WorkerTimeout": "60"}, Job()),
        ("execution-timeout", "error", {"ExecutionTimeout": "4000"}, Job()),
        ("retention", "error", {"RetentionDays": "1", "ExecutionTimeout": "90000"}, Job()),
        ("settings", "error", {"RetentionDays": "1", "ExecutionTimeout": "90000"}, Job()),
        ("settings", "error", {"ExecutionTimeout": "4000", "JobTimeout": "5000"}, Job(timeout=5_000)),
        ("worker-concurrency", "error", {"WorkerConcurrency": "95"}, Job()),
        ("worker-concurrency", "warning", {"WorkerConcurrency": "96"}, Job()),
        ("worker-concurrency", "ok", {"WorkerConcurrency": "106"}, Job()),
        ("reserved-concurrency", "warning", {"WorkerConcurrency": "1100"}, Job(concurrency=1_000)),
        # Past the trainer's own limit a rollout may be played beside its retries.
        ("worker-concurrency", "warning", {"WorkerConcurrency": "106", "JobTimeout": "700"}, Job()),
        ("max-running", "error", {"MaxRunning": "95"}, Job()),
        ("job-concurrency", "warning", {"JobConcurrency": "2"}, Job()),
        ("regions", "warning", {"AllowedRegions": "us-east-1"}, Job()),
        ("endpoint", "error", {"JobEndpoint": "https://job-runtime.sagemaker.eu-west-1.api.aws"}, Job()),
        ("memory", "warning", {"MemorySize": "1769"}, Job()),
    ],
)  # fmt: skip
def test_a_setting_that_does_not_fit_is_named(check, level, parameters, job):
    assert levels(job, **parameters)[check] == level


def test_a_rollout_is_held_against_its_budgets():
    long = Work(turns=60, waiting=700.0)
    found = levels(work=long)
    assert (found["max-turns"], found["rollout-time"]) == ("error", "error")
    assert levels(work=Work(turns=50, waiting=100), MaxTokens="200000")["max-tokens"] == "warning"
    assert levels(longest=51)["max-turns"] == "error"


def test_parameters_that_are_too_long_together_are_named():
    assert levels()["parameters"] == "ok"
    hosts = ",".join(f"host-{number}.example.org" for number in range(30))
    assert levels(AllowedEndpoints=hosts)["parameters"] == "error"
    assert levels(JobMetrics="a" * 480)["parameters"] == "ok"


def test_parameters_are_held_to_the_template():
    for wrong in ({"Jobtimeout": "1"}, {"JobTimeout": "1"}, {"Agent": "no"}, {"LogLevel": "LOUD"}):
        with pytest.raises(ValueError, match="|".join(wrong)):
            template.parameters(wrong)


def test_the_profiles_of_samconfig_are_read():
    stack, parameters, _ = from_samconfig("prod")
    assert (stack, parameters["RetentionDays"]) == ("rollout-prod", "90")
    with pytest.raises(ValueError, match="it has default, prod"):
        from_samconfig("staging")


# --- agent and dataset ------------------------------------------------------------------------------


def lesson(tmp_path, *rows, path="environments.calculator:calculator", batch_size=0):
    dataset = tmp_path / "rows.jsonl"
    dataset.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    found = AgentAndDataset(path, dataset, batch_size)
    return {
        f.check: f for check in agent_and_dataset.CHECKS for f in check(found) if f.level != "ok"
    }


def row(question="1+1?", answer="<<1+1=2>>\n#### 2"):
    return {"prompt": json.dumps({"question": question, "answer": answer})}


AWKWARD = [
    b'{"prompt": "\\ud800"}', b'{"prompt": "{\\"a\\": 1e999}"}', b"[" * 5_000, b'{"prompt": "x"}',
    b'{"prompt": "{' + b'\\"a\\": ' * 3 + b'"}', b'{"prompt": "' + b"[" * 3_000 + b'"}', b"\xff\xfe",
]  # fmt: skip


def test_a_sound_agent_and_dataset_say_nothing(tmp_path):
    assert lesson(tmp_path, row(), row("2?")) == {}


def test_rows_that_a_job_cannot_pass_are_counted(tmp_path):
    found = lesson(tmp_path, row(), "{broken", {"question": "1?"}, {"prompt": {"a": 1}}, "[]")
    assert found["dataset"].level == "error"
    assert found["dataset"].measured == "4 of 5 rows"
    assert (
        "line 2 is no JSON object; line 3 has no column prompt: a job would send its first column, 'question'"
        in found["dataset"].what
    )


def test_a_prompt_that_only_looks_like_json_is_told(tmp_path):
    found = lesson(tmp_path, {"prompt": '{"a": 1, "a": 2}'}, path="tests.playing:twelve_turns")
    assert found["dataset-json"].measured == "1 of 1 rows"


@given(st.lists(st.binary(max_size=60) | st.sampled_from(AWKWARD), max_size=4))
@settings_of_hypothesis(max_examples=60, deadline=None)
def test_whatever_a_dataset_holds_the_doctor_says_something(tmp_path_factory, lines):
    dataset = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    dataset.write_bytes(b"\n".join(lines))
    found = [
        f.level
        for c in agent_and_dataset.CHECKS
        for f in c(AgentAndDataset("tests.playing:stepping", dataset, 8))
    ]
    assert len(found) >= 3


def test_rows_that_come_twice_merge_their_groups(tmp_path):
    twice = {"prompt": '{"answer": "<<1+1=2>>\\n#### 2",   "question": "1+1?"}'}
    found = lesson(tmp_path, row(), row("2?"), twice)
    assert "lines 1 and 3" in found["duplicates"].what


def test_a_row_whose_gold_does_not_win_is_named(tmp_path):
    found = lesson(tmp_path, row(), row(answer="no number at all"))
    assert found["validate"].measured == "1 of 2 rows"
    assert "line 2" in found["validate"].what
    assert "Traceback" in found["validate"].mend


def test_fewer_rows_than_a_step_takes_are_told(tmp_path):
    assert lesson(tmp_path, row(), batch_size=2)["dataset-size"].level == "warning"


def test_an_agent_that_is_not_there_is_an_error(tmp_path):
    assert (
        "environments.NAME" in lesson(tmp_path, row(), path="environments.nope:nope")["agent"].what
    )


def test_an_agent_that_cannot_replay_is_told(tmp_path):
    found = lesson(tmp_path, row(), path="tests.playing:unrepeatable")
    assert found["agent"].level == found["validate"].level == "warning"


PINNED = f"rich=={version('rich')} --hash=sha256:00\n"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("", {}),
        (f"# mine\n{PINNED}", {}),
        ("Pydantic_Core==1\nboto3>=1\n", {
            "requirements": "Pydantic_Core==1", "requirements-lock": "boto3", "requirements-here": "Pydantic_Core"
        }),
        ("rich\n", {"requirements-lock": "rich"}),
        ("rich==1.0\nnobody-has-this==2\n", {"requirements-here": "rich ", "requirements-here+": "nobody-has-this"}),
        ("never==1 ; python_version < '3'\n", {}),
        ("rich==\n", {"requirements": "line 1"}),
    ],
)  # fmt: skip
def test_what_environments_need_is_held_to_the_layer_a_lock_and_this_machine(
    tmp_path, lines, found
):
    own = tmp_path / "requirements.txt"
    own.write_text(lines)
    said = {f.check: f for check in packages.CHECKS for f in check(own) if f.level != "ok"}
    assert set(said) == {name.rstrip("+") for name in found}
    for name, text in found.items():
        assert text in said[name.rstrip("+")].what


# --- the command ------------------------------------------------------------------------------------


def report(capsys, *arguments):
    code = main(["check", "--json", "--built", "nowhere", *arguments])
    return code, json.loads(capsys.readouterr().out)["findings"]


def test_the_exit_code_says_whether_there_is_an_error(capsys, tmp_path):
    assert report(capsys)[0] == 0
    broken = tmp_path / "rows.jsonl"
    broken.write_text("{}\n")
    code, found = report(capsys, "--dataset", str(broken))
    assert code == 1
    assert [f["check"] for f in found if f["level"] == "error"] == ["dataset"]


@pytest.mark.parametrize("option", ["--config-env", "--dataset", "--rehearsal"])
def test_an_option_that_names_nothing_is_an_error_not_a_crash(capsys, option):
    code, found = report(capsys, option, "nowhere")
    assert code == 1
    assert "nowhere" in found[0]["what"]


def test_turns_and_seconds_come_from_a_rehearsal(capsys, tmp_path):
    write_manifest(tmp_path, Manifest(
        name="r", agent="a:b", dataset="d", dataset_sha256="0", rows=1, group_size=2,
        policy="scripted", mode="inline", temperature=None, top_p=None, max_tokens=None, seed=1,
        rollout_timeout=600, started_at="2026-11-24T00:00:00+00:00",
    ))  # fmt: skip
    turn = TurnRecord(messages=[], repeated=0, params={}, message={"content": "x"}, seconds=3.0)
    for member, turns in enumerate((20, 60)):
        append_rollout(tmp_path, RolloutRecord(
            trajectory_id=f"r-{member}", group=0, member=member, instance={}, status="ready",
            reward=1.0, rewards=[1.0], error=None, http_status=200, seconds=turns * 3.0 + 4,
            turns=[turn] * turns, sampled=turns, turns_answered=turns,
        ))  # fmt: skip
    code, found = report(capsys, "--rehearsal", str(tmp_path))
    assert code == 1
    wrong = next(f for f in found if f["check"] == "max-turns")
    assert "60 turns (rehearsed)" in wrong["what"]
    fits = next(f for f in found if f["check"] == "rollout-time")
    # 40 turns of 3 s, 4 s of the agent's own, 89 checkpoints of 20 ms.
    assert fits["measured"] == "126 s of 570 s"


def test_the_page_shows_what_the_command_prints(capsys):
    # As it prints where nothing is built; the integration tests check a build.
    page = (ROOT / "docs" / "check.md").read_text()
    command, shown = re.search(r"    \$ rollout (check .*)\n((?:    .*\n|\n)+)", page).groups()
    main([*command.split(), "--built", "nowhere"])
    printed = capsys.readouterr().out

    def plain(text):
        lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
        return re.sub(r"\(1\.\d+\.\d+\)", "(VERSION)", lines)

    assert plain(printed) == plain(re.sub(r"(?m)^    ", "", shown))


def test_another_agent_than_the_stacks_can_be_checked(capsys):
    code, found = report(capsys, "--agent", "environments.nobody:nobody")
    assert code == 1
    assert "environments.nobody" in next(f["what"] for f in found if f["check"] == "agent")
