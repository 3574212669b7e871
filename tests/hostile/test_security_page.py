"""The security page names only tests that exist."""

from __future__ import annotations

import ast
import re

from tests.building import ROOT


def test_each_test_named_on_the_security_page_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 30
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
            path,
            name,
        )


def test_each_defence_names_a_test():
    table = (
        (ROOT / "docs/security.md")
        .read_text()
        .split("## Threats and defences")[1]
        .split("\n## ")[0]
    )
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert rows
    assert [row for row in rows if "::test_" not in row] == []
