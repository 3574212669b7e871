"""Names that environments may have."""

from __future__ import annotations

import io
import keyword
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from devkit.commands.new import fault_of, new_environment


@pytest.mark.parametrize(
    "name",
    [
        "class", "match", "type", "list", "print", "agent", "tool", "scripts", "test", "tests", "test_x", "dataset_2",
        "rollout", "environments", "Über", "ünder", "a-b", "a.b", "a/b", "..", "1a", "_a", "A", "a b", "", "a\n",
    ],
)  # fmt: skip
def test_a_name_that_would_not_work_is_refused_in_one_line(name, tmp_path, monkeypatch):
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments/__init__.py").touch()
    monkeypatch.setenv("ENVIRONMENTS", str(tmp_path))
    said = io.StringIO()
    assert new_environment(name, Console(file=said, width=60)) == 2
    assert said.getvalue().endswith("choose another name.\n")
    assert said.getvalue().count("\n") == 1
    assert [path.name for path in (tmp_path / "environments").iterdir()] == ["__init__.py"]


# Names that agents have, and whatever else an author may think of.
WORDS = st.sampled_from(
    [*keyword.kwlist, *sorted(sys.stdlib_module_names), *dir(str), "chess", "sudoku_9"]
)


@given(WORDS | st.text("abc_019", max_size=8))
def test_what_is_taken_is_a_function_a_module_and_a_folder(name):
    if fault_of(name) is None:
        compile(f"from environments.{name} import {name}\ndef {name}(): ...", name, "exec")
        assert not name.startswith(("test_", "_"))
