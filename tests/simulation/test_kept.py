"""Histories that broke a promise once, each told by hand: what the simulation and attacks have found."""

from __future__ import annotations

import pytest

from rollout.storage.keys import SHARDS
from rollout.storage.record import epoch
from tests.simulation import agents, entry
from tests.simulation.history import JOBS, SILENT_JOB, Plan, Rollout, play
from tests.simulation.world import BEGIN, Outage


@pytest.fixture(autouse=True)
def _simulated():
    with entry.simulated():
        yield


def asked(
    mode="api", kind="plain", *, name="t", job=JOBS[0], at=(0.0,), retries=3, turns=2, filler=0
):
    return Rollout(name, job, mode, kind, turns, list(at), retries, filler)


def played(
    *rollouts, forced=None, outages=(), spill=None, trainer=None, events=(), heal=100.0, **settings
):
    """Play a history in which exactly this goes wrong."""
    known = {"repeat": 0, "lag": 0.0, "lagging": 409, "silent": {}, **(trainer or {})}
    chosen = {
        "worker": "worker:live",
        "job_timeout": "300",
        "execution_timeout": "600",
        "sample_timeout": "60",
        **settings,
    }
    plan = Plan(
        list(rollouts),
        {},
        tuple(outages),
        heal,
        0.0,
        known,
        spill,
        chosen,
        forced or {},
        tuple(events),
    )
    return play(1, plan=plan, trace=True)


def the_only(world):
    (rollout,) = world.plan.rollouts
    return world.row(rollout.name, rollout.job), world.trainer.trajectories[rollout.name]


def rewarded(world):
    row, known = the_only(world)
    assert world.violations == [], "\n".join(world.trace)
    assert (row["state"], known.state, known.rewards) == ("ready", "rewarded", [2.0])
    return row, known


def statuses(world):
    return [answer.status for answer in world.answers]


# --- an ambiguous answer is not read as certain -------------------------------------------------------


def test_a_start_that_was_lost_and_then_refused_is_not_taken_for_refused():
    world = played(
        asked(), forced={"lambda.invoke t #1": "timeout-after", "lambda.invoke t #2": "429"}
    )
    rewarded(world)
    assert len(world.lambda_service.executions) == 1


@pytest.mark.parametrize("how", ["500-after", "timeout-after", "timeout", "500"])
@pytest.mark.parametrize("then", ["429", "403", ""])
def test_whatever_becomes_of_a_start_the_rollout_is_played_once(how, then):
    forced = {"lambda.invoke t #1": how} | ({"lambda.invoke t #2": then} if then else {})
    rewarded(played(asked(retries=4), forced=forced))


def test_both_deliveries_throttled_leave_no_row():
    forced = {"lambda.invoke t #1": "429", "lambda.invoke t #2": "429"}
    world = played(asked(at=(0.0, 0.02), retries=0), forced=forced)
    assert statuses(world) == [429, 429]
    assert the_only(world)[0] is None
    assert world.violations == []


def test_a_delivery_that_joined_is_not_robbed_of_its_row():
    forced = {"lambda.invoke t #1": "429", "table.get t #1": "slow"}
    world = played(asked(at=(0.0, 0.05), retries=0), forced=forced)
    assert 202 in statuses(world)
    rewarded(world)


@pytest.mark.parametrize("nth", [1, 2])  # who joins adds himself; who was refused takes himself out
def test_a_caller_whose_write_was_not_answered_counts_once(nth):
    """One of two callers is refused by Lambda and takes itself out; the other has started it."""
    forced = {"lambda.invoke t #1": "slow", "lambda.invoke t #2": "429"}
    forced[f"table.update t #{nth}"] = "timeout-after"
    world = played(asked(at=(0.0, 0.2), retries=0), forced=forced)
    assert sorted(statuses(world)) == [202, 429]
    rewarded(world)


@pytest.mark.parametrize("how", ["nonsense", "500", "timeout"])
def test_a_note_that_cannot_be_read_is_asked_for_again(how):
    """The table is out when the reward is known, and the process dies; the bucket has a note of it."""
    forced = {f"bucket.get {who} #1": how for who in ("t", "sweep")}
    table = [Outage("table", 4.0, 25.0, "timeout")]
    rewarded(played(asked("inline", "slow"), outages=table, forced=forced))


def test_an_acceptance_that_was_withdrawn_does_not_use_up_the_next_ones_name():
    world = played(asked(at=(0.0, 30.0), retries=0), forced={"lambda.invoke t #1": "429"})
    assert statuses(world) == [429, 202]
    rewarded(world)


@pytest.mark.parametrize("mode", ["inline", "api", "job"])
@pytest.mark.parametrize("how", ["timeout-after", "500-after"])
def test_ones_own_row_is_not_taken_for_anothers(mode, how):
    world = played(asked(mode, retries=0), forced={"table.put t #1": how})
    assert statuses(world) == [200 if mode == "inline" else 202]
    rewarded(world)


@pytest.mark.parametrize("mode", ["inline", "api"])
def test_ones_own_take_over_is_not_taken_for_anothers(mode):
    nth = 3  # accepted; found; taken over
    forced = {"trainer.sample t #1": "400", f"table.put t #{nth}": "timeout-after"}
    world = played(asked(mode, at=(0.0, 60.0), retries=0), forced=forced)
    assert statuses(world)[-1] == (200 if mode == "inline" else 202)
    row, _ = the_only(world)
    assert row["attempt"] == 2
    assert world.violations == []


@pytest.mark.parametrize("mode", ["inline", "job"])
@pytest.mark.parametrize("status", [400, 404, 409])
@pytest.mark.parametrize("how", ["timeout-after", "closed-after", "500-after", "garbled-after"])
@pytest.mark.parametrize("operation", ["complete", "reward"])
def test_a_report_whose_answer_was_lost_counts_when_its_repeat_is_refused(
    mode, status, how, operation
):
    forced = {f"trainer.{operation} t #1": how}
    rewarded(played(asked(mode), forced=forced, trainer={"repeat": status}))


@pytest.mark.parametrize("status", [400, 404, 409])
def test_two_never_report_at_once_and_take_each_others_reports_for_refused(status):
    """The first one's completion hangs; another asks, would deliver everything, and dies."""
    forced = {"trainer.complete t #1": "timeout", "table.update t #3": "crash-before"}
    rewarded(played(asked("inline", at=(0.0, 7.0)), forced=forced, trainer={"repeat": status}))


@pytest.mark.parametrize("mode", ["inline", "job"])
@pytest.mark.parametrize("status", [404, 409])
def test_a_trainer_that_does_not_see_its_completion_yet_is_asked_again(mode, status):
    rewarded(played(asked(mode), trainer={"lag": 4.0, "lagging": status}))


@pytest.mark.parametrize("status", [400, 404, 409])
def test_a_worker_that_died_with_its_report_on_the_way_has_sent_it(status):
    for operation in ("complete", "reward"):
        forced = {f"trainer.{operation} t #1": "crash-after"}
        rewarded(played(asked("job"), forced=forced, trainer={"repeat": status}))


# --- what may have been captured is counted ------------------------------------------------------------


@pytest.mark.parametrize("mode", ["inline", "job"])
@pytest.mark.parametrize(
    "how", ["timeout-after", "closed-after", "500-after", "garbled-after", "nonsense", "broken"]
)
def test_a_turn_that_may_be_captured_is_never_played_again(mode, how):
    world = played(asked(mode, at=(0.0, 400.0)), forced={"trainer.sample t #1": how})
    row, known = the_only(world)
    assert world.violations == []
    assert (len(known.turns), known.state, row["possibly_captured"]) == (1, "failed", 1)
    assert len({token for _, _, token, _, _ in known.reports}) == 1


@pytest.mark.parametrize("mode", ["inline", "job"])
def test_a_sample_in_flight_when_the_time_is_over_may_be_captured(mode):
    world = played(
        asked(mode, at=(0.0, 400.0), turns=1),
        forced={"trainer.sample t #1": "timeout-after"},
        sample_timeout="290",
        job_timeout="60",
    )
    row, known = the_only(world)
    assert world.violations == []
    assert (len(known.turns), row["possibly_captured"]) == (1, 1)


@pytest.mark.parametrize("mode", ["inline", "job"])
def test_a_sampling_thread_that_the_agent_gave_up_on_may_capture(mode):
    world = played(asked(mode, "gives-up", at=(0.0, 400.0)))
    row, _ = the_only(world)
    assert world.violations == []
    assert row["possibly_captured"] == 1


def test_a_turn_whose_checkpoint_cannot_be_written_is_not_sampled_again():
    forced = {f"durable.checkpoint t #{n}": "refused" for n in (5, 6)}
    world = played(asked("job", at=(0.0, 500.0)), forced=forced)
    assert world.violations == []


# --- one odd answer stops nobody -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["inline", "job"])
@pytest.mark.parametrize("how", ["garbled", "odd", "300", "403"])
@pytest.mark.parametrize("operation", ["complete", "reward"])
def test_an_odd_answer_to_a_report_is_no_answer(mode, how, operation):
    rewarded(played(asked(mode), forced={f"trainer.{operation} t #{n}": how for n in (1, 2)}))


def test_a_trainer_that_answers_rubbish_does_not_stop_the_sweep():
    names = [f"t{n}" for n in range(6)]
    odd = {f"trainer.complete t0 #{n}": "garbled" for n in range(1, 200)}
    dead = {f"trainer.complete {name} #1": "crash-before" for name in names}
    world = played(
        *[asked("inline", name=name, job=JOBS[n % 2], retries=0) for n, name in enumerate(names)],
        forced=odd | dead,
        heal=1_000.0,
    )
    states = [world.trainer.trajectories[name].state for name in names[1:]]
    assert states == ["rewarded"] * 5
    assert not [v for v in world.violations if v[1] != "t0"]


def test_a_request_that_became_unreadable_fails_its_rollout_alone():
    def garble(world):
        for key in world.objects:
            if key.startswith("requests/"):
                world.objects[key] = b"\xff<html>"

    # Before the worker has read it.
    large, other = asked("job", filler=200_000), asked("job", name="u", at=(1.0,))
    world = played(large, other, events=[(0.2, garble)])
    assert world.trainer.trajectories["t"].state == "failed"
    assert world.trainer.trajectories["u"].state == "rewarded"
    assert world.violations == []


def test_a_row_that_nobody_can_read_does_not_stop_the_sweep():
    def spoil(world):
        del world.table.items[f"rollout#{JOBS[0]}#t0", "rollout"]["endpoint"]

    names = [f"t{n}" for n in range(6)]
    dead = {f"trainer.complete {name} #1": "crash-before" for name in names}
    rollouts = [asked("inline", name=name, retries=0) for name in names]
    world = played(*rollouts, forced=dead, events=[(20.0, spoil)])
    states = [world.trainer.trajectories[name].state for name in names[1:]]
    assert states == ["rewarded"] * 5
    assert not [v for v in world.violations if v[1] != "t0"]


def test_no_shard_is_always_the_last():
    orders = []

    def sweep(world):
        known, order = world.table.query, []
        world.table.query = lambda **request: (
            order.append(request["ExpressionAttributeValues"][":s"]["S"]) or known(**request)
        )
        orders.append(order)
        world.spawn("sweep", lambda: entry.sweep.sweep(world.settings, lambda: 300.0), limit=300.0)

    played(
        asked("inline", at=(0.0, 200.0)),
        events=[(at, sweep) for at in (1.0, 50.0, 100.0)],
        heal=400.0,
    )
    shards = [order[:SHARDS] for order in orders]
    assert [sorted(order) for order in shards] == [sorted(shards[0])] * 3
    assert shards[0] != shards[1] != shards[2]


@pytest.mark.parametrize("how", ["silent", "drip"])
def test_a_trainer_that_never_answers_holds_up_nobody_else(how):
    silent = [asked("inline", name=f"s{n}", job=SILENT_JOB, retries=0) for n in range(40)]
    others = [asked("inline", name=f"t{n}", retries=0) for n in range(4)]
    forced = {f"trainer.complete t{n} #1": "crash-before" for n in range(4)}
    world = played(*silent, *others, forced=forced, trainer={"silent": {SILENT_JOB: how}})
    assert world.violations == []
    ended = [world.trainer.trajectories[r.name].ended_at - BEGIN for r in others]
    assert max(ended) < 400.0  # by the first sweep that finds them due


# --- storage does not stand between a reward and the trainer -------------------------------------------


@pytest.mark.parametrize("mode", ["inline", "job"])
@pytest.mark.parametrize("how", ["throttled", "timeout"])
@pytest.mark.parametrize("seconds", [3.0, 7.0, 45.0])
def test_a_reward_is_sent_while_the_table_is_out(mode, how, seconds):
    begin = 4.0 if mode == "inline" else 6.0
    world = played(
        asked(mode, "slow", retries=0), outages=[Outage("table", begin, begin + seconds, how)]
    )
    _, known = the_only(world)
    assert known.rewards == [2.0]
    assert known.ended_at - world.computed[0][3] < 20.0
    if seconds < 10.0:
        rewarded(world)


@pytest.mark.parametrize("mode", ["inline", "job"])
@pytest.mark.parametrize("how", ["500", "timeout"])
def test_a_bucket_that_is_out_delays_no_report_and_no_row_names_what_is_not_there(mode, how):
    world = played(asked(mode), outages=[Outage("bucket", 0.0, 100.0, how)], heal=400.0)
    row, known = rewarded(world)
    assert known.ended_at - world.computed[0][3] < 5.0
    assert epoch(row["ended_at"]) - world.computed[0][3] < 30.0
    stored = any(key.startswith("trajectories/") for key in world.objects)
    assert ("content" in row) <= stored
    assert stored or mode == "inline"


def test_storage_that_does_not_let_a_rollout_begin_costs_nothing():
    forced = {f"table.update t #{n}": "throttled" for n in range(1, 5)}
    world = played(asked("inline", retries=2), forced=forced)
    assert statuses(world) == [503, 200]
    _, known = rewarded(world)
    assert [report[1] for report in known.reports] == ["ready", [2.0]]


@pytest.mark.parametrize("kind", ["plain", "step", "stubborn", "finally", "catches", "once"])
def test_a_bucket_that_fails_in_a_checkpoint_is_nobodys_fault(kind):
    world = played(asked("job", kind), outages=[Outage("bucket", 0.0, 90.0, "500")], spill=10)
    assert world.violations == []
    row, _ = the_only(world)
    assert row["state"] == "ready" or (kind, row["boundary"]) == ("once", "platform")


# --- nothing an agent does becomes a crash -------------------------------------------------------------


@pytest.mark.parametrize("mode", ["inline", "api"])
@pytest.mark.parametrize("kind", agents.KINDS)
def test_every_agent_ends_with_a_report(mode, kind):
    world = played(asked(mode, kind, retries=1))
    row, known = the_only(world)
    assert world.violations == []
    assert known.state == ("rewarded" if agents.KINDS[kind] else "failed")
    assert row["state"] == ("ready" if agents.KINDS[kind] else "failed")


@pytest.mark.parametrize("kind", ["stubborn", "finally", "catches"])
def test_a_suspension_that_an_agent_swallows_suspends_all_the_same(kind):
    # The write that announces the first turn is refused four times: the turn is put off.
    forced = {f"table.update t #{n}": "throttled" for n in range(2, 6)}
    rewarded(played(asked("job", kind), forced=forced))


# --- the rest ------------------------------------------------------------------------------------------


def test_the_closer_looks_again_at_a_rollout_that_changed_while_it_was_taken():
    """The execution is stopped while its worker records the result: nobody else delivers it for long."""

    def stop(world):
        (execution,) = world.lambda_service.executions.values()
        execution.status, execution.token = "STOPPED", execution.token + 1
        world._close((execution.arn, "STOPPED"), 0)

    # The worker's third update records the result; the closer's take-over is the row's second put.
    slow = {"table.update t #3": "slow", "table.put t #2": "slow"}
    begun = played(asked("job"), forced=slow)
    at = begun.computed[0][3] - BEGIN + 0.1
    _, known = rewarded(played(asked("job"), forced=slow, events=[(at, stop)]))
    assert known.ended_at - BEGIN < 60.0


def test_the_sweep_closes_what_was_accepted_and_whose_execution_has_ended():
    """Nobody was told that the execution had ended, and a start under its name starts nothing."""

    def end(world):
        (execution,) = world.lambda_service.executions.values()
        execution.status, execution.token = "FAILED", execution.token + 1

    world = played(asked("job"), events=[(0.08, end)])
    row, known = the_only(world)
    assert world.violations == []
    assert (row["state"], known.state) == ("failed", "failed")
    assert known.ended_at - BEGIN < 600.0


def test_a_row_that_is_removed_in_flight_leaves_no_trajectory_open():
    def remove(world):
        world.table.items.pop((f"rollout#{JOBS[0]}#t", "rollout"), None)

    for mode in ("inline", "job"):
        world = played(asked(mode, "slow", retries=0), events=[(6.0, remove)])
        assert world.trainer.trajectories["t"].rewards == [2.0]


@pytest.mark.parametrize("ahead", [25.0, 29.0])
def test_a_clock_that_is_ahead_closes_no_rollout_that_is_played(ahead):
    def sweep(world):
        world._skew = lambda: ahead
        world.sweep()

    world = played(
        asked("inline", "slow", turns=4, retries=0),
        events=[(at, sweep) for at in (3.0, 9.0, 14.0)],
    )
    assert world.trainer.trajectories["t"].rewards == [4.0]
    assert world.violations == []
