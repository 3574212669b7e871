"""Whether what the environments need is pinned, fits what the stack ships, and is what plays here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from devkit.checks.check_result import CheckResult, error, ok, some, warning
from devkit.places import SHIPPED

_MEND = "Name them in environments/requirements.in and let rollout lock pin them."


def requirements(file: Path) -> Iterator[CheckResult]:
    """The environments' requirements.txt is a lock that the build takes and this machine has."""
    try:
        wanted = [one for one in _read(file) if one.marker is None or one.marker.evaluate()]
    except InvalidRequirement as problem:
        yield error("requirements", str(problem), "Correct it; the build reads it with pip.")
        return
    shipped = {canonicalize_name(one.name): _pin(one) for one in _read(SHIPPED)}
    refused = [
        f"{one.name}{one.specifier} (the stack has {pin})"
        for one in wanted
        if (pin := shipped.get(canonicalize_name(one.name))) and pin not in one.specifier
    ]
    loose = [one.name for one in wanted if not _pin(one)]
    strange = [
        f"{one.name} {here or 'is missing'}"
        for one in wanted
        if (here := _here(one.name)) is None or not one.specifier.contains(here, prereleases=True)
    ]
    if refused:
        yield error("requirements", f"The build will refuse {some(refused)}.", _MEND)
    if loose:
        yield warning("requirements-lock", f"Two builds may differ in {some(loose)}.", _MEND)
    if strange:
        yield warning(
            "requirements-here",
            f"What plays here is not what is built: {some(strange)} on this machine.",
            "pip install -r environments/requirements.txt",
        )
    if not (refused or loose or strange):
        text = (
            "What your environments need is pinned and installed." if wanted else "None are added."
        )
        yield ok("requirements", text, f"{len(wanted)} packages")


def _read(file: Path) -> list[Requirement]:
    """The requirements of a file as pip reads it, without their hashes.

    Raises:
        InvalidRequirement: with the line's number.
    """
    found: list[Requirement] = []
    lines = file.read_text().splitlines() if file.is_file() else []
    for number, line in enumerate(lines, 1):
        text = line.split(" #")[0].split("--hash")[0].rstrip("\\ ").strip()
        if text and not text.startswith(("#", "-")):
            try:
                found.append(Requirement(text))
            except InvalidRequirement as problem:
                why = str(problem).splitlines()[0]
                raise InvalidRequirement(f"{file.name}, line {number}: {why}") from None
    return found


def _pin(one: Requirement) -> str:
    """The version a requirement names exactly; empty if it leaves a choice."""
    pins = [each.version for each in one.specifier if each.operator == "=="]
    return pins[0] if len(pins) == 1 and "*" not in pins[0] else ""


def _here(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


CHECKS: tuple[Callable[[Path], Iterator[CheckResult]], ...] = (requirements,)
