"""A table's hash: equal for equal content however it was written, another for any change."""

import io
from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.storage.frame_digest import content_digest, layout_digest

_COLUMNS = st.fixed_dictionaries(
    {
        "text": st.lists(st.none() | st.text("aé≤", max_size=3), min_size=6, max_size=6),
        "number": st.lists(st.none() | st.floats(width=64), min_size=6, max_size=6),
        "whole": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=6, max_size=6),
        "flag": st.lists(st.none() | st.booleans(), min_size=6, max_size=6),
        "raw": st.lists(st.none() | st.binary(max_size=4), min_size=6, max_size=6),
        "at": st.lists(st.none() | st.datetimes(timezones=st.just(UTC)), min_size=6, max_size=6),
    }
)
_SCHEMA = {
    "text": pl.String,
    "number": pl.Float64,
    "whole": pl.Int64,
    "flag": pl.Boolean,
    "raw": pl.Binary,
    "at": pl.Datetime("us", "UTC"),
}


@settings(max_examples=5)
@given(columns=_COLUMNS, cut=st.integers(0, 6))
def test_the_hash_is_of_the_content_and_not_of_its_writing(columns: dict[str, list[object]], cut: int) -> None:
    frame = pl.DataFrame(columns, schema=_SCHEMA)
    told = content_digest(frame)
    assert content_digest(pl.concat([frame[:cut], frame[cut:]], rechunk=False)) == told
    assert content_digest(pl.concat([frame[:2], frame])[2:]) == told
    file = io.BytesIO()
    frame.write_parquet(file, compression="zstd", row_group_size=4)
    file.seek(0)
    assert content_digest(pl.read_parquet(file)) == told


@settings(max_examples=15)
@given(columns=_COLUMNS, row=st.integers(0, 5), name=st.sampled_from(sorted(_SCHEMA)))
def test_any_value_changed_changes_it(columns: dict[str, list[object]], row: int, name: str) -> None:
    other = {
        "text": "another one", "number": 123.25, "whole": 77, "flag": not columns["flag"][row], "raw": b"another",
        "at": datetime(1980, 5, 5, tzinfo=UTC),
    }[name]  # fmt: skip
    changed = {key: list(values) for key, values in columns.items()}
    changed[name][row] = other
    before, after = (pl.DataFrame(found, schema=_SCHEMA) for found in (columns, changed))
    assert (content_digest(before) == content_digest(after)) == (columns[name][row] == other)


def test_what_stands_where_makes_a_difference() -> None:
    base = pl.DataFrame({"a": ["xy", ""], "b": ["", None]})
    told = content_digest(base)
    assert content_digest(pl.DataFrame({"a": ["x", "y"], "b": ["", None]})) != told, "where one text ends"
    assert content_digest(pl.DataFrame({"a": ["xy", ""], "b": [None, None]}, schema=base.schema)) != told, "absent"
    assert content_digest(base.rename({"a": "c"})) != told
    assert content_digest(base.reverse()) != told
    assert content_digest(base.select("b", "a")) != told
    assert content_digest(base.clear()) != content_digest(
        pl.DataFrame({"a": [], "b": []}, schema=base.schema)[:0].drop("b")
    )
    assert layout_digest(base) == layout_digest(base.clear()) != layout_digest(base.select("b", "a"))
    days = pl.DataFrame({"d": [date(2018, 3, 2)], "t": [datetime(2018, 3, 2, tzinfo=UTC)], "n": [None]})
    assert content_digest(days) == content_digest(days.clone())
    with pytest.raises(TypeError, match="column 'l' is of type List"):
        content_digest(pl.DataFrame({"l": [[1]]}))
