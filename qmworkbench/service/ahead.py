"""What is needed next, made beside what is being done: a period's sessions are read while the ones before run (§2)."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def made_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The items in their order, each made in a thread beside while the one before it is used.

    One at most is made before anybody asks for it. What `items` raises is raised where its item would have come. Close
    it where it is not used up: then the thread is waited for. The gain is what making an item does without Python, in
    polars for one.
    """
    nothing = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as beside:
        coming = beside.submit(next, items, nothing)
        while (item := coming.result()) is not nothing:
            coming = beside.submit(next, items, nothing)
            yield item  # type: ignore[misc]
