"""News: what makes a company gap, run, burst or fall away in a session, and how the move is laid over the day (§9).

A story is told by a few uniform draws, so that the daily prices and the minutes of the day speak of the same move.
Small companies have one every two or three weeks, established ones about every half year, mostly in the night. Chance
leaves no day empty: of every sixty seats at least one small company runs or fades, of the first sixty two, and a third
has news of some kind.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from qmworkbench.market.demo.exact import Flags, Floats, Ints

QUIET, RUN, FADE, BURST, SLIDE, REPORT, TAKEOVER = range(7)
KINDS: Final = ("quiet", "run", "fade", "burst", "slide", "report", "takeover")
SMALL_RATE: Final = 0.055
LARGE_RATE: Final = 0.009
UNIFORMS: Final = 5
_LARGEST: Final = 0.60
_SURGE, _OVERSHOOT = 0.35, 0.25  # how much of a wave its surge lasts, and how far it goes too far
_BAND, _SURE = 60, 3  # seats that are sure of news each day; how many stories the first of these bands is sure of


@dataclass(frozen=True, eq=False)
class Stories:
    """News of sessions and seats, as arrays of one shape.

    `gap` and the two legs within the session (`first`, `then`) are logarithms of price ratios; `starts` and `lasts`
    place the first leg, as shares of the session, and `waves` says in how many surges it comes. `busy` is how many
    times the usual volume the day has.
    """

    kind: Ints
    gap: Floats
    first: Floats
    then: Floats
    starts: Floats
    lasts: Floats
    waves: Floats
    busy: Floats

    @property
    def day(self) -> Floats:
        """What the news does from open to close."""
        return self.first + self.then

    def of(self, at: tuple[object, ...]) -> "Stories":
        """A part of them, by an index of the arrays."""
        names = ("kind", "gap", "first", "then", "starts", "lasts", "waves", "busy")
        return Stories(*(getattr(self, name)[at] for name in names))


def stories(u: Floats, small: Flags, deal: Ints) -> Stories:
    """The stories that uniforms tell, first axis of `u`; `small` and `deal` (see listings.Terms) are of its shape."""
    place = _places(np.where(small & (deal < 0), u[0], 2.0))
    first_band = np.arange(small.shape[-1]) < _BAND
    sure = small & ((place == 0) | ((place < _SURE) & first_band))
    happens = (u[0] < np.where(small, SMALL_RATE, LARGE_RATE)) | sure
    happens &= deal < 0
    sort = np.where(u[1] < 0.34, RUN, np.where(u[1] < 0.58, FADE, np.where(u[1] < 0.84, BURST, SLIDE)))
    sort = np.where((place == 0) | ((place == 1) & first_band), np.where(u[1] < 0.75, RUN, FADE), sort)
    kind = np.where(happens, np.where(small, sort, REPORT), QUIET)
    kind = np.where(deal == 0, TAKEOVER, kind)
    # Heavy-tailed: half of the moves below 16 %, one in ten above 38 %.
    size = np.minimum(0.08 + 0.10 * u[2] / (1.18 - u[2]), _LARGEST)
    gap, first, then = np.zeros(kind.shape), np.zeros(kind.shape), np.zeros(kind.shape)
    split = 0.35 + 0.35 * u[3]
    tells = (
        (RUN, size * split, size * (1.25 - split), -0.25 * size),
        (FADE, size, 0.15 * size, -(0.35 + 0.45 * u[3]) * size),
        (BURST, 0.0 * size, 1.1 * size, -(0.15 + 0.5 * u[3]) * size),
        (SLIDE, -0.6 * size, -0.3 * size, (0.05 + 0.35 * u[3]) * size),
        (REPORT, *_report(u)),
        (TAKEOVER, 0.18 + 0.20 * u[2], 0.0 * size, 0.0 * size),
    )
    for told, night, leg, after in tells:
        here = kind == told
        gap, first, then = np.where(here, night, gap), np.where(here, leg, first), np.where(here, after, then)
    early = kind == BURST
    starts = np.where(early, 0.02 + 0.5 * u[4], 0.004 + 0.03 * u[4])
    lasts = np.where(early, 0.04 + 0.10 * u[3], np.where(kind == FADE, 0.03 + 0.04 * u[4], 0.15 + 0.40 * u[3]))
    waves = np.where(kind == RUN, np.floor(2.0 + 4.0 * u[4]), np.where(early, np.floor(1.0 + 2.0 * u[1]), 1.0))
    busy = np.where(kind == QUIET, 1.0, np.where(small, 5.0 + 40.0 * size, 2.0 + 2.0 * u[4]))
    return Stories(kind, gap, first, then, starts, lasts, waves, busy)


def _places(values: Floats) -> Ints:
    """Each value's place, from nought, among those of its band along the last axis."""
    found = np.empty(values.shape, dtype=np.int64)
    for start in range(0, values.shape[-1], _BAND):
        band = values[..., start : start + _BAND]
        found[..., start : start + _BAND] = np.argsort(np.argsort(band, axis=-1, kind="stable"), axis=-1, kind="stable")
    return found


def _report(u: Floats) -> tuple[Floats, Floats, Floats]:
    """An established company's results: a gap either way, and some of it again or taken back in the day."""
    way = np.where(u[1] < 0.5, 1.0, -1.0)
    night = way * (0.02 + 0.05 * u[2] / (1.15 - u[2]))
    return night, night * (0.9 * u[3] - 0.35), 0.0 * u[3]


def laid_out(told: Stories, minutes: int) -> tuple[Floats, Floats]:
    """Of one session's stories: the logarithm of the move made by each minute's end, and how excited the minute is.

    The first leg comes in surges on volume, each followed by a base that gives a little of it back; the second goes
    evenly to the close. Excitement is 0 to 1.
    """
    clock = (np.arange(1, minutes + 1) / minutes)[None, :]
    start, last, waves = told.starts[:, None], told.lasts[:, None], told.waves[:, None]
    done = np.clip((clock - start) / last, 0.0, 1.0)
    rest = np.clip((clock - start - last) / (1.0 - start - last), 0.0, 1.0)
    over = np.floor(done * waves)
    wave = done * waves - over
    surge = (1.0 + _OVERSHOOT) * np.minimum(wave / _SURGE, 1.0)
    base = _OVERSHOOT * np.maximum((wave - _SURGE) / (1.0 - _SURGE), 0.0)
    path = told.first[:, None] * ((over + surge - base) / waves) + told.then[:, None] * rest
    going = (done > 0) & (done < 1)
    excited = np.where(going, np.where(wave < _SURGE, 1.0, 0.3), np.where(done >= 1, 0.4 - 0.3 * rest, 0.1))
    return path, np.where((told.kind != QUIET)[:, None], excited, 0.0)
