"""The reference of what an agent's author imports: every name says what it is, and the pages are written."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import rollout
from scripts.reference import MODULES
from tests.building import ROOT


def public(name):
    """Classes and functions that a module offers, by name."""
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", None) or [
        found
        for found, value in vars(module).items()
        if not found.startswith("_") and getattr(value, "__module__", "") == name
    ]
    for found in offered:
        value = getattr(module, found)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield found, value


def members(kind):
    """Methods and properties that a class itself defines."""
    for name, value in vars(kind).items():
        plain = getattr(value, "__func__", value)
        if not name.startswith("_") and (inspect.isfunction(plain) or isinstance(value, property)):
            yield name, plain


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_docstring(module):
    names = dict(public(module))
    assert names
    # An error's title is its line; it is what a caller reads, too.
    bare = [
        name for name, value in names.items()
        if not (value.__doc__ or vars(value).get("title") or "").strip()
    ]  # fmt: skip
    for name, value in names.items():
        if inspect.isclass(value):
            bare += [
                f"{name}.{one}" for one, of in members(value) if not (of.__doc__ or "").strip()
            ]
    assert bare == []


def test_the_reference_holds_each_name_and_no_module_besides(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "scripts.reference", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    assert written == {"index.html", *(f"{name.replace('.', '/')}.html" for name in MODULES)}
    page = (tmp_path / "rollout.html").read_text()
    assert [name for name in rollout.__all__ if f'<section id="{name}">' not in page] == []
    assert 'id="Episode.converse"' in page


def test_make_writes_it_where_git_ignores_it():
    target = (ROOT / "Makefile").read_text().partition("\nreference:")[2].partition("\n\n")[0]
    assert "scripts.reference build/reference" in target
    assert "build/" in (ROOT / ".gitignore").read_text().splitlines()
