"""Pictures of the console for the README: plays sample problems and drives a real browser.

``make screenshot``, or ``python -m scripts.screenshot``.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

from devkit.emulator.faults import parse_faults
from devkit.emulator.job_runtime import SampleRequest
from devkit.emulator.stack import JOB_ARN, EmulatedStack
from devkit.rehearsal.play import play_groups, read_rows
from environments.calculator import scripts as calculator

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = ROOT / ".tools" / "browser" / "chromium"
_IMAGES = ROOT / "docs" / "images"
# Root has no sandbox to give, and nothing here is to call home.
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@contextmanager
def chromium() -> Generator[Browser]:
    """The machine's Chromium, headless."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM.resolve(), args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def learning_policy(asked: SampleRequest) -> dict[str, Any]:
    """A policy that gets better from group to group, and takes a moment for each turn."""
    number = int(asked.trajectory_id.split("-")[1])
    dice = zlib.crc32(asked.trajectory_id.encode()) % 1000 / 1000
    time.sleep(0.05 + dice / 6)
    script = calculator.gold if dice < 0.2 + number / 60 else calculator.poor
    return script(asked.instance, asked.messages)


@contextmanager
def played(groups: int, seconds: float = 0.0) -> Generator[EmulatedStack]:
    """A stack that has played sample problems, some of which failed.

    Args:
        groups: problems, each played as a group of eight.
        seconds: between one group and the next.
    """
    faults = parse_faults(
        "Sample:status=500%0.02,UpdateReward:status=500%0.1,CompleteRollout:status=409%0.02", 7
    )
    rows = read_rows(ROOT / "environments/calculator/dataset.jsonl", 100)
    with EmulatedStack(learning_policy, faults=faults) as stack:
        for number in range(groups):
            row = rows[number % len(rows)] | {"variant": number}
            list(play_groups(stack, [row], 8, run=f"step-{number}"))
            time.sleep(seconds)
        yield stack


def main(arguments: list[str] | None = None) -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=_IMAGES)
    parser.add_argument("--groups", type=int, default=40)
    options = parser.parse_args(arguments)
    options.to.mkdir(parents=True, exist_ok=True)
    with played(options.groups, 0.4) as stack, chromium() as browser:
        for name, page in PAGES.items():
            _shoot(browser, f"{stack.console_url}/{page}", options.to / f"{name}.png", _DESK)
        for variant, look in VARIANTS.items():
            url = f"{stack.console_url}/{PAGES['console']}"
            _shoot(browser, url, options.to / f"console-{variant}.png", look)


_DESK: dict[str, Any] = {"viewport": {"width": 1180, "height": 900}}
VARIANTS: dict[str, dict[str, Any]] = {
    "dark": {**_DESK, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}


PAGES = {
    "console": f"job?{httpx.QueryParams(job=JOB_ARN)}",
    "trajectory": f"trajectory?{httpx.QueryParams(job=JOB_ARN, id='step-30-000000-01')}",
    "compare": f"compare?{httpx.QueryParams(job=JOB_ARN, a='step-30-000000-00', b='step-30-000000-01')}",
}


def _shoot(browser: Browser, url: str, to: Path, settings: dict[str, Any]) -> None:
    page = browser.new_page(**settings)
    page.goto(url)
    if page.locator("#charts").count():
        page.wait_for_selector("#charts[data-drawn]")
    page.screenshot(path=to)
    page.close()


if __name__ == "__main__":
    main()
