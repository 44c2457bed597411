"""The strategies of a day on two lines: counts first, exceptions by name, and never a wall of text."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.domain.sessions import Environment
from qmworkbench.operations.evidence import StrategySeen
from qmworkbench.operations.lines import Confirmation, Signatures
from qmworkbench.operations.manifest_items import STRATEGIES_READY, parameters_check, strategies_ready
from qmworkbench.operations.preflight import PreflightPhase, preflight
from qmworkbench.operations.premarket import STRATEGY_PARAMETERS
from tests.operations.evidence_cases import STRATEGY, pre_market

PASS, WARN, FAIL = CheckStatus.PASS, CheckStatus.WARN, CheckStatus.FAIL
LOCAL, PAPER, LIVE = Environment.LOCAL, Environment.PAPER, Environment.LIVE
PAIRS = ("AUDJPY", "AUDUSD", "EURGBP", "EURJPY", "GBPJPY", "GBPUSD", "USDCAD", "USDCHF", "USDJPY")
# A line of a report is about a hundred characters; beyond some of them nobody reads on.
READABLE = 600


def one(name: str = "orb", **fields: Any) -> StrategySeen:
    good: dict[str, Any] = {
        "instance_id": name,
        "strategy_id": "opening-range",
        "known": True,
        "owner": "the desk",
        "status": "live-approved",
        "version": "1.0.0",
        "params_hash": "aaaa",
        "approved_hash": "aaaa",
    }
    return StrategySeen(**(good | fields))


def many() -> tuple[StrategySeen, ...]:
    """Four set-ups on nine pairs each."""
    return tuple(
        one(f"{setup}-{pair.lower()}", strategy_id=strategy, params_hash=digest, approved_hash=digest)
        for setup, strategy, digest in (
            ("fast", "donchian", "aaaa"),
            ("slow", "donchian", "bbbb"),
            ("rsi", "rsi-reversion", "cccc"),
            ("sma", "sma-cross", "dddd"),
        )
        for pair in PAIRS
    )


def but(strategies: tuple[StrategySeen, ...], name: str, **fields: Any) -> tuple[StrategySeen, ...]:
    return tuple(msgspec.structs.replace(s, **fields) if s.instance_id == name else s for s in strategies)


def ready(*strategies: StrategySeen, environment: Environment = LOCAL) -> Check:
    return strategies_ready(STRATEGIES_READY, strategies, environment)


def parameters(*strategies: StrategySeen, environment: Environment = LOCAL) -> Check:
    saw = Confirmation(check_id=STRATEGY_PARAMETERS.check_id, by="ada", at="2024-03-08T13:00:00Z", saw="as agreed")
    signatures = Signatures(
        environment=environment,
        unattended=environment is LOCAL,
        confirmations=() if environment is LOCAL else (saw,),
    )
    return parameters_check(STRATEGY_PARAMETERS, strategies, environment, signatures)


def test_thirty_six_instances_are_counted_by_strategy() -> None:
    check = ready(*many())
    assert check.status is PASS
    assert check.value == "36 of 36 ready: 18 donchian, 9 rsi-reversion, 9 sma-cross; all live-approved"
    sets = parameters(*many())
    assert sets.status is PASS
    assert sets.value == (
        "36 of 36 as approved: 9 × donchian 1.0.0 aaaa, 9 × donchian 1.0.0 bbbb, 9 × rsi-reversion 1.0.0 cccc, "
        "9 × sma-cross 1.0.0 dddd"
    )


def test_a_few_are_named() -> None:
    assert parameters(one("orb"), one("channel", strategy_id="donchian", params_hash="b", approved_hash="b")).value == (
        "2 of 2 as approved: orb 1.0.0 aaaa, channel 1.0.0 b"
    )


def test_the_exception_among_many_is_named_with_what_differs() -> None:
    odd = but(
        many(),
        "slow-usdjpy",
        params_hash="eeee",
        changed=("entry_bars: 55 → 60 (qm.toml:31)",),
    )
    check = parameters(*odd)
    assert check.status is WARN
    assert check.value.startswith("35 of 36 as approved (not slow-usdjpy): ")
    assert "slow-usdjpy: runs eeee, approved is bbbb (the catalog's own set, the desk): entry_bars: 55 → 60" in (
        check.detail
    )
    assert "--as-configured" in check.remedy


@pytest.mark.parametrize("environment", [PAPER, LIVE])
def test_a_difference_is_no_go_where_an_account_is_at_stake_whoever_signs(environment: Environment) -> None:
    assert parameters(one(params_hash="eeee"), environment=environment).status is FAIL
    assert parameters(one(), environment=environment).confirmed_by == "ada"


def test_a_signed_version_shows_signer_day_and_since_when() -> None:
    odd = but(
        many(),
        "rsi-audusd",
        params_version=3,
        approved_by="ada",
        approved_on="2024-03-08",
        effective_from="2024-03-11",
    )
    check = parameters(*odd)
    assert check.status is PASS
    assert check.detail.startswith("on the catalog's own set: 35 of the desk; ")
    assert "rsi-audusd: version 3, signed by ada on 2024-03-08, from 2024-03-11 on" in check.detail


def test_the_owner_answers_for_the_catalogs_own_sets_and_what_waits_is_told_beside_it() -> None:
    mixed = tuple(
        msgspec.structs.replace(s, owner="trend desk" if s.strategy_id == "donchian" else "the desk") for s in many()
    )
    assert parameters(*mixed).detail.startswith("on the catalog's own set: 18 of the desk, 18 of trend desk")
    waiting = but(mixed, "sma-gbpusd", proposals=("version 1 proposed by bob on 2024-03-08: fast_bars: 10 → 12",))
    assert parameters(*waiting).status is PASS
    assert "waiting: sma-gbpusd: version 1 proposed by bob" in parameters(*waiting).detail


def test_what_is_signed_for_a_later_session_is_told_and_changes_nothing() -> None:
    check = parameters(one(coming=("version 2, signed by ada, from 2024-03-12 on",)))
    assert check.status is PASS
    assert "to come: orb: version 2" in check.detail


def test_a_proposal_waits_a_warning_in_local_and_a_pending_gate_in_paper_and_live() -> None:
    waiting = but(many(), "sma-gbpusd", proposals=("version 1 proposed by bob on 2024-03-08: fast_bars: 10 → 12",))
    check = ready(*waiting)
    assert check.status is WARN
    assert check.detail.startswith("sma-gbpusd: waits for its owner's signature: version 1 proposed by bob")
    assert "approve or withdraw" in check.remedy
    for environment in (PAPER, LIVE):
        check = ready(*waiting, environment=environment)
        assert check.status is FAIL
        assert check.value.startswith("35 of 36 ready (not sma-gbpusd): 18 donchian")
        assert "fast_bars: 10 → 12" in check.detail


def test_one_left_out_is_named_first_and_the_others_go_on() -> None:
    left = (*many(), StrategySeen(instance_id="bad", strategy_id="", known=True, left_out="qm.toml:9: no such thing"))
    check = ready(*left)
    assert check.status is WARN
    assert check.value.startswith("36 of 37 ready (not bad)")
    assert check.detail == "bad: left out, the others go on: qm.toml:9: no such thing"
    assert parameters(*left).value.startswith("36 of 36 as approved")
    assert ready(*left, environment=LIVE).status is FAIL


@pytest.mark.parametrize("environment", Environment)
def test_records_missing_from_the_ledger_fail_everywhere(environment: Environment) -> None:
    check = parameters(
        *but(many(), "fast-eurgbp", unrecorded="the last session ran with version 2"), environment=environment
    )
    assert check.status is FAIL
    assert check.detail == "fast-eurgbp: the last session ran with version 2"
    assert "approvals.jsonl" in check.remedy


def test_a_run_is_expected_of_every_strategy_that_was_not_left_out() -> None:
    left = StrategySeen(instance_id="bad", strategy_id="", known=True, left_out="no such thing")
    for strategies, expected in (((STRATEGY, left), PASS), ((STRATEGY, one("another")), FAIL)):
        checks = preflight(PreflightPhase.PRE_MARKET, pre_market(strategies=strategies))
        assert next(check for check in checks if check.check_id == "startup.runs").status is expected


def test_what_holds_for_all_is_said_once() -> None:
    draft = tuple(msgspec.structs.replace(s, status="experimental") for s in many())
    check = ready(*draft, environment=PAPER)
    assert check.value.startswith("0 of 36 ready")
    assert check.detail == (
        "fast-audjpy, fast-audusd, fast-eurgbp and 33 more: it is experimental, "
        "paper takes paper-approved or live-approved"
    )
    mixed = but(draft, "sma-usdjpy", status="retired")
    assert "35 experimental, 1 retired" in ready(*mixed).value


@pytest.mark.parametrize("environment", Environment)
def test_trust_with_an_account_needs_an_examination_of_the_code_that_is_here(environment: Environment) -> None:
    check = ready(*but(many(), "fast-eurgbp", unexamined="its examination was of other code"), environment=environment)
    needed = environment in (PAPER, LIVE)
    assert check.status is (FAIL if needed else PASS)
    assert (check.detail == "fast-eurgbp: its examination was of other code") is needed


ODD = st.fixed_dictionaries(
    {},
    optional={
        "params_hash": st.sampled_from(["ffff", "0000"]),
        "status": st.sampled_from(["draft", "retired", "experimental"]),
        "needs_history_days": st.integers(0, 5),
        "fits_market": st.booleans(),
        "known": st.booleans(),
        "version": st.sampled_from(["1.0.0", "2.0.0"]),
        "changed": st.integers(0, 40).map(lambda n: tuple(f"a_parameter_{at}: 1 → {n}" for at in range(n))),
        "params_version": st.integers(0, 9),
    },
)


@given(oddities=st.lists(ODD, min_size=36, max_size=36), environment=st.sampled_from(Environment))
def test_whatever_is_odd_the_lines_stay_readable(oddities: list[dict[str, Any]], environment: Environment) -> None:
    strategies = tuple(msgspec.structs.replace(s, **fields) for s, fields in zip(many(), oddities, strict=True))
    for check in (ready(*strategies, environment=environment), parameters(*strategies, environment=environment)):
        assert len(check.value) <= READABLE
        assert len(check.detail) <= 5 * READABLE
        assert bool(check.remedy) is (check.status in (WARN, FAIL))
