"""A real Chromium against the console of a local stack."""

from __future__ import annotations

import pytest

from devkit.emulator.stack import EmulatedStack
from scripts.screenshot import chromium
from tests.browser.hostile_content import policy


# Not for the session: Playwright keeps an event loop running, and other tests start their own.
@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def stack():
    with EmulatedStack(policy) as running:
        yield running


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
