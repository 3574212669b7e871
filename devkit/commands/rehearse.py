"""``rollout rehearse``: play a dataset in groups as a trainer would, and keep what came of it."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from devkit.commands.arguments import add_dataset, at_least, seconds
from devkit.commands.interrupts import DRAIN_SECONDS, INTERRUPTED, stopping
from devkit.commands.judging import conclude
from devkit.commands.messages import complain, refuse, show_raised
from devkit.detectors.found import search
from devkit.emulator.faults import PRESETS
from devkit.raised import Raised
from devkit.rehearsal.client import Unreachable
from devkit.rehearsal.open_target import deployed_target, local_target
from devkit.rehearsal.planning import RehearsalPlan, plan_of
from devkit.rehearsal.play import play, tasks_of
from devkit.rehearsal.progress import ProgressDisplay
from devkit.rehearsal.reconcile import reconcile
from devkit.rehearsal.resume import begin
from devkit.rehearsal.run_files import append_rollout, read_rollouts
from devkit.rehearsal.target import Target
from rollout.errors import AgentUnavailable

_EPILOG = """\
policies:
  scripted              the agent's gold script in --skill of the rollouts, its poor one in the others
  scripted:NAME         one script of the agent's module (gold, poor, ...)
  http(s)://HOST/v1     an OpenAI-compatible server (vLLM, Ollama, llama.cpp); key in ROLLOUT_POLICY_KEY
                        or OPENAI_API_KEY
  bedrock:MODEL         Amazon Bedrock, with your AWS credentials
  endpoint:NAME         a SageMaker endpoint, through the stack's own InvokeEndpoint path
  probe:NAME            one probe; all of them: rollout probe
  MODULE:NAME           your own: a function, class or object (docs/rehearsal.md, Policies)

modes:
  inline   inside the request, within 25 s, as API Gateway allows; the default for scripts and probes
  durable  accepted, then played as a durable execution within --rollout-timeout, as by a job; the
           default for models, which may take longer than 25 s

A run that was stopped goes on with the same command and --run DIR. Exit codes: 0 played, 1 not ready, too
few to tell or not survived, 2 a wrong call, 130 stopped.
"""


def register(commands: Any) -> None:
    """Add ``rehearse`` to the command line."""
    parser = commands.add_parser(
        "rehearse",
        help="play a dataset in groups, as a trainer would, and say whether it will teach anything",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_dataset(parser)
    parser.add_argument("--group-size", type=at_least(1), default=8, help="rollouts a row (8)")
    parser.add_argument("--policy", default="scripted", help="see below (default scripted)")
    parser.add_argument("--model", default="", help="model that an HTTP server is asked for")
    parser.add_argument("--skill", type=float, default=0.75, help="gold's share of scripted (0.75)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of sampling (1.0)")
    parser.add_argument("--top-p", type=float, default=1.0, help="of sampling (1.0)")
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="pass over rows that no job could send, and tell them",
    )
    parser.add_argument(
        "--leave-out",
        action="append",
        default=[],
        choices=("temperature", "top_p"),
        help="do not send this to an HTTP server or Bedrock; some models refuse the pair",
    )
    parser.add_argument(
        "--max-tokens", type=at_least(1), default=4_096, help="sampling_max_tokens (4096)"
    )
    parser.add_argument("--run", type=Path, help="directory (default runs/AGENT-TIME)")
    parser.add_argument("--mode", choices=("inline", "durable"), help="see below")
    parser.add_argument(
        "--rollout-timeout", type=float, default=600, help="seconds of a rollout (600)"
    )
    parser.add_argument(
        "--latency",
        type=seconds,
        help="seconds a turn of the policy you will train; sizes and costs are made from it (measured)",
    )
    parser.add_argument(
        "--faults", default="", help=f"{', '.join(PRESETS)}, or a script (docs/rehearsal.md)"
    )
    parser.add_argument(
        "--sockets",
        action="store_true",
        help="play scripts over real sockets too; models and faults always are",
    )
    parser.add_argument(
        "--success", default="success", help="the agent's metric of what is wanted (success)"
    )
    parser.add_argument(
        "--no-detectors",
        action="store_true",
        help="do not score replies again, nor play gold and probes beside the model: tools run again",
    )
    parser.add_argument("--url", default="", help="play on a deployed stack: its output Url")
    parser.add_argument("--region", default="", help="of --url, where its host does not tell")
    parser.set_defaults(command=_rehearse)


def _rehearse(options: argparse.Namespace, console: Console) -> int:
    try:
        plan = plan_of(options)
        begun, done = begin(plan.run, plan.manifest)
    except (AgentUnavailable, OSError, ValueError) as error:
        return refuse(console, error)
    total = begun.rows * begun.group_size
    console.print(
        f"{begun.rows} rows x {begun.group_size} = {total} rollouts of {begun.agent} against "
        f"{begun.policy}, {begun.mode}; {len(done)} ended before. Run: {plan.run}",
        highlight=False,
        soft_wrap=True,
    )
    for wrong in plan.rows.dataset.bad:
        console.print(f"Skipped: {wrong}", highlight=False, soft_wrap=True)
    if plan.faults.says:
        console.print(f"Faults: {plan.faults.says}.", highlight=False)
    tasks = tasks_of(plan.rows, begun.group_size, name=begun.name, done=done)
    raised = Raised()
    try:
        with (
            _target(plan, options, console, raised) as target,
            stopping(console) as stop,
            ProgressDisplay(console, total, len(done)) as live,
        ):
            for record in play(
                target,
                tasks,
                concurrency=options.concurrency,
                stop=stop,
                drain_seconds=DRAIN_SECONDS,
            ):
                append_rollout(plan.run, record)
                live.add(record)
    except ValueError as error:
        return refuse(console, error)
    except Unreachable as error:
        console.print(f"[red]Not reached:[/red] {error}", soft_wrap=True, highlight=False)
        return _go_on(plan.run, console, 1)
    except KeyboardInterrupt:
        return _go_on(plan.run, console, INTERRUPTED)
    finally:
        complain("The policy's server", plan.policy.complaints(), console)
        show_raised(plan.policy.raised, console, "The policy")
        show_raised(raised, console)
    console.print(
        f"{live.ended} rollouts in this process, {live.rate:.1f} a second", highlight=False
    )
    if live.ended + len(done) < total:
        return _go_on(plan.run, console, INTERRUPTED)
    return finish(plan, console, detectors=not options.no_detectors, success=options.success)


def finish(
    plan: RehearsalPlan, console: Console, *, detectors: bool = True, success: str = "success"
) -> int:
    """Judge a finished run, write its report, and say whether it survived its faults; the exit code.

    Args:
        detectors: look for faults of the environment first; its tools run again.
        success: the agent's metric of what is wanted.
    """
    if detectors and plan.manifest.mode != "url":  # a deployed stack keeps the turns
        search(plan.run, success=success)
    code = conclude(plan.run, console)
    if not plan.manifest.faults:
        return code
    reconciled = reconcile(read_rollouts(plan.run))
    console.print(f"\nunder {plan.manifest.faults}:", markup=False, highlight=False)
    for line in reconciled.lines():
        console.print(line, markup=False, highlight=False)
    return code if reconciled.clean else 1


@contextmanager
def _target(
    plan: RehearsalPlan, options: argparse.Namespace, console: Console, raised: Raised
) -> Generator[Target]:
    with ExitStack() as opened:
        if plan.manifest.mode == "url":
            made = deployed_target(
                plan.manifest,
                plan.policy,
                plan.params,
                durable=options.mode == "durable",
                region=options.region,
                connections=options.concurrency,
                console=console,
            )
        else:
            scratch = opened.enter_context(tempfile.TemporaryDirectory())
            made = local_target(
                plan.manifest,
                plan.policy,
                plan.params,
                faults=plan.faults,
                scratch=Path(scratch),
                connections=options.concurrency,
                on_agent_error=raised.note,
                sockets=options.sockets,
            )
        yield opened.enter_context(made)


def _go_on(run: Path, console: Console, code: int) -> int:
    console.print(
        f"What has ended is kept. To go on: the same command with --run {run}",
        highlight=False,
        soft_wrap=True,
    )
    return code
