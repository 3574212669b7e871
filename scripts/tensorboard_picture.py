"""Take docs/images/tensorboard.png: rehearsals of a policy that gets better, as TensorBoard shows them.

python -m scripts.tensorboard_picture
"""

from __future__ import annotations

import os
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.request
from pathlib import Path

from devkit.__main__ import main as rollout
from scripts.screenshot import ROOT, chromium

_BIN = ROOT / ".tools/exports/bin"
_STEPS = 8
_EXPORT = f"""
import sys
sys.path.append({sysconfig.get_path("purelib")!r})
from devkit.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def main() -> None:
    """Rehearse by scripts, export each rehearsal as a step, and look at them in a browser."""
    with tempfile.TemporaryDirectory() as scratch:
        logs = Path(scratch, "logs")
        for step in range(_STEPS):
            run = Path(scratch, str(step), "desk")  # one name: one curve
            _rehearse(run, skill=0.2 + 0.1 * step)
            _python("-c", _EXPORT, "export", run, logs, "--to", "tensorboard", "--step", step)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [_BIN / "tensorboard", "--logdir", logs, "--port", str(port)]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - our own
        try:
            _shoot(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            server.wait()


def _rehearse(run: Path, skill: float) -> None:
    dataset = ROOT / "environments/support_desk/dataset.jsonl"
    agent = "environments.support_desk:support_desk"
    call = [
        "rehearse",
        str(dataset),
        "--agent",
        agent,
        "--skill",
        f"{skill:.1f}",
        "--run",
        str(run),
    ]
    if rollout(call) == 2:
        raise SystemExit(2)


def _python(*arguments: object) -> None:
    folders = ("", "layers/rollout/python", "functions/rollout", "functions/console")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / f) for f in folders)}
    subprocess.run([_BIN / "python", *map(str, arguments)], env=environment, check=True)  # noqa: S603 - our own


def _shoot(url: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - loopback
            break
        except OSError:
            time.sleep(0.5)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        shown = "criteria/served|groups/flat|passed|reward/mean|spread/reward|turns/mean"
        page.goto(f"{url}/?darkMode=false&tagFilter={shown}&smoothing=0#timeseries")
        page.get_by_role("button", name="Settings").first.click()
        page.wait_for_timeout(8_000)  # the charts are drawn as they come
        page.screenshot(path=ROOT / "docs/images/tensorboard.png")


if __name__ == "__main__":
    main()
