"""Books whose sessions are on record, without the day that would have made them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from qmworkbench.domain.events.session import RunSpec, SessionOpened
from qmworkbench.domain.instruments import instrument_for
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import Environment, SessionWindow
from qmworkbench.service import config
from qmworkbench.service.config import Config
from qmworkbench.storage.journal import SqliteJournal


def configured(home: Path, text: str = "", **environ: str) -> Config:
    """The configuration of a directory with that qm.toml."""
    (home / "qm.toml").write_text(text)
    return config.load(cwd=home, environ=environ)


def opened(config: Config, day: str, runs: tuple[RunSpec, ...] = (), symbols: tuple[str, ...] = ("AAPL",)) -> None:
    """Put the opening of a session on record in the configuration's book."""
    opens_at = datetime.fromisoformat(f"{day}T14:30:00").replace(tzinfo=UTC)
    limits = Limits()
    event = SessionOpened(
        at=opens_at - timedelta(hours=1),
        book=config.book,
        session_id=f"{config.book}-{day}",
        environment=Environment.LOCAL,
        window=SessionWindow(
            date=day,
            opens_at=opens_at.isoformat(),
            closes_at=(opens_at + timedelta(hours=6, minutes=30)).isoformat(),
            interval_s=60,
            regular_boundaries=390,
            half_day=False,
        ),
        account_currency="USD",
        code_version="1",
        config_hash="c",
        limits=limits,
        limits_hash=limits.content_hash,
        scan_settings={},
        runs=runs,
        instruments=tuple(instrument_for(symbol) for symbol in symbols),
        data_source="demo:7",
        data_hash="d",
        reference_hash="r",
        unattended=True,
    )
    config.paths.create()
    with SqliteJournal(config.paths.journal, book=config.book) as journal:
        journal.append([event])
        journal.sync()
