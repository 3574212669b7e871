"""A rubric's reward is what its criteria and gates say, and nothing outside of their ranges."""

from __future__ import annotations

import json

import pytest

from devkit.__main__ import main
from devkit.rehearsal.run_files import read_manifest, read_rollouts
from devkit.verdict.readiness import judge
from devkit.verdict.show import figures
from rollout import Criterion, Outcome, Rubric
from rollout.errors import RewardError
from rollout.testing import calls, check_criteria, rehearse, says
from tests.rehearsed import played, record, write


def criterion(name, value, **options):
    return Criterion(lambda _: value, name=name, **options)


def scored(rubric, script=None, **state):
    """The result of an agent that asks once and is judged by a rubric."""

    def asks(episode):
        episode.sample([{"role": "user", "content": "?"}])
        return rubric.score(episode, state)

    return rehearse(asks, {"answer": "4"}, script or says("4"))


def test_the_reward_is_the_weighted_sum_and_every_value_a_metric():
    result = scored(
        Rubric(criterion("right", True, weight=0.8), criterion("brief", 0.5, weight=0.2))
    )
    assert result.reward == pytest.approx(0.9)
    assert result.metrics == {"rubric/right": 1.0, "rubric/brief": 0.5}


def test_criteria_read_problem_transcript_and_state():
    seen = []

    def looks(trajectory):
        seen.append(trajectory)
        return trajectory.text == trajectory.instance["answer"]

    def script(instance, messages):
        if messages[-1]["role"] == "user":
            return calls("add", {"a": 2, "b": 2})
        return {"content": "<think>2 and 2</think>4"}

    def add(a: int, b: int) -> int:
        return a + b

    def agent(episode):
        episode.converse("2 + 2?", tools=[add])
        return Rubric(Criterion(looks)).score(episode, "the state")

    assert rehearse(agent, {"answer": "4"}, script).reward == 1.0
    roles = [message["role"] for message in seen[0].messages]
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert seen[0].state == "the state"
    assert not hasattr(seen[0], "sample")


def test_an_async_criterion_is_awaited():
    async def slow(_):
        return 0.5

    assert scored(Rubric(Criterion(slow))).reward == 0.5


def test_a_closed_gate_outweighs_everything_and_keeps_the_values():
    asked = []

    def costly(_):
        asked.append(True)
        return 1.0

    gates = [criterion("polite", 0.0, gate=True), criterion("legal", True, gate=True)]
    result = scored(
        Rubric(*gates, criterion("right", 1.0), Criterion(costly, after_gates=True), closed=-1)
    )
    assert result.reward == -1.0
    assert result.metrics == {"rubric/polite": 0.0, "rubric/legal": 1.0, "rubric/right": 1.0}
    assert not asked
    assert scored(Rubric(gates[1], Criterion(costly, after_gates=True))).reward == 1.0
    assert asked


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), "1", None])
def test_a_value_out_of_its_range_is_the_criterions_mistake(value):
    result = scored(Rubric(criterion("right", value)))
    assert (result.reward, result.failure.slug) == (None, "bad-reward")
    assert "'right'" in result.failure.detail


def test_ranges_clipping_and_penalties():
    length = criterion("length", 37, low=0, high=20, clip=True, weight=-0.01)
    assert scored(Rubric(criterion("right", 1), length)).reward == pytest.approx(0.8)
    wide = Rubric(criterion("right", 1, weight=3), clip=(0, 1))
    assert scored(wide).reward == 1.0
    assert scored(Rubric(criterion("right", 1.0000000001))).reward == 1.0


def test_a_gate_is_yes_or_no():
    result = scored(Rubric(criterion("right", 1), criterion("polite", 0.5, gate=True)))
    assert result.failure.slug == "bad-reward"


@pytest.mark.parametrize(
    "make",
    [
        Rubric,
        lambda: Rubric(criterion("a", 1, gate=True)),
        lambda: Rubric(criterion("a", 1), criterion("a", 1)),
        lambda: Rubric(criterion("a", 1), clip=(1, 0)),
        lambda: Rubric(criterion("a", 1), closed=float("inf")),
        lambda: Criterion(lambda _: 1),
        lambda: criterion("a", 1, weight=float("nan")),
        lambda: criterion("a", 1, low=1, high=1),
        lambda: criterion("a", 1, gate=True, weight=2),
        lambda: criterion("a", 1, gate=True, after_gates=True),
        lambda: Rubric(criterion("a", 1)).reweighed({"b": 1}),
        lambda: Rubric(criterion("a", 1)).reweighed({"a": 0}),
    ],
)
def test_a_rubric_that_cannot_be_is_refused_when_it_is_made(make):
    with pytest.raises(RewardError):
        make()


# --- each criterion is proved ----------------------------------------------------------------------


def two_criteria(episode):
    episode.sample([{"role": "user", "content": "?"}])
    right = Criterion(lambda t: "4" in t.text, name="right", weight=0.9)
    brief = Criterion(lambda t: len(t.text) < 5, name="brief", weight=0.1)
    return Rubric(right, brief).score(episode)


def test_each_criterion_is_held_to_an_order_of_its_own():
    orders = {
        "right": [("gold", says("4")), ("poor", says("5"))],
        "brief": [("gold", says("4")), ("long", says("It is 4."))],
    }
    assert check_criteria(two_criteria, {}, orders) == {"right": [1, 0], "brief": [1, 0]}
    with pytest.raises(ValueError, match="'long' has 1 for criterion 'right'"):
        check_criteria(two_criteria, {}, {**orders, "right": orders["brief"]})
    with pytest.raises(ValueError, match="nothing proves criterion 'brief'"):
        check_criteria(two_criteria, {}, {"right": orders["right"]})
    check_criteria(two_criteria, {}, {"right": orders["right"]}, unproved=["brief"])
    with pytest.raises(ValueError, match="no value for criterion 'polite'"):
        check_criteria(two_criteria, {}, {**orders, "polite": orders["right"]})


# --- other weights, without playing ------------------------------------------------------------------


def test_a_run_is_reweighed_without_playing(tmp_path, capsys, monkeypatch):
    run = played(tmp_path / "run", "support_desk", rows=4)
    monkeypatch.setattr("devkit.rehearsal.rescoring.play", None)  # nothing is played
    assert (
        main(["rescore", str(run), "--weight", "harmless=0", "--weight", "served=1", "--json"]) == 0
    )
    moved = json.loads(capsys.readouterr().out)
    before, after = list(read_rollouts(run)), list(read_rollouts(tmp_path / "run-rescored"))
    assert moved["moved"] == sum(r.reward == 0.25 for r in before) > 0
    assert [r.reward for r in after] == [r.metrics["rubric/served"] for r in before]
    assert [r.turns for r in after] == [r.turns for r in before]
    assert read_manifest(tmp_path / "run-rescored").rescored_from == str(run)


def test_a_run_without_criteria_and_an_unknown_weight_are_named(tmp_path, capsys):
    run = played(tmp_path / "run", "calculator", rows=1)
    assert main(["rescore", str(run), "--reweigh"]) == 2
    assert "Rubric" in capsys.readouterr().err
    agent = "environments.support_desk:support_desk"
    assert main(["rescore", str(run), "--agent", agent, "--reweigh"]) == 2
    assert "r-0000-0" in capsys.readouterr().err
    assert main(["rescore", str(run), "--agent", agent, "--weight", "nice=1"]) == 2
    assert "'nice'" in capsys.readouterr().err


def test_what_was_not_asked_then_has_no_reward_now(tmp_path, capsys):
    metrics = {"rubric/ended": 1.0, "rubric/verified_first": 1.0, "rubric/honest": 1.0}
    run = write(
        tmp_path / "run",
        [record(0, 0, 0.0, metrics={**metrics, "rubric/harmless": 1.0}), record(0, 1, None)],
        agent="environments.support_desk:support_desk",
    )
    assert main(["rescore", str(run), "--reweigh", "--json"]) == 1
    moved = json.loads(capsys.readouterr().out)
    assert (moved["diverged"], moved["kept"]) == (1, 1)
    assert next(read_rollouts(tmp_path / "run-rescored")).reward is None


def test_the_verdict_tells_each_criterion(tmp_path):
    numbers = judge(played(tmp_path / "run", "support_desk")).numbers
    assert numbers.criteria["served"].flat is False
    assert numbers.criteria["ended"].flat is True
    assert numbers.criteria["served"].rollouts == numbers.rollouts
    lines = dict(figures(numbers))
    assert lines["criterion served"].startswith("mean")
    assert "decides nothing" in lines["criterion ended"]


def test_an_outcome_of_a_rubric_is_an_outcome():
    assert isinstance(scored_outcome(), Outcome)


def scored_outcome():
    kept = []

    def agent(episode):
        episode.sample([{"role": "user", "content": "?"}])
        kept.append(Rubric(criterion("a", 1)).score(episode, output={"b": 1}))
        return kept[0]

    assert rehearse(agent, {}, says("x")).output == {"b": 1}
    return kept[0]
