"""A real Chromium against the console of a local stack."""

from __future__ import annotations

import pytest

from devkit.emulator.job_runtime import SampleRequest
from devkit.emulator.stack import EmulatedStack
from devkit.rehearsal.play import play_groups
from environments import calculator
from scripts.screenshot import chromium

ROW = {"question": "What is 2 + 3?", "answer": "<<2+3=5>>\n#### 5"}
HOSTILE = (
    "<script>alert('script')</script></pre></script><img src=x onerror=alert('img')>"
    "<a href=\"javascript:alert('link')\">x</a><svg onload=alert('svg')></svg>{{ 7*7 }}"
    "<iframe srcdoc=\"<script>alert('frame')</script>\"></iframe><style>body{display:none}</style>"
    "\u202egnp.exe\u202c \x1b[31mred\x1b[0m \x00 \u2028'\"><base href=https://example.com/>"
)


def policy(asked: SampleRequest):
    """Good, poor and hostile by the trajectory id."""
    if "hostile" in asked.trajectory_id:
        content = HOSTILE + "long " * 40_000
        if asked.turn == 0:
            function = {"name": f"evaluate{HOSTILE}", "arguments": HOSTILE}
            call = {"id": HOSTILE, "type": "function", "function": function}
            return {"content": content, "reasoning_content": HOSTILE, "tool_calls": [call]}
        return {"content": f"#### 5 {content}"}
    script = calculator.poor if asked.trajectory_id.endswith("1") else calculator.gold
    return script(asked.instance, asked.messages)


# Not for the session: Playwright keeps an event loop running, and other tests start their own.
@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def stack():
    with EmulatedStack(policy) as running:
        yield running


def play(stack, *names, row=ROW, members=2):
    """Play a group of rollouts for each name."""
    return [played for name in names for played in play_groups(stack, [row], members, run=name)]


@pytest.fixture
def visit(browser, stack):
    """Opens a page; whatever a page must not do fails the test at its end."""
    wrong: list[str] = []
    contexts = []

    def open_page(path="/", **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss())
        )
        page.on("pageerror", lambda error: wrong.append(f"error {error}"))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith(stack.console_url) else wrong.append(asked.url)
            ),
        )
        page.goto(stack.console_url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong, wrong
