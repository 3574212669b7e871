"""What agents and policies raised, counted for their author. No log may hold it: it can quote content."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from devkit.places import ROOT

_LONGEST = 300
# Frames of one traceback that are shown, the innermost: the mistake is there.
_FRAMES = 12
# Folders whose frames only say how it was called.
_OURS = tuple(str(ROOT / name) for name in ("devkit", "layers", "functions"))


class Raised(Counter[str]):
    """How often a user's code raised what, by message and place, with the first traceback of each."""

    def __init__(self) -> None:
        super().__init__()
        self.tracebacks: dict[str, str] = {}

    def note(self, error: BaseException) -> None:
        """Count one exception."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        said = f"{type(error).__name__}: {error}"[:_LONGEST] + f" ({place})"
        self[said] += 1
        if said not in self.tracebacks:
            self.tracebacks[said] = "".join(_lines(error))


def _lines(error: BaseException) -> Iterator[str]:
    """A traceback from the user's own first frame on."""
    begins = _own(error.__traceback__) or error.__traceback__
    yield from traceback.format_exception(type(error), error, begins, limit=-_FRAMES)


def _own(frames: TracebackType | None) -> TracebackType | None:
    while frames and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    return frames
