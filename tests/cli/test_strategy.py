"""`qm strategy`: cards, checks, and a parameter change from proposal to session, refused where it must be."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Page

from qmworkbench.cli import strategy_overview
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.strategy_card import sections
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies import catalog
from qmworkbench.strategies.catalog import Catalog, default_instances
from tests.cli.books import ROOT, answer, qm
from tests.service.books_on_record import configured, opened
from tests.strategies.planted import planted

ORB, DESK = "opening-range-us", "equities desk"


# --- cards --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", catalog.ids())
def test_a_card_says_everything_the_entry_does(strategy: str, tmp_path: Path) -> None:
    entry = catalog.get(strategy)
    done = qm(tmp_path, "strategy", "card", strategy, COLUMNS="400")
    assert done.returncode == Exit.OK
    said = " ".join(done.stdout.split())
    texts = [entry.title, entry.owner, entry.status.value, entry.version, entry.objective, entry.entry]
    texts += [entry.confirming, entry.disqualifying, entry.invalidation, entry.sizing, entry.hash({})]
    texts += [entry.exits.stop, entry.exits.target, entry.exits.signal, *entry.assumptions]
    texts += [spec.name for spec in entry.parameter_specs] + [spec.meaning for spec in entry.parameter_specs]
    texts += [piece.data for piece in entry.validation]
    for text in texts:
        assert " ".join(text.split()) in said, text
    for name in ("requirements", "time window", "warm-up", "Published instances"):
        assert name in said


def test_the_overview_in_the_documents_is_the_catalogs() -> None:
    text = (ROOT / "docs/strategies.md").read_text(encoding="utf-8")
    published = [one for market in AssetClass for one in default_instances(market)]
    block = strategy_overview.markdown(list(catalog.catalog().values()), published)
    now = strategy_overview.in_page(text, block)
    assert now == text, "put what `qm strategy list --markdown` prints into docs/strategies.md"


def test_a_page_without_its_block_is_told_so() -> None:
    with pytest.raises(ValueError, match="no block between"):
        strategy_overview.in_page("# Strategies", "")


def test_instances_that_differ_in_their_pair_alone_are_one_row() -> None:
    published = [one for market in AssetClass for one in default_instances(market)]
    parts = {part.title: part for part in sections(catalog.get("sma-cross"), published)}
    (row,) = parts["Published instances"].rows
    assert row[0] == "sma-cross-audjpy, sma-cross-audusd, sma-cross-eurgbp and 6 more"


def test_a_card_as_data_is_the_catalog_entry(tmp_path: Path) -> None:
    card = answer(qm(tmp_path, "strategy", "card", "donchian", "--json"))
    assert card["strategy_id"] == "donchian"
    assert card["approved_hash"] == catalog.get("donchian").hash({})
    assert "donchian-us" in card["instances"]


def test_a_card_as_a_page_fetches_nothing(tmp_path: Path, page: Page, page_faults: list[str]) -> None:
    file = tmp_path / "card.html"
    assert qm(tmp_path, "strategy", "card", "opening-range", "--html", str(file)).returncode == Exit.OK
    page.goto(file.as_uri())
    assert page.locator("h1").inner_text() == "Opening-range momentum continuation"
    assert page.get_by_text("min_relative_volume").first.is_visible()
    assert page_faults == []
    refused = qm(tmp_path, "strategy", "card", "opening-range", "--html", str(tmp_path / "not" / "there.html"))
    assert refused.returncode == Exit.FAILED
    assert "Remedy: name a file" in refused.stderr


# --- instances ------------------------------------------------------------------------------------------------------


def test_many_instances_are_counted_and_the_changed_one_stands_alone(tmp_path: Path) -> None:
    qm(tmp_path, "strategy", "propose", "sma-cross-usdjpy", "fast_bars=12", "--reason", "slower", "--by", "bob")
    told = qm(tmp_path, "strategy", "instances").stdout
    count = len(answer(qm(tmp_path, "strategy", "instances", "--json"))["instances"])
    assert told.startswith(f"{count} instances: {count} as approved, 0 not, 1 with a change that waits")
    assert "8 ×" in told
    assert "version 1 waits for a signature" in told
    assert len(told.splitlines()) < 20 < len(qm(tmp_path, "strategy", "instances", "--all").stdout.splitlines())


# --- a change from proposal to session --------------------------------------------------------------------------------


def test_a_change_goes_from_proposal_over_signature_to_the_next_session(tmp_path: Path) -> None:
    opened(configured(tmp_path, '[owners]\n"equities desk" = ["ada"]'), "2024-03-08")
    put = qm(tmp_path, "strategy", "propose", ORB, "target_r=2.5", "range_bars=20", "--reason", "nearer", "--by", "bob")
    assert put.returncode == Exit.OK
    assert "qm strategy approve opening-range-us --version 1" in put.stdout
    waiting = qm(tmp_path, "strategy", "diff", ORB)
    assert waiting.returncode == Exit.NO_GO
    assert "version 1 waits for a signature, proposed by bob" in waiting.stdout
    signed = answer(qm(tmp_path, "strategy", "approve", ORB, "--version", "1", "--by", "ada", "--json"))
    assert (signed["type"], signed["effective_from"], signed["by"]) == ("approved", "2024-03-11", "ada")
    assert qm(tmp_path, "strategy", "diff", ORB).returncode == Exit.OK
    told = qm(tmp_path, "strategy", "history", ORB).stdout
    for text in ("range_bars: 15 → 20", "target_r: 3 → 2.5", "proposed by bob", '"nearer"', "approved by ada",
                 "in force from the session of 2024-03-11 on"):  # fmt: skip
        assert text in told
    back = answer(qm(tmp_path, "strategy", "revert", ORB, "--to", "0", "--by", "ada", "--reason", "worse", "--json"))
    assert back["proposed"]["reverts_to"] == 0
    taken = qm(tmp_path, "strategy", "withdraw", ORB, "--reason", "not after all", "--by", "ada")
    assert taken.stdout == "version 2 of opening-range-us is withdrawn\n"
    versions = answer(qm(tmp_path, "strategy", "history", ORB, "--json"))["versions"]
    assert [version["status"] for version in versions] == ["approved", "withdrawn"]


def test_a_strategys_id_means_all_of_its_instances(tmp_path: Path) -> None:
    clean = qm(tmp_path, "strategy", "diff", "sma-cross")
    assert clean.returncode == Exit.OK
    assert clean.stdout == "9 instances of sma-cross, 9 as approved with nothing waiting\n"
    qm(tmp_path, "strategy", "propose", "sma-cross-usdjpy", "fast_bars=12", "--reason", "slower", "--by", "bob")
    odd = qm(tmp_path, "strategy", "diff", "sma-cross")
    assert odd.returncode == Exit.NO_GO
    assert "9 instances of sma-cross, 8 as approved" in odd.stdout
    assert "sma-cross-usdjpy (sma-cross" in odd.stdout
    assert "sma-cross-audjpy" not in odd.stdout
    told = qm(tmp_path, "strategy", "history", "sma-cross").stdout
    assert told.startswith(
        "9 instances of sma-cross, 1 with changes on record\n\nsma-cross-usdjpy\nversion 1 (pending)"
    )
    found = answer(qm(tmp_path, "strategy", "history", "sma-cross", "--json"))["instances"]
    assert [one["instance"] for one in found if one["versions"]] == ["sma-cross-usdjpy"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("propose", ORB, "target_r=99", "--reason", "x"), 1, "target_r = 99 is out of range; allowed: 0.0 to 50.0 ×"),
        (("propose", ORB, "target=2", "--reason", "x"), 1, "has no parameter 'target'; did you mean 'target_r'?"),
        (
            ("propose", ORB, "range_bars=200", "last_entry_bar=10", "--reason", "x"),
            1,
            "range_bars = 200 is out of range",
        ),
        (("propose", ORB, "range_bars=60", "last_entry_bar=30", "--reason", "x"), 1, "comes before the range ends"),
        (("propose", ORB, "target_r=2.5"), 1, "the reason is empty"),
        (("propose", ORB, "--reason", "x"), 2, "give name=value …, or --as-configured"),
        (("propose", ORB, "--as-configured", "--reason", "x"), 1, "nothing would change"),
        (("propose", "opening-range-su", "target_r=2.5", "--reason", "x"), 2, "did you mean opening-range-us?"),
        (("approve", ORB, "--version", "1", "--by", DESK), 1, "has no version 1: it has none"),
        (("withdraw", ORB, "--reason", "x"), 1, "has no version to withdraw"),
        (("revert", ORB, "--to", "3", "--by", DESK, "--reason", "x"), 1, "has no version 3"),
        (("card", "donchain"), 2, "did you mean 'donchian'?"),
        (("check", "donchain"), 2, "did you mean 'donchian'?"),
        (("check", "--date", "2018-03-02"), 2, "give one with --data FILE"),
        (("history", "nobody"), 2, "no strategy instance 'nobody'"),
    ],
)
def test_what_is_refused_names_the_thing_the_value_and_the_remedy(
    arguments: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    done = qm(tmp_path, "strategy", *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "books" / "local" / "main" / "approvals.jsonl").exists()


def test_a_ledger_that_was_changed_is_named_and_nothing_more_is_written_to_it(tmp_path: Path) -> None:
    qm(tmp_path, "strategy", "propose", ORB, "target_r=2.5", "--reason", "nearer", "--by", "bob")
    ledger = tmp_path / "data" / "books" / "local" / "main" / "approvals.jsonl"
    ledger.write_text(ledger.read_text().replace('"by":"bob"', '"by":"ada"'))
    before = ledger.read_bytes()
    for arguments in (("instances",), ("approve", ORB, "--version", "1", "--by", DESK), ("history", ORB)):
        done = qm(tmp_path, "strategy", *arguments)
        assert done.returncode == Exit.FAILED
        assert "approvals.jsonl line 2 was changed or damaged" in done.stderr
    assert ledger.read_bytes() == before


def test_the_preflight_names_what_nobody_approved_and_a_ledger_that_does_not_verify(tmp_path: Path) -> None:
    configured(tmp_path, '[[strategies]]\nid = "orb"\nstrategy = "opening-range"\n')
    qm(tmp_path, "strategy", "propose", "orb", "target_r=2.5", "--reason", "nearer", "--by", "bob")
    waiting = qm(tmp_path, "preflight", "--data", str(_bars(tmp_path / "b.parquet")))
    assert waiting.returncode == Exit.OK, waiting.stdout
    assert "orb: waits for its owner's signature: version 1 proposed by bob" in waiting.stdout
    ledger = tmp_path / "data" / "books" / "local" / "main" / "approvals.jsonl"
    ledger.write_text(ledger.read_text().replace('"by":"bob"', '"by":"ada"'))
    refused = qm(tmp_path, "preflight", "--data", str(tmp_path / "b.parquet"), "--json")
    assert refused.returncode == Exit.NO_GO
    (check,) = answer(refused)["phases"]["pre-start"]["checks"]
    assert check["check_id"] == "preflight.strategies_ready"
    assert "no day can be planned: " in check["value"]
    assert "approvals.jsonl line 2 was changed or damaged" in check["value"]


# --- checks -----------------------------------------------------------------------------------------------------------


def _bars(path: Path) -> Path:
    opens = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
    rows = [
        {"symbol": symbol, "ts": opens + timedelta(minutes=minute), "open": px, "high": px + 0.03, "low": px - 0.02,
         "close": px + 0.01, "volume": 1000.0}
        for symbol in ("AAA", "BBB")
        for minute in range(60)
        for px in (round(101 + (minute % 7) * 0.11 - (minute % 3) * 0.07, 2),)
    ]  # fmt: skip
    pl.DataFrame(rows).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC"))).write_parquet(path)
    return path


def test_the_catalog_is_clean_by_its_expressions_and_on_bars(tmp_path: Path) -> None:
    without = answer(qm(tmp_path, "strategy", "check", "--json"))
    assert without["clean"]
    assert without["bars"] is None
    assert {one["strategy_id"] for one in without["sets"]} == set(catalog.ids())
    done = qm(tmp_path, "strategy", "check", "opening-range", "--data", str(_bars(tmp_path / "b.parquet")))
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    assert "truncation: " in done.stdout
    assert "session 2018-03-02: AAA, BBB" in done.stdout


def test_a_strategy_that_looks_ahead_or_breaks_its_contract_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = planted(strategy_id="ahead", entry_long=(pl.col.close.shift(-1) > 101).fill_null(False))
    nulls = planted(strategy_id="nulls", entry_long=(pl.col.close > 100) & (pl.col.close.shift(1) > 100))
    monkeypatch.setattr(catalog, "_CATALOG", Catalog(ahead, nulls))
    file = str(_bars(tmp_path / "b.parquet"))
    for name, said in (("ahead", "column 'entry_long'"), ("nulls", "column 'entry_long' has")):
        done = qm(tmp_path, "strategy", "check", name, "--data", file)
        assert done.returncode == Exit.NO_GO
        assert f"strategy {name}" in done.stdout
        assert said in done.stdout
        assert "not shown to be safe" in done.stdout
    found = json.loads(qm(tmp_path, "strategy", "check", "ahead", "--data", file, "--json").stdout)
    assert not found["clean"]
    assert any("bars after" in text for text in found["sets"][0]["findings"])
