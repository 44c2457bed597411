"""How long a session's bulk is kept, and where sessions are archived to (§5 Data Check, §17)."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from qmworkbench.service.config_problems import refusal
from qmworkbench.service.config_section import Section
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.retention_rules import DEFAULT_DAYS


class RetentionSection(Section):
    """How many days the bulk of past sessions is kept, by kind; 0 keeps it for good, as the journal always is.

    Nothing goes before it is archived. `quotes` are kept at least as long as `bars`, which decide otherwise without.
    """

    radar: int = Field(default=DEFAULT_DAYS["radar"], ge=0)
    momentum: int = Field(default=DEFAULT_DAYS["momentum"], ge=0)
    health: int = Field(default=DEFAULT_DAYS["health"], ge=0)
    bars: int = Field(default=DEFAULT_DAYS["bars"], ge=0)
    quotes: int = Field(default=DEFAULT_DAYS["quotes"], ge=0)
    quarantine: int = Field(default=DEFAULT_DAYS["quarantine"], ge=0)
    logs: int = Field(default=DEFAULT_DAYS["logs"], ge=0)

    @field_validator("quotes")
    @classmethod
    def _with_the_bars(cls, quotes: int, info: ValidationInfo) -> int:
        bars = info.data.get("bars", 0)
        if quotes and not 0 < bars <= quotes:
            raise refusal(
                f"is shorter than retention.bars = {bars or '0 (for good)'}",
                "keep quotes as long as bars, or 0 for good",
            )
        return quotes

    @model_validator(mode="before")
    @classmethod
    def _as_long_as_bars(cls, given: Any) -> Any:
        """Whoever says nothing of quotes keeps them with the bars."""
        if not isinstance(given, Mapping) or "quotes" in given or "bars" not in given:
            return given
        bars = str(given["bars"])
        usual = DEFAULT_DAYS["quotes"]
        return {**given, "quotes": 0 if bars == "0" else max(usual, int(bars))} if bars.isdigit() else given


class ArchiveSection(Section):
    """Where closed sessions are archived to: a directory, or an object store's address such as s3://bucket/archive
    (off: DATA/archive). Credentials are never part of it: they come from the environment.
    """

    place: str | None = None

    @field_validator("place")
    @classmethod
    def _reachable(cls, place: str | None) -> str | None:
        if place is not None:
            from qmworkbench.storage.archive_place import Place  # with it comes polars

            try:
                Place(place).demand_writable()
            except StorageRefused as error:
                raise refusal(
                    f"cannot be used: {error}", "give a directory, or an address such as s3://bucket/archive"
                ) from None
        return place
