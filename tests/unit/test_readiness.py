"""A verdict names what is wrong with a run, from the threshold on and not before."""

from __future__ import annotations

import json
import re

import pytest

from devkit.__main__ import main
from devkit.emulator.template import load_template
from devkit.rehearsal import counts
from devkit.rehearsal.run_files import ROLLOUTS, append_rollout, write_manifest
from devkit.verdict.job import Job
from devkit.verdict.model import Verdict
from devkit.verdict.readiness import judge
from devkit.verdict.thresholds import THRESHOLDS
from rollout.testing import calls
from tests.building import ROOT
from tests.rehearsed import failure, groups, manifest, played, record, turn, write

# Twenty groups whose rewards differ: nothing to find.
SOUND = [(0.0, 1.0, 0.5, 1.0)] * 20


def found(run, **options):
    return {finding.code: finding for finding in judge(run, **options).findings}


def replaced(count, **changes):
    """The sound run with its first rollouts changed."""
    records = groups(*SOUND)
    for place in range(count):
        known = records[place]
        records[place] = record(known.group, known.member, **{"reward": known.reward} | changes)
    return records


def test_a_sound_run_is_ready(tmp_path):
    verdict = judge(write(tmp_path / "run", groups(*SOUND)))
    assert (verdict.level, verdict.findings) == ("ready", [])


@pytest.mark.parametrize(
    ("failed", "severity"), [(0, None), (1, "doubtful"), (2, "doubtful"), (3, "not ready")]
)
def test_failed_rollouts(tmp_path, failed, severity):
    records = groups(*SOUND * 10)[:200]
    for place in range(failed):
        known = records[place]
        records[place] = record(known.group, known.member, None, error=failure("tool", "Gone"))
    finding = found(write(tmp_path / "run", records)).get("failed")
    assert (finding and finding.severity) == severity
    assert finding is None or "tool: Gone" in finding.says


@pytest.mark.parametrize(
    ("changes", "code", "most_without", "severity"),
    [
        ({"sampled": 0, "turns_answered": 0, "turns": []}, "not-sampled", 0, "not ready"),
        ({"reports": ["CompleteRollout 200", "UpdateReward 500"]}, "unrewarded", 0, "not ready"),
        ({"turns": [turn(), turn()], "turns_answered": 1}, "turns-lost", 0, "doubtful"),
        ({"turns": [turn(finish_reason="length")]}, "truncated", 4, "doubtful"),
        ({"turns": [turn(seconds=481.0)]}, "slow", 0, "doubtful"),
        ({"seconds": 481.0}, "slow-here", 0, "doubtful"),
        ({"turns": [turn(usage={})]}, "no-usage", 0, "note"),
    ],
)
def test_a_finding_is_made_over_its_threshold(tmp_path, changes, code, most_without, severity):
    just = write(tmp_path / "just", replaced(most_without, **changes))
    over = write(tmp_path / "over", replaced(most_without + 1, **changes))
    assert code not in found(just)
    assert found(over)[code].severity == severity


@pytest.mark.parametrize(("slow", "severity"), [(4, "doubtful"), (5, "not ready")])
def test_slow_policies_are_held_against_the_jobs_time(tmp_path, slow, severity):
    run = write(tmp_path / "run", replaced(slow, turns=[turn(seconds=481.0)]))
    assert found(run)["slow"].severity == severity
    assert "slow" not in found(
        write(tmp_path / "more", replaced(9, turns=[turn(seconds=481.0)]), rollout_timeout=610)
    )


def test_a_busy_laptop_is_not_the_environments_fault(tmp_path):
    """Every rollout queued for eight minutes, and a tenth ran out of time, while the policy was quick."""
    records = replaced(80, seconds=490.0)
    for place in range(8):
        known = records[place]
        records[place] = record(
            known.group, known.member, None, seconds=600.0, error=failure("deadline", "Too late")
        )
    findings = found(write(tmp_path / "run", records))
    assert {"slow-here", "late-here"} == set(findings)
    assert {finding.severity for finding in findings.values()} == {"doubtful"}
    slow = [
        record(
            r.group,
            r.member,
            r.reward,
            error=r.error,
            seconds=r.seconds,
            turns=[turn(seconds=400.0)],
        )
        for r in records
    ]
    assert found(write(tmp_path / "slow", slow))["failed"].severity == "not ready"


@pytest.mark.parametrize(
    ("texts", "severity"), [(2, None), (3, "doubtful"), (20, "doubtful"), (21, "not ready")]
)
def test_tool_calls_written_as_text(tmp_path, texts, severity):
    tools = [{"type": "function", "function": {"name": "evaluate", "parameters": {}}}]
    text = '<tool_call>{"name": "evaluate", "arguments": {}}</tool_call>'
    records = groups(*SOUND * 3)[:200]
    for place in range(texts):
        known = records[place]
        turns = [turn(text, params={"tools": tools})]
        records[place] = record(known.group, known.member, known.reward, turns=turns)
    finding = found(write(tmp_path / "run", records)).get("text-tool-calls")
    assert (finding and finding.severity) == severity


def test_a_sample_that_was_refused_and_sent_again_is_no_turn_lost(tmp_path):
    assert "turns-lost" not in found(write(tmp_path / "run", replaced(5, sampled=3)))


def test_a_text_that_calls_no_tool_that_was_offered_is_only_text():
    said = turn('<tool_call>{"name": "evaluate", "arguments": {}}</tool_call>')
    assert counts.calls_in_text(record(turns=[said])) == 0


@pytest.mark.parametrize(("errors", "expected"), [(2, False), (3, True)])
def test_tool_errors(tmp_path, errors, expected):
    metrics = {"tool_calls": 10.0, "tool_errors": float(errors)}
    records = [record(g, m, float(m % 2), metrics=metrics) for g in range(20) for m in range(2)]
    assert ("tool-errors" in found(write(tmp_path / "run", records))) is expected


def test_tool_calls_of_an_agent_with_a_loop_of_its_own_are_counted_from_its_messages():
    asked = turn(None, message=calls("f", {}))
    answers = [{"role": "tool", "tool_call_id": "call_0", "content": "Error: no"}]
    assert counts.tool_calls(record(turns=[asked, turn(messages=answers)])) == (1, 1)


def test_at_temperature_zero_spread_is_not_judged(tmp_path):
    run = write(tmp_path / "run", groups(*[(1.0, 1.0)] * 20), temperature=0.0)
    assert list(found(run)) == ["greedy"]
    assert judge(run).level == "doubtful"


def test_what_a_run_cannot_tell_is_said(tmp_path):
    assert "no-groups" in found(write(tmp_path / "ones", groups(*[(1.0,)] * 20)))
    assert "few-groups" in found(write(tmp_path / "few", groups(*SOUND[1:])))
    assert "incomplete" in found(write(tmp_path / "half", groups(*SOUND), rows=21))
    assert "scripted-policy" in found(
        write(tmp_path / "script", groups(*SOUND), policy="scripted skill=0.75")
    )
    assert "scripted-policy" in found(
        write(tmp_path / "probe", groups(*SOUND), policy="probe:poor")
    )
    assert "faults-played" in found(write(tmp_path / "faults", groups(*SOUND), faults="storm"))
    write_manifest(tmp_path / "empty", manifest())
    assert list(found(tmp_path / "empty")) == ["nothing-played"]


def test_a_run_without_reports_is_not_blamed_for_them(tmp_path):
    records = [known.model_copy(update={"reports": []}) for known in groups(*SOUND)]
    verdict = judge(write(tmp_path / "run", records, mode="url"))
    assert (verdict.level, verdict.numbers.unrewarded) == ("ready", None)


def test_a_failed_rollout_has_not_passed_and_is_not_in_the_mean(tmp_path):
    numbers = judge(write(tmp_path / "run", groups((1.0, 1.0, None, 0.0)))).numbers
    assert numbers.reward.value == pytest.approx(2 / 3)
    assert numbers.passes[0].pass_at_k.value == 0.5
    assert [p.k for p in numbers.passes] == [1, 2, 4]
    assert numbers.passes[1].pass_hat_k.value == pytest.approx(1 / 6)


def test_what_passes_can_be_chosen(tmp_path):
    run = write(tmp_path / "run", groups((0.2, 0.6)))
    assert judge(run).numbers.passes[0].pass_at_k.value == 0.0
    assert judge(run, pass_at=0.5).numbers.passes[0].pass_at_k.value == 0.5


def test_groups_smaller_than_k_are_left_out_of_k(tmp_path):
    passes = judge(write(tmp_path / "run", groups((1.0, 0.0, 0.0, 0.0), (0.0, 1.0)))).numbers.passes
    assert [(p.k, p.groups) for p in passes] == [(1, 2), (2, 2), (4, 1)]
    assert passes[2].pass_at_k.value == 1.0


def test_a_step_is_scaled_from_what_was_measured(tmp_path):
    load = judge(write(tmp_path / "run", groups(*SOUND))).load
    assert load.rollouts_per_step == 1024
    assert load.completion_tokens_per_step == 10_240
    # The policy took 0.5 s, agent and tools are reckoned with 0.05 s.
    assert load.step_seconds_at_least == pytest.approx(1024 * 0.55 / 96)
    assert load.step_seconds_at_most == pytest.approx(1024 * 0.55 / 96 + 0.55 * 95 / 96)
    assert load.parameters["WorkerConcurrency"] == 106  # as docs/concurrency.md says of one job
    assert load.mode == "inline"
    job = Job(batch_size=4, group_size=4, jobs=3)
    small = judge(write(tmp_path / "small", groups(*SOUND)), job).load
    assert (small.rollouts_per_step, small.in_flight) == (16, 48)


def test_durable_and_inline_rehearsals_of_one_policy_forecast_the_same_step(tmp_path):
    """On the machine that rehearsed, the durable one was seven times slower."""
    quick = write(tmp_path / "inline", replaced(80, seconds=2.0))
    queued = write(tmp_path / "durable", replaced(80, seconds=14.0), mode="durable")
    assert judge(quick).load == judge(queued).load
    stated = [judge(run, Job(latency=6.0)).load for run in (quick, queued)]
    assert stated[0] == stated[1]
    assert stated[0].rollout_seconds.mean == pytest.approx(6.05)
    assert stated[0].dollars_per_step > 1.5 * judge(quick).load.dollars_per_step
    slower = judge(quick, Job(latency=60.0)).load
    assert (stated[0].mode, slower.mode) == ("inline", "durable")


def test_a_script_has_no_latency_but_the_one_that_is_stated(tmp_path):
    records = groups(*SOUND)
    silent = judge(write(tmp_path / "silent", records, policy="scripted skill=0.5")).load
    assert (silent.latency, silent.step_seconds_at_least, silent.dollars_per_step) == (None,) * 3
    stated = write(tmp_path / "stated", records, policy="scripted skill=0.5", latency=2.0)
    assert judge(stated).load.rollout_seconds.mean == pytest.approx(2.05)
    assert judge(stated, Job(latency=3.0)).load.latency == 3.0


def test_the_parameters_are_parameters_of_the_template_within_their_limits(tmp_path):
    known = load_template()["Parameters"]
    run = write(tmp_path / "run", replaced(1, seconds=500.0, turns=[turn(seconds=400.0)] * 900))
    for name, value in judge(run, Job(jobs=5)).load.parameters.items():
        assert known[name].get("MinValue", 0) <= value <= known[name].get("MaxValue", 10**9)


def test_a_rollout_that_stands_there_twice_is_named(tmp_path):
    run = write(tmp_path / "run", groups(*SOUND))
    append_rollout(run, record(3, 1))
    with pytest.raises(ValueError, match=r"r-0003-1 \(group 3, member 1\)"):
        judge(run)


def test_a_line_cut_short_is_passed_over(tmp_path):
    run = write(tmp_path / "run", groups(*SOUND))
    with (run / ROLLOUTS).open("ab") as file:
        file.write(b'{"schema":1,"traj')
    assert judge(run).numbers.rollouts == 80


def test_the_agents_of_the_repository_are_judged(tmp_path):
    numbers = judge(played(tmp_path / "run", "support_desk")).numbers
    assert numbers.rollouts == 24
    assert numbers.tool_calls > 0
    assert numbers.reward_lowest == 0.25


@pytest.mark.parametrize(
    ("rewards", "strict", "code"),
    [((0.0, 1.0), [], 0), ((1.0, 1.0), [], 1), ((0.0, None), [], 1)],
)
def test_the_exit_code_is_for_a_pipeline(tmp_path, rewards, strict, code, capsys):
    assert main(["report", str(write(tmp_path / "run", groups(*[rewards] * 20)))]) == code
    assert "Report:" in capsys.readouterr().out


def test_doubt_fails_a_strict_pipeline_only(tmp_path):
    run = str(write(tmp_path / "run", groups(*SOUND), rows=21))
    assert main(["report", run]) == 0
    assert main(["report", run, "--strict"]) == 1


def test_a_program_reads_one_document(tmp_path, capsys):
    run = write(tmp_path / "run", groups(*SOUND))
    assert main(["report", str(run), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["schema"], verdict["level"]) == (2, "ready")
    assert (run / "report.html").exists()


@pytest.mark.parametrize("command", ["report", "rescore", "export"])
def test_what_is_no_run_is_a_wrong_call(tmp_path, command, capsys):
    more = [str(tmp_path / "out.jsonl")] if command == "export" else []
    assert main([command, str(tmp_path), *more]) == 2
    said = capsys.readouterr()
    assert "is no rehearsal" in said.err
    assert said.out == ""


def test_a_run_of_another_schema_is_refused(tmp_path, capsys):
    write_manifest(tmp_path / "run", manifest(schema=1))
    assert main(["report", str(tmp_path / "run")]) == 2
    assert "schema 1" in capsys.readouterr().err


def test_the_documents_fields_stay_what_they_are():
    """Programs read it: add fields here, take none away."""
    schema = Verdict.model_json_schema(by_alias=True, mode="serialization")
    fields = {name: sorted(part["properties"]) for name, part in schema["$defs"].items()}
    assert sorted(schema["properties"]) == [
        "agent", "findings", "learning", "level", "load", "numbers", "policy", "run", "schema",
    ]  # fmt: skip
    assert fields["Finding"] == ["code", "do", "measured", "says", "severity", "threshold"]
    assert fields["Estimate"] == ["high", "low", "value"]
    assert fields["Passes"] == ["groups", "k", "pass_at_k", "pass_hat_k"]
    assert fields["Spread"] == ["max", "mean", "median", "p95"]
    assert fields["Criterion"] == ["flat", "highest", "lowest", "mean", "rollouts"]
    assert fields["Failure"] == ["boundary", "rollouts", "title"]
    assert fields["Load"] == [
        "batch_size", "completion_tokens_per_second", "completion_tokens_per_step", "concurrency",
        "dollars_per_rollout", "dollars_per_step", "group_size", "in_flight", "jobs", "latency", "mode",
        "parameters", "prompt_tokens_per_step", "rollout_seconds", "rollouts_per_step",
        "step_seconds_at_least", "step_seconds_at_most",
    ]  # fmt: skip
    assert fields["GroupSize"] == ["group_size", "informative", "rollouts", "steps"]
    assert fields["Learning"] == [
        "group_sizes", "informative", "informative_groups_per_step", "max_steps", "outliers", "rate",
        "rollouts", "signal", "steps", "success", "success_after", "success_aimed_at",
    ]  # fmt: skip
    assert fields["Numbers"] == [
        "completion_tokens", "criteria", "expected", "failed", "failures", "groups", "groups_compared",
        "groups_without_spread", "miscounted", "most_tool_calls", "pass_mark", "passes",
        "policy_seconds", "prompt_tokens", "reply_bytes", "request_bytes", "reward", "reward_deviation",
        "reward_deviation_within_groups", "reward_highest", "reward_lowest", "rollout_timeout",
        "rollouts", "seconds", "text_tool_calls", "tool_calls",
        "tool_errors", "truncated", "turn_seconds", "turns", "unrewarded", "unsampled",
        "without_usage",
    ]  # fmt: skip


def test_every_field_threshold_and_finding_is_documented():
    page = (ROOT / "docs/readiness.md").read_text()
    schema = Verdict.model_json_schema(by_alias=True, mode="serialization")
    for part in (schema, *schema["$defs"].values()):
        for field in part["properties"]:
            assert f"`{field}`" in page
    names = ("findings", "learning_findings")
    code = "\n".join((ROOT / f"devkit/verdict/{name}.py").read_text() for name in names)
    codes = [*re.findall(r'code="([a-z-]+)"', code), "too-hard", "too-easy", "no-spread"]
    assert len(codes) > 20
    for each in codes:
        assert f"`{each}`" in page
    for name in THRESHOLDS.__slots__:
        value = getattr(THRESHOLDS, name)
        text = f"{value:.0%}".replace("%", " %") if isinstance(value, float) else str(value)
        assert text in page, name
