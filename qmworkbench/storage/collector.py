"""The collector of cycles rests while a journal is gone through: that makes many things and no cycles (§19)."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Looking for cycles costs a third of folding; to be used where the whole process does nothing else meanwhile."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
