"""Columns as binary arrays: the server reads what was given, and the driver would have sent the same bytes."""

import struct
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer

from qmworkbench.storage.postgres.arrays import BIGINT, BYTEA, INTEGER, TEXT, Column
from tests import servers

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_KINDS = [
    pytest.param(BIGINT, "bigint[]", [1, -(2**63), 2**63 - 1], id="bigint"),
    pytest.param(INTEGER, "integer[]", [0, -(2**31), 2**31 - 1], id="integer"),
    pytest.param(TEXT, "text[]", ["", "NULL", 'a "quoted", {braced} \\ one', "ä…", "x" * 70_000], id="text"),
    pytest.param(BYTEA, "bytea[]", [b"", bytes(range(256)), b"x" * 70_000], id="bytea"),
]


@pytest.mark.parametrize(("column", "name", "values"), _KINDS)
def test_the_server_reads_what_was_given(column: Column, name: str, values: list[Any]) -> None:
    with psycopg.connect(servers.postgres().dsn()) as connection:
        result = connection.pgconn.exec_params(
            f"SELECT unnest($1::{name})".encode(), [column.packed(values)], [column.oid], [1], 1
        )
        found = Transformer(connection)
        found.set_pgresult(result)
        assert [row[0] for row in found.load_rows(0, result.ntuples, tuple)] == values


@given(st.lists(_TEXT, min_size=1), st.lists(st.binary(), min_size=1))
def test_the_driver_would_have_sent_the_same(texts: list[str], blobs: list[bytes]) -> None:
    driver = Transformer()
    assert TEXT.packed(texts) == driver.get_dumper(texts, PyFormat.BINARY).dump(texts)
    assert BYTEA.packed(blobs) == driver.get_dumper(blobs, PyFormat.BINARY).dump(blobs)


@pytest.mark.parametrize(("column", "value"), [(BIGINT, 2**63), (INTEGER, 2**31)])
def test_a_number_that_does_not_fit_is_refused(column: Column, value: int) -> None:
    with pytest.raises(struct.error):
        column.packed([value])
