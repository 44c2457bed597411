"""What is made ahead: in order, no further than one, its errors in their place, and gone when nobody wants it (§2)."""

import threading
from collections.abc import Iterator

import pytest

from qmworkbench.service.ahead import made_ahead

PATIENCE_S = 60.0


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")}


def test_the_items_come_in_their_order_and_none_is_lost() -> None:
    assert list(made_ahead(iter(range(50)))) == list(range(50))
    assert list(made_ahead(iter([None, False, 0]))) == [None, False, 0]
    assert list(made_ahead(iter([]))) == []
    assert not names()


def test_the_next_is_made_while_one_is_used_and_no_further() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for n in range(4):
            made.append(n)
            if n == 1:
                second.set()
            yield n

    ahead = made_ahead(items())
    assert next(ahead) == 0
    assert second.wait(PATIENCE_S), "the second is made though nobody asks for it"
    assert made == [0, 1]
    assert next(ahead) == 1
    ahead.close()
    assert made in ([0, 1], [0, 1, 2])
    assert not names()


def test_what_goes_wrong_is_told_where_it_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no second")

    ahead = made_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no second"):
        next(ahead)
    assert not names()
