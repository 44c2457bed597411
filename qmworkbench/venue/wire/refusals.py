"""How the venue's refusals look on the wire: HTTP status, Alpaca's number and sentence, and our own code beside it."""

from typing import Any, Final

from qmworkbench.venue.orders import OrderRefused, Refusal

_UNPROCESSABLE: Final = (422, 42210000)
_FORBIDDEN: Final = (403, 40310000)
_NOT_FOUND: Final = (404, 40410000)
_STATUS: Final[dict[str, tuple[int, int]]] = {
    Refusal.UNKNOWN_ORDER.value: _NOT_FOUND,
    Refusal.INSUFFICIENT_BUYING_POWER.value: _FORBIDDEN,
    Refusal.NOTHING_TO_REDUCE.value: _FORBIDDEN,
    Refusal.NOT_SHORTABLE.value: _FORBIDDEN,
    Refusal.DUPLICATE_CL_ORD_ID.value: (422, 40010001),
}


class WireError(Exception):
    """A request that is answered with an error: `status` is HTTP's, `number` Alpaca's, `code` ours.

    `reported` says that the stream tells of it too, so that whoever listens need not conclude anything from this.
    """

    def __init__(self, status: int, number: int, code: str, message: str, *, reported: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.number = number
        self.code = code
        self.message = message
        self.reported = reported

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {
            "code": self.number,
            "message": self.message,
            "qm": {"code": self.code, "detail": self.message, "reported": self.reported},
        }


def refused(error: OrderRefused) -> WireError:
    """The venue said no at its door."""
    status, number = _STATUS.get(error.code.value, _UNPROCESSABLE)
    return WireError(status, number, error.code.value, error.detail)


def malformed(message: str) -> WireError:
    """A request that cannot be understood."""
    return WireError(422, 42210000, "malformed", message)


def unknown(what: str) -> WireError:
    """Something that is not in the books."""
    return WireError(404, 40410000, "unknown_order", what)


def unauthorized() -> WireError:
    """No key, or the wrong one."""
    return WireError(401, 40110000, "unauthorized", "request is not authorized")


def too_many() -> WireError:
    """More requests than the minute holds."""
    return WireError(429, 42910000, "rate_limited", "too many requests.")
