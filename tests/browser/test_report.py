"""The report in a real browser: readable, harmless whatever a model wrote, and alone with itself."""

from __future__ import annotations

import gzip
import json
import random
import re
import tracemalloc
from base64 import b64decode

import pytest
from playwright.sync_api import expect, sync_playwright

from devkit.rehearsal.run_files import append_rollout, write_manifest
from devkit.verdict import report_page
from devkit.verdict.report_page import write_report
from rollout.testing import calls
from tests.building import ROOT
from tests.rehearsed import failure, groups, manifest, played, record, turn, write

HOSTILE = (
    "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'>"
    "<!-- <script> ]]> {{ 7 * 7 }} \u2028 \u202e"
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        path = str(ROOT / ".tools/browser/chromium")
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Opens a report; fails if the page raised, complained or asked for anything but itself."""
    contexts, trouble = [], []

    def open_page(path, fragment="", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda said: trouble.append(said.text))
        url = path.as_uri()
        page.on(
            "request", lambda asked: asked.url.split("#")[0] == url or trouble.append(asked.url)
        )
        page.goto(url + fragment)
        page.wait_for_selector("html[data-started]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A run in which several things went wrong."""
    asked = turn(
        "Let me see.",
        message=calls("evaluate", {"expression": "6 * 7"}),
        finish_reason="tool_calls",
    )
    answer = {"role": "tool", "tool_call_id": "call_0", "content": "42"}
    answered = turn("It is forty-two.", messages=[asked.message, answer], repeated=1)
    records = [
        *groups((1.0, 0.0), (0.25, 0.75)),
        record(2, 0, 1.0, turns=[asked, answered], metrics={"tool_calls": 1.0}),
        record(2, 1, None, error=failure("deadline", "The rollout ran out of time")),
        record(3, 0, 0.0, turns=[turn("A needle in a hay", finish_reason="length")], seconds=580.0),
        record(3, 1, 0.0, turns=[], sampled=0, turns_answered=0),
    ]
    return write_report(write(tmp_path_factory.mktemp("report") / "run", records))[1]


def rows(page):
    return page.locator("#list .row")


def test_the_verdict_and_its_reasons_come_first(visit, path):
    page = visit(path)
    expect(page.locator(".verdict")).to_have_text("not ready")
    codes = page.locator(".findings .code").all_inner_texts()
    assert any("not-sampled" in code for code in codes)
    assert page.locator(".findings li").first.get_attribute("class") == "not-ready"
    expect(page.locator(".failures")).to_contain_text("The rollout ran out of time")


def test_the_charts_are_drawn(visit, path):
    page = visit(path)
    for name in ("rewards", "groups", "passes", "turns", "seconds", "tokens"):
        canvas = page.locator(f"#chart-{name} canvas")
        expect(canvas).to_have_count(1)
        drawn = "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
        assert canvas.evaluate(drawn) > 3, name
    page.locator("#chart-groups .u-over").hover()
    expect(page.locator("#chart-groups .read")).to_contain_text("group")


def test_a_turn_shows_its_calls_and_answers_folded(visit, path):
    page = visit(path, "#rollout=r-0002-0")
    transcript = page.locator("#transcript")
    expect(transcript.locator("h3")).to_have_text("r-0002-0")
    expect(transcript).to_contain_text("It is forty-two.")
    expect(transcript.locator("summary", has_text="calls evaluate")).to_contain_text("6 * 7")
    expect(transcript.locator("summary", has_text="evaluate answers")).to_contain_text("42")
    assert not transcript.locator("details").first.evaluate("d => d.open")
    page.keyboard.press("e")
    assert transcript.locator("details").first.evaluate("d => d.open")


def test_filters_leave_what_they_say(visit, path):
    page = visit(path)
    expect(rows(page)).to_have_count(8)
    for kind, count in (
        ("passed", 2),
        ("failed", 1),
        ("truncated", 1),
        ("unsampled", 1),
        ("short", 6),
    ):
        page.select_option("#kind", kind)
        expect(rows(page)).to_have_count(count)
    page.get_by_role("button", name="Clear").click()
    expect(rows(page)).to_have_count(8)
    page.fill("#group", "1")
    expect(rows(page)).to_have_count(2)
    page.fill("#low", "0.5")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("0.75")


def test_sorting_puts_the_slowest_first(visit, path):
    page = visit(path)
    page.select_option("#sort", "slow")
    expect(rows(page).first).to_contain_text("group 3, 0")


def test_a_search_reads_every_message(visit, path):
    page = visit(path)
    page.fill("#search", "NEEDLE in")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("cut off")
    expect(page.locator("#count")).to_contain_text("1 of 8")


def test_the_keyboard_is_enough(visit, path):
    page = visit(path)
    expect(page.locator(".row[aria-current]")).to_have_attribute("data-id", "r-0000-0")
    page.keyboard.press("j")
    expect(page.locator("#transcript h3")).to_have_text("r-0000-1")
    assert page.url.endswith("#rollout=r-0000-1")
    page.keyboard.press("k")
    expect(page.locator("#transcript h3")).to_have_text("r-0000-0")
    page.keyboard.press("/")
    page.keyboard.type("forty")
    expect(rows(page)).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("#transcript h3")).to_have_text("r-0002-0")


def test_a_link_to_a_rollout_that_is_not_there_says_so(visit, path):
    page = visit(path, "#rollout=%E0%A4%A")
    expect(page.locator("#transcript")).to_contain_text("is not in this page")


def test_a_click_on_a_bar_shows_its_rollouts(visit, path):
    page = visit(path)
    over = page.locator("#chart-rewards .u-over")
    over.click(position={"x": over.bounding_box()["width"] - 12, "y": 40})
    expect(rows(page)).to_have_count(2)


@pytest.mark.parametrize("fragment", ["", "#rollout=" + "%3C%2Fscript%3E"])
def test_hostile_content_is_shown_as_text(visit, tmp_path, fragment):
    said = turn(
        HOSTILE,
        messages=[
            {"role": HOSTILE, "content": HOSTILE},
            {"role": "user", "content": [{"type": HOSTILE}]},
        ],
        message={
            "tool_calls": [
                {"id": HOSTILE, "function": {"name": HOSTILE, "arguments": HOSTILE}},
                None,
                7,
            ]
        },
        params={"tools": [{"function": {"name": HOSTILE}}, None], HOSTILE: 1},
        finish_reason=HOSTILE,
    )
    bad = record(
        0, 0, 0.0, trajectory_id="</script>", instance={HOSTILE: HOSTILE}, output=HOSTILE,
        metrics={HOSTILE: 1.0}, turns=[said, said], error=failure(HOSTILE, HOSTILE), reports=[HOSTILE],
    )  # fmt: skip
    failed = record(0, 1, None, error=failure(HOSTILE, HOSTILE))
    run = write(
        tmp_path / "run",
        [bad, failed],
        agent=HOSTILE,
        dataset=HOSTILE,
        policy=HOSTILE,
        faults=HOSTILE,
    )
    page = visit(write_report(run)[1], fragment)
    expect(page.locator("#transcript")).to_contain_text("window.broken = 1")
    expect(page.locator("h1")).to_contain_text("<img src=x")
    page.fill("#search", "window.broken")
    expect(rows(page)).to_have_count(2)
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_on_a_phone(visit, path, width, scheme):
    page = visit(path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = int(re.findall(r"\d+", background)[0]) > 128
    assert light == (scheme == "light")


def test_the_colours_are_told_apart(visit, path):
    """WCAG AA: 4.5 for text, in both schemes."""
    contrast = """pair => {
      const parse = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
      const light = (c) => parse(c).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const probe = document.body.appendChild(document.createElement('i'));
      const [a, b] = pair.map((name) => { probe.style.color = `var(${name})`; return light(getComputedStyle(probe).color); });
      probe.remove();
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }"""
    for scheme in ("light", "dark"):
        page = visit(path, color_scheme=scheme)
        for text in ("--ink", "--dim", "--accent", "--good", "--fair", "--bad"):
            for under in ("--paper", "--card"):
                assert page.evaluate(contrast, [text, under]) >= 4.5, (scheme, text, under)
        for word in ("good", "fair", "bad"):
            assert page.evaluate(contrast, [f"--{word}", f"--{word}-soft"]) >= 4.5, (scheme, word)


def test_a_run_without_rollouts_has_a_report(visit, tmp_path):
    page = visit(write_report(write(tmp_path / "run", []))[1])
    expect(page.locator(".findings")).to_contain_text("nothing-played")
    expect(page.locator("#chart-rewards")).to_contain_text("nothing to show")


def test_a_large_run_is_embedded_in_part_and_says_so(visit, tmp_path, monkeypatch):
    monkeypatch.setattr(report_page, "MOST_ROLLOUTS", 20)
    run = write(tmp_path / "run", groups(*[(0.0, 1.0)] * 40))
    page = visit(write_report(run)[1])
    expect(page.locator("#count")).to_have_text(
        "20 of 20 rollouts; 60 more are not embedded, see rollouts.jsonl"
    )
    assert "group 36" in rows(page).all_inner_texts()[-1]


def test_blocks_are_unpacked_one_by_one(visit, tmp_path, monkeypatch):
    monkeypatch.setattr(report_page, "_BLOCK", 2_000)
    run = played(tmp_path / "run", "calculator", rows=6)
    page = visit(write_report(run)[1], "#rollout=r-0005-3")
    assert page.locator("script[data-block]").count() > 5
    expect(page.locator("#transcript h3")).to_have_text("r-0005-3")


def test_an_overlong_text_is_cut_and_says_so(tmp_path):
    run = write(tmp_path / "run", [record(turns=[turn("x" * 60_000)])])
    page = write_report(run)[1].read_text()
    block = re.search(r"data-block>(.*?)<", page)[1]
    said = json.loads(gzip.decompress(b64decode(block)))[0]["turns"][0]["message"]["content"]
    assert said.startswith("x" * 50_000 + "\n[10,000 characters more in rollouts.jsonl]")


def test_a_histogram_counts_every_value():
    for values in ([0.0], [0.3, 0.3], [0, 1, 63], [-2.0, 0.1, 5.5], [1e-9, 1e9]):
        for whole in (False, True):
            bars = report_page._histogram(values, whole=whole)
            assert sum(bars["counts"]) == len(values)
            assert len(bars["counts"]) <= 25


def test_memory_is_bounded_by_a_block_not_by_the_run(tmp_path):
    def size(count):
        dice = random.Random(7)
        records = (
            record(n // 2, n % 2, float(n % 2), turns=[turn(dice.randbytes(100_000).hex())])
            for n in range(count)
        )
        run = tmp_path / f"run-{count}"
        write_manifest(run, manifest(rows=count // 2, group_size=2))
        for each in records:
            append_rollout(run, each)
        tracemalloc.start()
        write_report(run)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    size(4)  # what is imported and compiled once
    assert size(80) < size(20) + 1_000_000  # sixty more rollouts of 200 KB each
