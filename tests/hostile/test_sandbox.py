"""Hostile programs in the sandbox: none gets loose, all end, nothing is left of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from rollout import sandbox
from rollout.errors import ToolBroken, ToolRefused
from rollout.sandbox import Sandbox, remove
from rollout.testing import calls, rehearse
from tests.building import ROOT
from tests.hostile.programs import ENDLESS, FILLING, LOUD, REFUSED

BOX = Sandbox(seconds=3, memory=200_000_000, output=20_000)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A secret, a folder, credentials in the environment; nothing of them may be seen or touched."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setattr(sandbox.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "secret").write_text("canary")
    yield tmp_path
    assert (tmp_path / "secret").read_text() == "canary"
    assert list((tmp_path / "outside").iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def placed(program, places):
    return program.replace("{secret}", str(places / "secret")).replace(
        "{outside}", str(places / "outside")
    )


@pytest.mark.parametrize("name", REFUSED)
def test_a_program_gets_nothing_it_was_not_given(name, places):
    run = BOX.run(placed(REFUSED[name], places))
    assert "LOOSE" not in run.stdout
    assert run.ended in ("exit", "signal")
    assert {"limits", "calls"} <= set(run.guards)


@pytest.mark.parametrize("name", REFUSED)
def test_nor_where_the_kernel_has_no_landlock(name, places, older_kernel):
    run = BOX.run(placed(REFUSED[name], places))
    assert "LOOSE" not in run.stdout
    assert run.guards == ("limits", "calls")


@pytest.fixture
def older_kernel(tmp_path, monkeypatch):
    """The child asks for Landlock by a number that no kernel has: AWS Lambda's had none for long."""
    text = Path(sandbox._CHILD).read_text()
    known = "_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444"
    assert known in text
    child = tmp_path / "child.py"
    child.write_text(text.replace(known, known.replace("444", "9444")))
    monkeypatch.setattr(sandbox, "_CHILD", str(child))


def test_files_are_out_of_reach_where_the_kernel_has_landlock(places):
    run = BOX.run(f"open({str(places / 'secret')!r}).read(); print('LOOSE')")
    assert (run.stdout, "files" in run.guards) == ("", True)


@pytest.mark.parametrize("name", ENDLESS)
def test_a_program_that_never_ends_is_stopped(name):
    run = Sandbox(seconds=0.3).run(ENDLESS[name])
    assert run.ended == "time"
    assert run.seconds < 3


@pytest.mark.parametrize("name", LOUD)
def test_a_program_that_never_stops_talking_is_stopped(name):
    run = BOX.run(LOUD[name])
    assert run.ended == "output"
    assert max(len(run.stdout), len(run.stderr)) == BOX.output


@pytest.mark.parametrize("name", FILLING)
def test_a_program_that_fills_the_disk_is_stopped_and_cleaned_up_after(name):
    run = Sandbox(seconds=5, disk=500_000).run(FILLING[name])
    assert run.ended == "disk" or run.code != 0


def test_nothing_outlives_its_program(tmp_path, monkeypatch):
    """On a system without seccomp, for which require=() is, what was started ends with its group."""
    text = Path(sandbox._CHILD).read_text()
    child = tmp_path / "child.py"
    child.write_text(text.replace('sys.platform == "linux"', "False"))
    monkeypatch.setattr(sandbox, "_CHILD", str(child))
    program = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    run = Sandbox(require=()).run(program)
    assert run.guards == ("limits",)
    pid = int(run.stdout)
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    pytest.fail("it lives on")


# --- what it is for ----------------------------------------------------------------------------------


def test_a_program_runs_with_its_input_and_files():
    box = Sandbox(disk=10_000)
    program = "import json\nrows = json.load(open('rows.json'))\nopen('out', 'w').write(input() + str(sum(rows)))"
    run = box.run(program, stdin="sum ", files={"rows.json": "[1, 2, 3]"}, keep=["out", "none"])
    assert (run.well, run.files) == (True, {"out": b"sum 6"})


def test_threads_and_event_loops_work():
    program = """
import asyncio, threading
threading.Thread(target=print, args=("thread",)).start()
asyncio.run(asyncio.sleep(0.01))
print("loop")
"""
    assert Sandbox().run(program).stdout == "thread\nloop\n"


def test_a_package_is_imported_from_its_folder(tmp_path):
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/mine.py").write_text("answer = 42")
    box = Sandbox(packages=(str(tmp_path / "packages"),))
    assert box.python("import mine; print(mine.answer)") == "42\n"


def test_a_traceback_shows_the_programs_own_lines():
    with pytest.raises(ToolRefused) as refused:
        Sandbox().python("def f():\n    return 1 / 0\nf()")
    assert 'File "program.py", line 2, in f\n    return 1 / 0' in refused.value.said
    assert "sandbox_child" not in refused.value.said
    assert "ZeroDivisionError" in refused.value.said


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "a/b", ""])
def test_names_of_files_lead_nowhere_else(name):
    with pytest.raises(ToolRefused):
        Sandbox(disk=10).run("", files={name: "x"})
    with pytest.raises(ToolRefused):
        Sandbox(disk=10).run("", keep=[name])


def test_a_kept_file_is_no_link_out_and_no_pipe(places):
    box = Sandbox(disk=1_000)
    program = f"import os\nos.symlink({str(places / 'secret')!r}, 'a')\nos.mkdir('b')\nopen('c', 'w').write('x')"
    assert box.run(program, keep=["a", "b", "c"]).files == {"c": b"x"}


def test_a_never_ending_program_is_the_policys_doing(places):
    """Through a whole rollout: it is told to the model, once, and the rollout is scored."""

    def script(instance, messages):
        if messages[-1]["role"] == "user":
            return calls("python", {"code": "while True: pass"})
        return {"content": messages[-1]["content"]}

    def agent(episode):
        reply = episode.converse("?", tools=[Sandbox(seconds=0.2).python])
        return float("had not ended after 0.2 s" in reply.text)

    result = rehearse(agent, {}, script)
    assert (result.reward, result.metrics["tool_errors"]) == (1.0, 1.0)


def test_a_child_that_cannot_be_started_or_guarded_is_an_outage(monkeypatch, tmp_path):
    with pytest.raises(ToolBroken):
        Sandbox(require=("calls", "moat")).run("print(1)")
    monkeypatch.setattr(sandbox.sys, "executable", str(tmp_path / "none"))
    with pytest.raises(ToolBroken):
        Sandbox().run("print(1)")


def test_a_process_without_privileges_hides_its_environment(older_kernel):
    """As on Lambda: no root, the same user for parent and child, no Landlock."""
    program = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
from rollout import sandbox
sandbox._CHILD = sys.argv[1]
if len(sys.argv) > 2:
    sandbox.hide_environment = lambda: None
print(sandbox.Sandbox().run(PROGRAM).stdout)
""".replace("PROGRAM", repr(REFUSED["reads its parent's environment"]))
    command = [sys.executable, "-c", program, sandbox._CHILD]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    hidden = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    open_ = subprocess.run(
        [*command, "open"], env=environment, capture_output=True, text=True, check=True
    )
    assert hidden.stdout.strip() == ""
    assert open_.stdout.strip() == "LOOSE"  # so that it is this that hides it


def test_a_hostile_folder_is_removed(tmp_path):
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for _ in range(300):  # in all longer than any path may be
            Path("d" * 20).mkdir()
            os.chdir("d" * 20)
        Path().chmod(0)
    finally:
        os.chdir(before)
    remove(folder)
    assert not folder.exists()
    assert json.dumps(sorted(p.name for p in tmp_path.iterdir())) == '["outside", "secret", "tmp"]'


def test_the_pages_example_tells_a_right_program_from_a_wrong_one():
    page = (ROOT / "docs/environments/code.md").read_text()
    example = types.ModuleType("example")
    exec(page.split("```python\n")[1].split("\n```\n")[0], vars(example))
    tests = [{"input": "2 3\n", "output": "5\n"}, {"input": "-1 1\n", "output": "0\n"}]
    instance = {"task": "Print the sum of the two numbers on a line.", "tests": tests}
    right = "print(sum(map(int, input().split())))"

    def plays(program):
        def script(instance, messages):
            if messages[-1]["role"] == "user":
                return calls("python", {"code": "print(1 + 1)"})
            assert messages[-1]["content"] == "2\n"
            return {"content": f"```python\n{program}\n```"}

        return rehearse(example.coder, instance, script).reward

    assert plays(right) == 1.0
    assert plays("print(5)") == 0.5
    assert plays("import os; os.kill(os.getppid(), 9)") == 0.0
