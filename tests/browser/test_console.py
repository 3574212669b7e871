"""What a person sees and does in the console, in a real browser."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import httpx
import pytest

from devkit.emulator.stack import JOB_ARN
from tests.browser.hostile_content import HOSTILE, ROW, play

JOB = "/job?" + urlencode({"job": JOB_ARN})
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}


def trajectory(name):
    return "/trajectory?" + urlencode({"job": JOB_ARN, "id": name})


def test_a_stack_without_rollouts_says_what_to_do(visit):
    page = visit()
    assert page.locator("h1").inner_text() == "No rollouts yet"
    assert "make run" in page.locator("main").inner_text()


@pytest.fixture(scope="module")
def played(stack):
    play(stack, "plain", members=4)
    play(stack, "hostile", row={**ROW, "note": HOSTILE})
    return stack


def test_a_page_looks_again_while_rollouts_end(visit, stack, played):
    page = visit(JOB)
    before = page.locator("#figures dd").first.inner_text()
    play(stack, "later")
    page.evaluate("document.getElementById('main').dataset.live = '1'")
    page.wait_for_function(
        "before => document.querySelector('#figures dd').innerText !== before",
        arg=before,
        timeout=30_000,
    )
    assert page.locator("#status").inner_text().startswith("Live, updated")
    assert page.get_by_role("link", name="later-000000-00").is_visible()


def test_the_keyboard_leads_from_jobs_to_a_tool_call(visit, played):
    page = visit()

    def tab_to(text):
        for _ in range(80):
            page.keyboard.press("Tab")
            if text in page.evaluate("document.activeElement.textContent || ''"):
                return
        raise AssertionError(f"no key leads to {text}")

    tab_to("Skip to content")
    page.keyboard.press("Enter")
    tab_to("local")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rollouts table")
    tab_to("plain-000000-00")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn")
    tab_to("call evaluate")
    page.keyboard.press("Enter")
    assert page.locator(".turn details[open] pre").first.is_visible()
    tab_to("Compare with")  # around the page and to its group


def test_a_job_shows_its_figures_and_charts(visit, played):
    page = visit(JOB)
    page.wait_for_selector("#charts[data-drawn]")
    assert page.locator("#charts canvas").count() == 4
    figures = page.locator("#figures").inner_text()
    assert "Mean reward" in figures
    assert "Flat groups" in figures
    # The charts have drawn something: a canvas of one colour has one.
    drawn = page.evaluate(
        "() => new Set(new Uint32Array(document.querySelector('#charts canvas').getContext('2d')"
        ".getImageData(0, 0, 400, 180).data.buffer)).size"
    )
    assert drawn > 3


def test_a_filter_lists_what_passes_it(visit, played):
    page = visit(JOB)
    page.get_by_label("Reward from").fill("1")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**low=1**")
    listed = page.locator("#rollouts tbody th").all_inner_texts()
    assert "plain-000000-00" in listed
    assert "plain-000000-01" not in listed
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    assert "passes the filter" in page.locator("#rollouts").inner_text()


def test_hostile_transcripts_are_text(visit, played):
    page = visit(trajectory("hostile-000000-00"))
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    shown = page.locator("main").inner_text()
    assert "<script>alert('script')</script>" in shown
    assert "{{ 7*7 }}" in shown
    assert "⟨U+202E⟩gnp.exe" in shown
    assert "␛[31mred" in shown
    assert "more characters are in the raw JSON" in shown
    assert (
        page.locator("main script, main img, main iframe, main style, base, main svg").count() == 0
    )
    assert page.locator("a[href^='javascript']").count() == 0
    assert len(page.content()) < 150_000
    visit(
        "/compare?"
        + urlencode({"job": JOB_ARN, "a": "hostile-000000-00", "b": "hostile-000000-01"})
    )


def test_what_an_address_says_is_text_too(visit, played):
    for query in (
        {"job": HOSTILE},
        {"job": JOB_ARN, "state": HOSTILE},
        {"job": JOB_ARN, "cursor": HOSTILE},
    ):
        answer = httpx.get(f"{played.console_url}/job", params=query)
        assert answer.status_code == 400
        assert "<script>alert" not in answer.text


def test_the_policy_stops_what_escaping_would_let_through(browser, played):
    page = browser.new_page()
    page.goto(played.console_url)
    refused = page.evaluate(
        """() => new Promise(done => {
          document.addEventListener("securitypolicyviolation", event => done(event.violatedDirective));
          const script = document.createElement("script");
          script.textContent = "document.title = 'run'";
          document.body.append(script);
        })"""
    )
    assert refused == "script-src-elem"
    assert page.title() != "run"
    page.close()


@pytest.mark.parametrize("settings", [PHONE, {**PHONE, "color_scheme": "dark"}])
def test_a_phone_scrolls_down_only(visit, played, settings):
    pair = urlencode({"job": JOB_ARN, "a": "hostile-000000-00", "b": "hostile-000000-01"})
    for path in (
        "/",
        JOB,
        trajectory("hostile-000000-00"),
        f"/compare?{pair}",
        f"/groups?job={JOB_ARN}",
    ):
        page = visit(path, **settings)
        wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], path


def test_dark_is_dark_and_both_can_be_read(visit, played):
    seen = {}
    for scheme in ("light", "dark"):
        page = visit(JOB, color_scheme=scheme)
        seen[scheme] = page.evaluate(
            """() => ["backgroundColor", "color"].map(name => {
              const [r, g, b] = getComputedStyle(document.body)[name].match(/\\d+/g).map(Number);
              return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            })"""
        )
    assert seen["light"][0] > 200 > seen["light"][1] + 120
    assert seen["dark"][0] < 50 < seen["dark"][1] - 120


def test_two_rollouts_of_a_group_are_compared(visit, played):
    page = visit(trajectory("plain-000000-00"))
    page.get_by_role("link", name="Compare with plain-000000-01").click()
    page.wait_for_selector(".sides .turn")
    heads = page.locator(".heads").inner_text()
    assert "reward 1.000" in heads
    assert "reward 0.000" in heads
    assert page.locator("#differs").count() == 1
    page.get_by_role("link", name="Group").click()
    page.get_by_role("button", name="Compare A with B").click()
    page.wait_for_selector(".sides .turn")


def test_the_raw_json_is_handed_out_to_keep(visit, played):
    page = visit(trajectory("hostile-000000-00"))
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download raw JSON").click()
    assert waiting.value.suggested_filename == "hostile-000000-00.json"
    document = json.loads(waiting.value.path().read_text())
    assert document["turns"][0]["reply"]["choices"][0]["message"]["content"].startswith(HOSTILE)


# Controls whose middle a finger would not hit, because another one lies over it.
COVERED = """() => [...document.querySelectorAll('a[href], button, input, select, summary')]
  .filter(control => control.checkVisibility() && control.getClientRects().length)
  .filter(control => {
    control.scrollIntoView({block: 'center'});
    const box = control.getClientRects()[0];
    if (box.width < 2 || box.height < 2) return false;  // for screen readers only
    const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    return hit && !control.contains(hit) && !hit.contains(control) && !hit.closest('label');
  })
  .map(control => control.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize(
    "page", ["/", JOB, "/groups?" + urlencode({"job": JOB_ARN}), trajectory("plain-000000-00")]
)
def test_on_a_phone_no_control_covers_another(visit, played, page):
    shown = visit(page, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    shown.wait_for_load_state("networkidle")
    shown.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    wide = """() => [...document.querySelectorAll('body *')]
      .filter(e => document.documentElement.scrollWidth > 390 && e.getBoundingClientRect().right > 390)
      .map(e => e.outerHTML.slice(0, 90))"""
    assert shown.evaluate(wide) == []
    assert shown.evaluate(COVERED) == []
