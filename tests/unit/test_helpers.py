"""What tests share stands in modules that hold no tests, so that a test can be moved or run alone."""

from __future__ import annotations

import ast

from tests.building import ROOT


def test_nothing_is_imported_from_a_test_module_or_a_conftest():
    found = {
        f"{source.relative_to(ROOT)}: {node.module}"
        for source in ROOT.glob("tests/**/*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("tests")
        and node.module.rpartition(".")[2].startswith(("test_", "conftest"))
    }
    assert found == set()
