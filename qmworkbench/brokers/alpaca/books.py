"""The broker's books read page by page: orders with their legs, and activities, oldest first (§13, §14)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from qmworkbench.brokers.alpaca import reading
from qmworkbench.brokers.alpaca.http import Http
from qmworkbench.brokers.alpaca.reading import Malformed
from qmworkbench.ports import BrokerUnreachable, RequestRefused

_ORDERS: Final = 500
_ACTIVITIES: Final = 100
_MOST_PAGES: Final = 1000


class Books:
    """Every read raises BrokerUnreachable where a page does not come, or is no page."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def orders(self, since: int) -> tuple[list[Mapping[str, Any]], int]:
        """Orders sent after `since` (0: all) and every open one, legs inside; and the stamp of the first page."""
        found: dict[str, Mapping[str, Any]] = {}
        stamp = 0
        for status, after in (("open", 0), ("all", since)) if since else (("all", 0),):
            entries, told = self._orders(status, after)
            stamp = stamp or told
            for entry in entries:
                found[str(entry.get("id"))] = entry
        return list(found.values()), stamp

    def open_orders(self) -> list[Mapping[str, Any]]:
        """Open orders, legs inside."""
        return self._orders("open", 0)[0]

    def _orders(self, status: str, after: int) -> tuple[list[Mapping[str, Any]], int]:
        found: list[Mapping[str, Any]] = []
        stamp = 0
        for _ in range(_MOST_PAGES):
            asked = {"status": status, "limit": str(_ORDERS), "direction": "asc", "nested": "true"}
            if after:
                asked["after"] = reading.spelled(after)
            page, told = self._page("/v2/orders", asked)
            stamp = stamp or told
            found += page
            if len(page) < _ORDERS:
                return found, stamp
            try:
                after = reading.nanoseconds(page[-1], "created_at")
            except Malformed as error:
                raise BrokerUnreachable(f"/v2/orders: the next page cannot be asked for: {error}") from None
        raise BrokerUnreachable(f"/v2/orders: more than {_MOST_PAGES} pages")

    def activities(self, category: str, since: int | None) -> Iterator[Mapping[str, Any]]:
        """Activities of a category after `since` (None or 0: all)."""
        token = ""
        for _ in range(_MOST_PAGES):
            asked = {"category": category, "direction": "asc", "page_size": str(_ACTIVITIES)}
            if since:
                asked["after"] = reading.spelled(since)
            if token:
                asked["page_token"] = token
            page, _stamp = self._page("/v2/account/activities", asked)
            yield from page
            if len(page) < _ACTIVITIES:
                return
            token = str(page[-1].get("id"))
        raise BrokerUnreachable(f"/v2/account/activities: more than {_MOST_PAGES} pages")

    def _page(self, path: str, asked: Mapping[str, str]) -> tuple[list[Mapping[str, Any]], int]:
        try:
            said = self._http.read(path, asked)
            entries = reading.listed(said.content, path)
            return [reading.mapping(entry, f"an entry of {path}") for entry in entries], said.stamp
        except RequestRefused as error:
            raise BrokerUnreachable(f"GET {path}: {error}") from error
        except Malformed as error:
            raise BrokerUnreachable(f"GET {path}: {error}; nothing is concluded from it") from None
