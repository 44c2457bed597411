"""`qm journal`, `qm data` and `qm strategy`: the record proved, followed and taken along; bars and rules looked at."""

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.cli.exit_codes import Exit
from tests.cli.books import SESSION, answer, book_in, qm


def test_a_journal_verifies_with_both_heads(closed_home: Path) -> None:
    done = qm(closed_home, "journal", "verify", "--json")
    assert done.returncode == Exit.OK
    heads = answer(done)["heads"]
    assert heads["decisions"]["seq"] > 256
    assert len(heads["decisions"]["hash"]) == 64
    assert qm(closed_home, "journal", "verify", str(book_in(closed_home).root)).returncode == Exit.OK


def test_an_edited_record_is_named_and_turns_the_answer(closed_home: Path) -> None:
    path = book_in(closed_home).journal
    with closing(sqlite3.connect(path)) as connection:
        (guard,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'decisions_no_update'").fetchone()
        connection.execute("DROP TRIGGER decisions_no_update")
        edited = """CAST(replace(CAST(payload AS TEXT), '"local"', '"paper"') AS BLOB)"""
        connection.execute(f"UPDATE decisions SET payload = {edited} WHERE seq = 1")
        connection.execute(guard)
        connection.commit()
    done = qm(closed_home, "journal", "verify", "--json")
    assert done.returncode == Exit.NO_GO, done.stderr
    assert "record 1 (session.opened) was changed" in answer(done)["error"]["message"]
    assert "Traceback" not in done.stderr


def test_an_export_can_be_verified_by_anyone(closed_home: Path) -> None:
    target = closed_home / "journal.jsonl"
    done = qm(closed_home, "journal", "export", "--output", str(target))
    assert done.returncode == Exit.OK
    before = "0" * 64
    lines = target.read_text().splitlines()
    for seq, line in enumerate(lines, start=1):
        record = json.loads(line)
        payload = line[line.index('"event":') + len('"event":') : line.rindex(',"prev_hash"')]
        assert (record["seq"], record["prev_hash"]) == (seq, before)
        before = hashlib.sha256(before.encode() + f"{seq}|".encode() + payload.encode()).hexdigest()
        assert record["hash"] == before
    assert answer(qm(closed_home, "journal", "verify", "--json"))["heads"]["decisions"] == {
        "seq": len(lines),
        "hash": before,
    }
    again = qm(closed_home, "journal", "export", "--output", str(target))
    assert again.returncode == Exit.FAILED
    assert "never overwrites" in again.stderr


@pytest.mark.parametrize("command", ["tail", "export"])
def test_a_kind_of_event_there_is_none_of_is_refused(closed_home: Path, command: str) -> None:
    """Nothing printed would read as "it never happened"."""
    done = qm(closed_home, "journal", command, "--type", "order.intend")
    assert done.returncode == Exit.FAILED
    assert "'order.intend' is no kind of event" in done.stderr
    assert "order.intended" in done.stderr
    there = qm(closed_home, "journal", command, "--type", "market.bar", "--stream", "telemetry")
    assert there.returncode == Exit.FAILED


def test_a_place_that_cannot_be_written_is_named_without_a_traceback(closed_home: Path) -> None:
    (closed_home / "flat").write_text("a file")
    for wanted in ("nowhere/records.jsonl", "flat/records.jsonl"):
        done = qm(closed_home, "journal", "export", "-o", str(closed_home / wanted))
        assert done.returncode == Exit.FAILED
        assert wanted in done.stderr
        assert "Remedy: check the path" in done.stderr
        assert "Traceback" not in done.stderr
    (closed_home / "qm.toml").write_text('[paths]\ndata = "flat"\n')
    refused = qm(closed_home, "day", "--headless", "--no-reports", "--symbols", "20")
    assert refused.returncode == Exit.FAILED
    assert "flat/books" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_order_id_is_never_broken_over_lines(closed_home: Path) -> None:
    orders = json.loads(qm(closed_home, "order", "list", "--all", "--json").stdout)["orders"]
    shown = qm(closed_home, "order", "list", "--all", COLUMNS="60").stdout
    assert orders
    assert all(order["cl_ord_id"] in shown for order in orders)


def test_the_tail_is_the_newest_records_or_those_of_a_kind(closed_home: Path) -> None:
    newest = qm(closed_home, "journal", "tail", "-n", "2").stdout.splitlines()
    assert len(newest) == 2
    assert "session.closed" in newest[-1]
    phases = qm(closed_home, "journal", "tail", "--type", "session.phase_entered", "--json").stdout.splitlines()
    assert [json.loads(line)["event"]["phase"] for line in phases][-2:] == ["review", "closed"]
    filled = json.loads(qm(closed_home, "journal", "tail", "-n", "1", "--type", "fill.recorded", "--json").stdout)
    order = filled["event"]["cl_ord_id"]
    story = qm(closed_home, "journal", "export", "--order", order).stdout.splitlines()
    assert all(order in line for line in story)
    kinds = [json.loads(line)["type"] for line in story]
    assert {"order.intended", "fill.recorded"} <= set(kinds)
    late = qm(closed_home, "journal", "export", "--order", order, "--after", str(filled["seq"] - 1)).stdout.splitlines()
    assert late == story[-len(late) :]
    assert json.loads(late[0])["seq"] == filled["seq"]
    nobody = qm(closed_home, "journal", "tail", "--session", "main-1999-01-04")
    assert nobody.returncode == Exit.FAILED
    assert f"there is no session 'main-1999-01-04' on record; there are {SESSION}" in nobody.stderr
    wrong = qm(closed_home, "journal", "tail", "--stream", "river")
    assert wrong.returncode == Exit.FAILED
    assert "decisions or telemetry" in wrong.stderr


def _bars(path: Path, **columns: object) -> Path:
    opens = [datetime(2018, 3, 2, 14, 30 + minute, tzinfo=UTC) for minute in range(5)]
    frame = pl.DataFrame({"symbol": ["AAA"] * 5, "ts": opens}).with_columns(
        *(pl.lit(10.0).alias(name) for name in ("open", "high", "low", "close")), pl.lit(100.0).alias("volume")
    )
    frame = frame.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    for name, value in columns.items():
        frame = frame.drop(name) if value is None else frame.with_columns(pl.lit(value).alias(name))
    frame.write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"close": None}, "missing_columns"),
        ({"close": "text"}, "wrong_type"),
        ({"ts": datetime(2018, 3, 2, 14, 30)}, "naive_timestamp"),  # noqa: DTZ001  (that is the fault)
    ],
)
def test_bars_that_cannot_be_used_are_refused_with_code_and_remedy(
    columns: dict[str, object], code: str, tmp_path: Path
) -> None:
    file = _bars(tmp_path / "bars.parquet", **columns)
    done = qm(tmp_path, "data", "check", str(file), "--json")
    assert done.returncode == Exit.NO_GO
    findings = {finding["code"]: finding for finding in answer(done)["findings"]}
    assert findings[code]["severity"] == "refuse"
    assert findings[code]["remedy"]
    in_words = qm(tmp_path, "data", "check", str(file))
    assert "refused" in in_words.stdout
    assert code in in_words.stdout


def test_a_good_file_and_a_day_it_does_not_have(tmp_path: Path) -> None:
    file = str(_bars(tmp_path / "bars.parquet"))
    assert answer(qm(tmp_path, "data", "check", file, "--json"))["symbols"] == 1
    day = answer(qm(tmp_path, "data", "check", file, "--date", "2018-03-02", "--json"))
    assert (day["refused"], day["symbols"], day["interval_s"]) == (False, 1, 60)
    for date, code in (("2018-03-03", "not_a_session"), ("2018-03-05", "date_not_in_file")):
        done = qm(tmp_path, "data", "check", file, "--date", date, "--json")
        assert done.returncode == Exit.NO_GO
        assert code in {finding["code"] for finding in answer(done)["findings"]}


def test_the_catalog_is_listed_and_each_entry_shown(tmp_path: Path) -> None:
    listed = answer(qm(tmp_path, "strategy", "list", "--json"))["strategies"]
    assert {entry["strategy_id"] for entry in listed} >= {"donchian", "opening-range"}
    for entry in listed:
        shown = qm(tmp_path, "strategy", "card", entry["strategy_id"])
        assert shown.returncode == Exit.OK
        for spec in entry["parameter_specs"]:
            assert spec["name"] in shown.stdout
    unknown = qm(tmp_path, "strategy", "card", "donchain")
    assert unknown.returncode == Exit.FAILED
    assert "did you mean 'donchian'?" in unknown.stderr


def test_the_version_names_the_code(tmp_path: Path) -> None:
    found = answer(qm(tmp_path, "version", "--json"))
    assert found["code"].startswith(f"{found['qmworkbench']}+")
    assert set(found) >= {"python", "polars", "numpy"}
