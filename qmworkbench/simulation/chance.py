"""Chance by name: every order and every kind of trouble has a stream of its own (§13, §19).

A number depends on the seed, the kind, the subject and how often that subject was asked about, and on nothing else. So
a new kind of trouble, or one order less, moves no other stream; and no hash of the interpreter is involved.
"""

from hashlib import blake2b
from struct import Struct
from typing import Final

_SCALE: Final = 1.0 / 2**64
_EIGHT: Final = Struct(">8Q")


def unit(seed: int, kind: str, key: str) -> float:
    """A number from 0 up to below 1 that belongs to this kind and key of this seed."""
    digest = blake2b(f"{seed}|{kind}|{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * _SCALE


def units(seed: int, kind: str, key: str) -> tuple[float, ...]:
    """Eight numbers at once, for what has several sides: a bar, a signal."""
    digest = blake2b(f"{seed}|{kind}|{key}".encode(), digest_size=64).digest()
    return tuple(number * _SCALE for number in _EIGHT.unpack(digest))


class Chance:
    """The streams of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def unit(self, kind: str, key: str) -> float:
        """A number from 0 up to below 1."""
        return unit(self.seed, kind, key)

    def units(self, kind: str, key: str) -> tuple[float, ...]:
        """Eight numbers from 0 up to below 1."""
        return units(self.seed, kind, key)

    def whole(self, kind: str, key: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.unit(kind, key) * (high - low + 1))

    def one_of(self, kind: str, key: str, choices: tuple[str, ...]) -> str:
        return choices[int(self.unit(kind, key) * len(choices))]
