"""How sessions, phases, runs, account statements and telemetry become rows (§4, §7, §17)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from qmworkbench.domain.events import Event, reconciliation, session, telemetry
from qmworkbench.domain.execution import Account
from qmworkbench.domain.sessions import BlockScope
from qmworkbench.storage import table_rows
from qmworkbench.storage.projected_rows import Projections, Rows, document
from qmworkbench.storage.times import stored_time


def _session_opened(rows: Rows, seq: int, event: session.SessionOpened) -> None:
    window = event.window
    rows.session_id = event.session_id
    rows.put(
        table_rows.Session,
        event.session_id,
        environment=event.environment.value,
        date=window.date,
        opens_at=_moment(window.opens_at),
        closes_at=_moment(window.closes_at),
        interval_s=window.interval_s,
        boundaries=window.regular_boundaries,
        half_day=window.half_day,
        symbols=len(event.instruments),
        unattended=event.unattended,
        account_currency=event.account_currency,
        code_version=event.code_version,
        config_hash=event.config_hash,
        limits_hash=event.limits_hash,
        data_source=event.data_source,
        data_hash=event.data_hash,
        reference_hash=event.reference_hash,
        limits=document(event.limits),
        scan_settings=document(event.scan_settings),
        opened_at=stored_time(event.at),
        opened_seq=seq,
        recoveries=0,
    )
    for run in event.runs:
        rows.put(
            table_rows.Run,
            event.session_id,
            run.strategy_id,
            definition_id=run.definition_id,
            version=run.version,
            owner=run.owner,
            status=run.status,
            params_hash=run.params_hash,
            params=document(run.params),
            budget_pct=str(run.budget_pct),
            max_symbols=run.max_symbols,
            flat_policy=run.flat_policy,
        )


def _moment(text: str) -> str | None:
    """A calendar's time as every other time is stored; None for what is none."""
    try:
        return stored_time(datetime.fromisoformat(text).astimezone(UTC))
    except ValueError:
        return None


def _phase_entered(rows: Rows, seq: int, event: session.PhaseEntered) -> None:
    rows.add(
        table_rows.Phase(
            seq,
            session_id=rows.session_id,
            at=stored_time(event.at),
            phase=event.phase.value,
            entered=True,
            condition=event.condition,
        )
    )
    rows.change(table_rows.Session, rows.session_id, phase=event.phase.value)


def _phase_refused(rows: Rows, seq: int, event: session.PhaseRefused) -> None:
    rows.add(
        table_rows.Phase(
            seq,
            session_id=rows.session_id,
            at=stored_time(event.at),
            phase=event.phase.value,
            entered=False,
            condition=event.condition,
            found=event.found,
        )
    )


def _preflight_recorded(rows: Rows, seq: int, event: session.PreflightRecorded) -> None:
    rows.add(
        table_rows.Preflight(
            seq,
            session_id=rows.session_id,
            at=stored_time(event.at),
            phase=event.phase,
            verdict=event.verdict.value,
            checks_hash=event.checks_hash,
            failed=document(event.failed),
            confirmed_by=event.confirmed_by,
        )
    )
    column = {"pre-start": "pre_start", "pre-market": "pre_market"}.get(event.phase)
    if column is not None:
        rows.change(table_rows.Session, rows.session_id, **{column: event.verdict.value})


def _service(up: bool) -> Callable[[Rows, int, Any], None]:
    def project(rows: Rows, seq: int, event: session.ServiceReady | session.ServiceStopped) -> None:
        rows.add(
            table_rows.Service(
                seq,
                session_id=rows.session_id,
                at=stored_time(event.at),
                service=event.service,
                position=event.position,
                up=up,
            )
        )

    return project


def _run_started(rows: Rows, seq: int, event: session.RunStarted) -> None:
    rows.put(
        table_rows.Run,
        rows.session_id,
        event.strategy_id,
        run_id=event.run_id,
        params_hash=event.params_hash,
        started_at=stored_time(event.at),
    )


def _run_ended(rows: Rows, seq: int, event: session.RunEnded) -> None:
    rows.put(
        table_rows.Run,
        rows.session_id,
        event.strategy_id,
        run_id=event.run_id,
        ended_at=stored_time(event.at),
        reason=event.reason,
        trades=event.trades,
    )


def _session_ending(rows: Rows, seq: int, event: session.SessionEnding) -> None:
    rows.change(table_rows.Session, rows.session_id, ending=event.reason)


def _session_summarized(rows: Rows, seq: int, event: session.SessionSummarized) -> None:
    rows.change(
        table_rows.Session,
        rows.session_id,
        trades=event.trades,
        orders=event.orders,
        fills=event.fills,
        breaks=event.breaks,
        net_pnl=str(event.net_pnl),
        summarized_at=stored_time(event.at),
    )
    opened = rows.find(table_rows.Session, rows.session_id) or table_rows.Session()
    rows.put(
        table_rows.SessionSummary,
        rows.session_id,
        environment=opened.environment,
        date=opened.date,
        opened_at=opened.opened_at,
        trades=event.trades,
        orders=event.orders,
        fills=event.fills,
        breaks=event.breaks,
        net_pnl=str(event.net_pnl),
        recovered=event.recovered,
        summarized_at=stored_time(event.at),
        seq=seq,
    )


def _session_closed(rows: Rows, seq: int, event: session.SessionClosed) -> None:
    at = stored_time(event.at)
    rows.change(table_rows.Session, event.session_id, closed_at=at, closed_seq=seq)
    for row in list(rows.matching(table_rows.BlockedSymbol, active=True, scope=BlockScope.SESSION.value)):
        rows.put_row(row, active=False, ended_at=at, ended_by="policy", end_reason="session closed")


def _session_recovered(rows: Rows, seq: int, event: reconciliation.SessionRecovered) -> None:
    row = rows.find(table_rows.Session, rows.session_id)
    if row is not None:
        rows.put_row(row, recoveries=(row.recoveries or 0) + 1)


def _equity_set(rows: Rows, seq: int, event: reconciliation.SessionEquitySet) -> None:
    rows.change(table_rows.Session, rows.session_id, start_equity=str(event.equity), start_cash=str(event.cash))


def _account_observed(rows: Rows, seq: int, event: reconciliation.AccountObserved) -> None:
    _statement(rows, seq, event, event.account)


def _snapshot_observed(rows: Rows, seq: int, event: reconciliation.BrokerSnapshotObserved) -> None:
    if event.snapshot.complete and event.snapshot.account is not None:
        _statement(rows, seq, event, event.snapshot.account)


def _statement(rows: Rows, seq: int, event: Event, account: Account) -> None:
    rows.add(
        table_rows.Account(
            seq,
            session_id=rows.session_id,
            at=stored_time(event.at),
            as_of=stored_time(account.as_of),
            currency=account.currency,
            cash=str(account.cash),
            equity=str(account.equity),
            buying_power=str(account.buying_power),
            realized_pnl=str(account.realized_pnl),
            unrealized_pnl=str(account.unrealized_pnl),
            positions_value=str(account.positions_value),
            fees=str(account.fees),
            cursor=account.cursor,
        )
    )


def _boundary_timed(rows: Rows, seq: int, event: telemetry.BoundaryTimed) -> None:
    values = {name: getattr(event, name) for name in event.__struct_fields__ if name != "at"}
    rows.add(table_rows.Boundary(seq, at=stored_time(event.at), **values))


def _health_sampled(rows: Rows, seq: int, event: telemetry.HealthSampled) -> None:
    values = msgspec.structs.asdict(event)
    rows.add(table_rows.HealthSample(seq, **{**values, "at": stored_time(event.at)}))


def _process_started(rows: Rows, seq: int, event: telemetry.ProcessStarted) -> None:
    rows.put(
        table_rows.Process,
        event.process_id,
        host=event.host,
        user=event.user,
        command=event.command,
        pid=event.pid,
        versions=document(event.versions),
        started_at=stored_time(event.at),
        seq=seq,
    )


def _process_ended(rows: Rows, seq: int, event: telemetry.ProcessEnded) -> None:
    at = stored_time(event.at)
    rows.put(table_rows.Process, event.process_id, ended_at=at, exit_code=event.exit_code, reason=event.reason)


PROJECT: Final[Projections] = {
    session.SessionOpened: _session_opened,
    session.PhaseEntered: _phase_entered,
    session.PhaseRefused: _phase_refused,
    session.PreflightRecorded: _preflight_recorded,
    session.ServiceReady: _service(up=True),
    session.ServiceStopped: _service(up=False),
    session.RunStarted: _run_started,
    session.RunEnded: _run_ended,
    session.SessionEnding: _session_ending,
    session.SessionSummarized: _session_summarized,
    session.SessionClosed: _session_closed,
    reconciliation.SessionRecovered: _session_recovered,
    reconciliation.SessionEquitySet: _equity_set,
    reconciliation.AccountObserved: _account_observed,
    reconciliation.BrokerSnapshotObserved: _snapshot_observed,
    telemetry.BoundaryTimed: _boundary_timed,
    telemetry.HealthSampled: _health_sampled,
    telemetry.ProcessStarted: _process_started,
    telemetry.ProcessEnded: _process_ended,
}
