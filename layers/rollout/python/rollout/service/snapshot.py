"""What a Lambda SnapStart snapshot must not carry into every environment that is restored from it.

Clients are made at the first call, so a snapshot of an initialized function holds no connection and no
credentials; ids are uuid4, which asks the operating system. The pauses between tries are drawn from the
module ``random``, whose state all environments would share: those who failed together would come back
together.
"""

from __future__ import annotations

import random
from importlib import import_module
from typing import Any


def reseed_after_restore() -> None:
    """Have each environment that Lambda restores draw its own chance.

    Source: Lambda developer guide, "Implement code before or after Lambda function snapshots"; the
    managed runtime brings ``snapshot_restore_py``, elsewhere there is nothing to restore.
    """
    try:
        hooks: Any = import_module("snapshot_restore_py")
    except ModuleNotFoundError:
        return
    hooks.register_after_restore(random.seed)
