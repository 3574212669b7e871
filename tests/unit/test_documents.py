"""What the documents name is there: paths, symbols, modules, commands and make targets."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess

import pytest

from devkit import __main__ as command_line
from tests.building import ROOT

PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("environments/**/*.md")]
)
FOLDERS = "benchmarks|devkit|docs|environments|events|functions|layers|requirements|scripts|tests"
PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w/?(?:::\w+(?:\.\w+)?)?(?![\w*])")
FILE = re.compile(r"`([\w-]+\.(?:yaml|toml|md|py|in|js)|Makefile|LICENSE)`")
MODULE = re.compile(r"(?<![\w./:])(?:devkit|scripts|tests|benchmarks)(?!\.py\b)(?:\.[a-z_]+)+")
MAKE = re.compile(r"(?:`|^ {4}|&& )make ([a-z-]+)", re.MULTILINE)
COMMAND = re.compile(r"(?:`|^ {4})rollout ([a-z-]+)", re.MULTILINE)
# What the pages have a reader write, and names that stand for any other.
WRITTEN_BY_READERS = re.compile(
    r"environments/(adder|mine|NAME|my_\w+|requirements\.in)\b|NAME|YOUR"
)
# Files that a page tells its reader to write, or that a command writes.
EXAMPLES = {"test_adder.py", "card.md"}


def text_of(page):
    return (ROOT / page).read_text()


def named(pattern, page):
    # Where a link leads is held by a test of its own; it is written from the page, not from the root.
    return sorted(set(pattern.findall(re.sub(r"\]\([^)]*\)", "]", text_of(page)))))


@pytest.fixture(scope="module")
def files():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {line for line in listed.stdout.splitlines() if (ROOT / line).exists()}


@pytest.mark.parametrize("page", PAGES)
def test_every_path_a_page_names_is_in_the_tree(page, files):
    missing = [
        path
        for path in named(PATH, page)
        if not WRITTEN_BY_READERS.search(path)
        and not any(
            file == (place := path.partition("::")[0].rstrip("/")) or file.startswith(f"{place}/")
            for file in files
        )
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_symbol_a_page_names_is_defined_where_it_says(page):
    missing = [
        path for path in named(PATH, page) if "::" in path and not defines(*path.split("::"))
    ]
    assert missing == []


def defines(path, symbol):
    body = ast.parse((ROOT / path).read_text()).body
    for name in symbol.split("."):
        found = [
            node
            for node in body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name == name
        ]
        if not found:
            return False
        body = found[0].body
    return True


@pytest.mark.parametrize("page", PAGES)
def test_every_file_a_page_names_alone_is_in_the_tree(page, files):
    names = {file.rsplit("/", 1)[-1] for file in files} | EXAMPLES
    assert [name for name in named(FILE, page) if name not in names] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_module_a_page_names_is_in_the_tree(page):
    missing = []
    for module in named(MODULE, page):
        place = ROOT / module.replace(".", "/")
        if not (
            place.is_dir()
            or place.with_suffix(".py").is_file()
            or place.parent.with_suffix(".py").is_file()
        ):
            missing.append(module)
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_a_page_names_can_be_made(page):
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    assert [target for target in named(MAKE, page) if target not in targets] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_a_page_names_is_one(page):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for module in command_line._COMMANDS:
        module.register(commands)
    assert [name for name in named(COMMAND, page) if name not in commands.choices] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text_of(page))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_holds_what_a_merge_left(page):
    assert re.findall(r"^(?:<{7} |={7}$|>{7} )", text_of(page), re.MULTILINE) == []


def test_the_index_names_every_page():
    index = (ROOT / "docs/README.md").read_text()
    linked = set(re.findall(r"\]\(([^)]+)\)", index))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").glob("*.md")}
    assert pages - linked == {"README.md"}


# --- the answers of CONTRIBUTING.md that a path alone does not prove -------------------------------


def calls_of_client(service):
    """Files of the library that make a client of a service."""
    library = ROOT / "layers/rollout/python/rollout"
    return {
        source.relative_to(library).as_posix()
        for source in library.rglob("*.py")
        if re.search(rf"client\(\s*\"{service}\"", source.read_text())
    }


def test_one_module_talks_to_dynamodb():
    assert calls_of_client("dynamodb") == {"aws/table.py"}


def test_one_module_samples_and_one_reports():
    assert calls_of_client("sagemakerjobruntime") <= {"aws/job_runtime.py", "aws/feedback.py"}


def test_routes_stand_in_one_file():
    routed = {
        source.relative_to(ROOT).as_posix()
        for source in (ROOT / "functions/rollout").glob("*.py")
        if re.search(r"^@app\.(get|post|put|delete)\(", source.read_text(), re.MULTILINE)
    }
    assert routed == {"functions/rollout/api.py"}


def test_the_findings_of_the_verdict_are_made_in_three_modules():
    makers = {
        source.name
        for source in (ROOT / "devkit/verdict").glob("*.py")
        if re.search(r"\bFinding\(\n", source.read_text())
    }
    assert makers == {"faults.py", "findings.py", "learning_findings.py"}


def test_every_command_begins_in_a_module_of_its_name():
    for module in command_line._COMMANDS:
        commands = argparse.ArgumentParser().add_subparsers()
        module.register(commands)
        own = module.__name__.rpartition(".")[2].replace("_", "-")
        assert own in commands.choices


def sources(folder, pattern):
    """Files of a folder that a pattern is found in."""
    return {
        source.relative_to(ROOT / folder).as_posix()
        for source in (ROOT / folder).rglob("*.py")
        if re.search(pattern, source.read_text(), re.MULTILINE)
    }


def test_the_errors_of_a_rollout_are_defined_in_one_file():
    from rollout import errors

    tree = "|".join(
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.RolloutError)
    )
    library = "layers/rollout/python/rollout"
    assert sources(library, rf"^class \w+\((?:{tree})\b") == {"errors.py"}
    assert sources(library, r"application/problem\+json") <= {"service/http_errors.py"}


def test_a_setting_of_the_stack_is_read_in_one_file():
    library = "layers/rollout/python/rollout"
    assert sources(library, r"environ\b.*\bROLLOUT_(?!DATA)") <= {"settings.py"}
    assert sources(library, r"\bread_settings\(os\.environ\)") == {"settings.py"}


def test_one_module_decides_whether_a_rollout_is_played():
    library = "layers/rollout/python/rollout"
    assert sources(library, r"^ +def accept(_durable)?\(") == {"storage/records.py"}
    assert sources(library, r"\.accept(_durable)?\(") == {
        "service/play_inline.py",
        "service/start_durable.py",
    }


def test_conversations_are_put_together_in_one_module():
    # Whoever cuts a conversation at what a turn repeated rebuilds it by itself.
    for folder in ("layers/rollout/python/rollout", "devkit", "functions", "environments"):
        assert sources(folder, r"\[: *(\w+\.)?repeated\]") <= {"conversation.py"}


def test_every_module_of_checks_hands_its_checks_over():
    made = sources("devkit/checks", r"-> Iterator\[CheckResult\]:")
    assert made - sources("devkit/checks", r"^CHECKS\b") == set()
