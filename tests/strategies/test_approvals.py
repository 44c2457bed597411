"""Versions of a parameter set: which is approved for which session, and what runs when the configuration was edited."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.sessions import Environment
from qmworkbench.strategies.approvals import (
    Approvals,
    Proposed,
    Record,
    RecordsInconsistent,
    differences,
)
from qmworkbench.strategies.changes import (
    Act,
    ApprovalRefused,
    Calendar,
    Owners,
    Subject,
    approve,
    propose,
    propose_as_configured,
    revert,
    withdraw,
)
from qmworkbench.strategies.parameters import ParameterError, ParameterSpec, Params, bounded
from tests.strategies.bar_cases import changed
from tests.strategies.planted import planted

SPECS = (
    bounded("bars", 15, 2, 120, "bars", "how many"),
    bounded("stop", 2.0, 0.5, 50.0, "×", "how far"),
    ParameterSpec(name="short", approved=False, meaning="also short"),
)
ENTRY = changed(planted(), parameter_specs=SPECS, owner="the desk")
NEWER = changed(ENTRY, version="2")
AT = datetime(2024, 3, 8, 12, tzinfo=UTC)
LOCAL = Owners(environment=Environment.LOCAL)
MONDAY = Calendar(session_id="main-2024-03-08", session="2024-03-08", next_session="2024-03-11")


def act(by: str = "ada", reason: str = "it was too tight") -> Act:
    return Act(by=by, login="root", at=AT, reason=reason)


def subject(definition: Any = ENTRY, published: Params | None = None, **configured: Any) -> Subject:
    laid = {**(published or {}), **configured}
    return Subject(
        instance_id="one", definition=definition, configured=definition.parameters(laid), published=published or {}
    )


class Book:
    """A ledger in memory, acted on as the command line does."""

    def __init__(self, **configured: Any) -> None:
        self.records: list[Record] = []
        self.subject = subject(**configured)
        self.calendar = Calendar()

    @property
    def approvals(self) -> Approvals:
        return Approvals(self.records)

    def put(self, **values: Any) -> Proposed:
        record = propose(self.approvals, self.subject, values, act())
        self.records.append(record)
        return record

    def sign(self, number: int) -> None:
        signed = approve(self.approvals, self.subject, number, act("the desk", ""), self.calendar, LOCAL)
        self.records.append(signed)

    def changed(self, **values: Any) -> None:
        self.sign(self.put(**values).version)

    def take_back(self, number: int | None = None, by: str = "the desk") -> None:
        self.records.append(withdraw(self.approvals, self.subject, number, act(by), self.calendar, LOCAL))

    def running(self, session: str | None = None) -> dict[str, Any]:
        approved = self.approvals.approved(self.subject.definition, "one", self.subject.published, session)
        return approved.running(self.subject.definition, self.subject.configured)


# --- which set is approved --------------------------------------------------------------------------------------


def test_without_a_change_the_catalogs_own_set_is_approved_and_the_published_instances_with_it() -> None:
    own = Approvals().approved(ENTRY, "one", {})
    assert (own.version, own.hash, own.by) == (0, ENTRY.hash({}), "")
    published = Approvals().approved(ENTRY, "one", {"bars": 20})
    assert (published.params["bars"], published.hash) == (20, ENTRY.hash({"bars": 20}))


def test_a_change_says_what_it_is_against_what_and_is_nothing_before_it_is_signed() -> None:
    book = Book()
    put = book.put(bars=20, stop=2)
    assert put.version == 1
    assert [str(change) for change in put.changes] == ["bars: 15 → 20"]
    assert (put.old_hash, put.new_hash) == (ENTRY.hash({}), ENTRY.hash({"bars": 20}))
    assert book.running()["bars"] == 15
    book.sign(1)
    assert book.running()["bars"] == 20


def test_a_signed_change_waits_for_the_session_after_the_one_opened_last() -> None:
    book = Book()
    book.calendar = MONDAY
    book.changed(bars=20)
    approvals = book.approvals
    assert approvals.approved(ENTRY, "one", {}, "2024-03-08").version == 0
    assert approvals.approved(ENTRY, "one", {}, "2024-03-11").version == 1
    assert [version.number for version in approvals.coming("one", "2024-03-08")] == [1]
    assert approvals.coming("one", "2024-03-11") == ()


def test_in_a_book_without_sessions_it_holds_from_the_first() -> None:
    book = Book()
    book.changed(bars=20)
    assert book.approvals.approved(ENTRY, "one", {}, "1999-01-04").version == 1


def test_another_strategy_under_the_same_instance_id_starts_from_its_own_set() -> None:
    book = Book()
    book.changed(bars=20)
    other = changed(planted(strategy_id="other"), parameter_specs=SPECS)
    assert book.approvals.approved(other, "one", {}).version == 0


def test_a_later_change_starts_from_the_one_before_whether_it_runs_yet_or_not() -> None:
    book = Book()
    book.calendar = MONDAY
    book.changed(bars=20)
    assert [str(change) for change in book.put(stop=3.5).changes] == ["stop: 2 → 3.5"]
    book.sign(2)
    assert book.running("2024-03-11") == {"bars": 20, "stop": 3.5, "short": False}
    assert book.running("2024-03-08") == {"bars": 15, "stop": 2.0, "short": False}


# --- what runs where the configuration was edited ------------------------------------------------------------------


def test_an_edit_of_the_configuration_runs_and_differs_until_it_is_approved() -> None:
    book = Book(bars=30)
    approved = book.approvals.approved(ENTRY, "one", {})
    assert book.running()["bars"] == 30
    assert [str(change) for change in differences(approved.params, book.running())] == ["bars: 15 → 30"]
    book.records.append(propose_as_configured(book.approvals, book.subject, act()))
    book.sign(1)
    assert ENTRY.hash(book.running()) == book.approvals.approved(ENTRY, "one", {}).hash


def test_an_approved_change_lies_over_what_the_configuration_said_when_it_was_proposed() -> None:
    book = Book(bars=30)
    book.changed(bars=40)
    assert book.running()["bars"] == 40
    book.subject = subject(bars=50)  # somebody edits the file afterwards
    assert book.running()["bars"] == 50
    book.subject = subject(bars=40)  # or brings it up to date
    assert book.running()["bars"] == 40


def test_approving_one_parameter_does_not_approve_an_edit_of_another() -> None:
    book = Book(stop=9.0)
    book.changed(bars=20)
    approved = book.approvals.approved(ENTRY, "one", {})
    assert approved.params == {"bars": 20, "stop": 2.0, "short": False}
    assert book.running() == {"bars": 20, "stop": 9.0, "short": False}


def test_a_new_version_of_the_strategy_is_another_set_although_every_value_is_the_same() -> None:
    book = Book()
    book.changed(bars=20)
    book.subject = subject(NEWER)
    approved = book.approvals.approved(NEWER, "one", {})
    assert (approved.version, approved.definition_version) == (1, "1")
    assert NEWER.hash(book.running()) != approved.hash
    book.records.append(propose_as_configured(book.approvals, book.subject, act()))
    assert book.approvals.versions("one")[-1].proposed.changes == ()
    book.sign(2)
    assert NEWER.hash(book.running()) == book.approvals.approved(NEWER, "one", {}).hash


def test_an_approved_set_that_no_longer_fits_says_so_and_one_that_lost_a_parameter_still_runs() -> None:
    book = Book()
    book.changed(bars=100)
    narrower = changed(ENTRY, parameter_specs=(bounded("bars", 15, 2, 50, "bars", "how many"), *SPECS[1:]))
    with pytest.raises(ParameterError, match=r"bars = 100 is out of range; allowed: 2 to 50"):
        book.approvals.approved(narrower, "one", {}).running(narrower, narrower.parameters({}))
    fewer = changed(ENTRY, parameter_specs=(SPECS[0], bounded("new", 1, 0, 9, "", "something new")))
    running = book.approvals.approved(fewer, "one", {}).running(fewer, fewer.parameters({"new": 4}))
    assert running == {"bars": 100, "new": 4}


VALUES = st.fixed_dictionaries(
    {}, optional={"bars": st.integers(2, 120), "stop": st.sampled_from([0.5, 2.0, 3.5]), "short": st.booleans()}
)


@given(
    edits=VALUES, steps=st.lists(st.tuples(st.sampled_from(["change", "put", "back", "revert"]), VALUES), max_size=8)
)
def test_whatever_happens_what_runs_is_the_newest_signed_set_with_later_edits_over_it(
    edits: dict[str, Any], steps: list[tuple[str, dict[str, Any]]]
) -> None:
    book = Book(**edits)
    own = ENTRY.parameters({})
    signed, edited = own, {name: value for name, value in book.subject.configured.items() if value != own[name]}
    for kind, values in steps:
        try:
            if kind == "put":
                book.put(**values)
                book.take_back()
            elif kind == "change":
                book.changed(**values)
                edited = {name: value for name, value in edited.items() if name not in values}
                signed = {**signed, **ENTRY.parameters({**signed, **values})}
            elif kind == "revert":
                put = revert(book.approvals, book.subject, 0, act())
                book.records.append(put)
                book.sign(put.version)
                signed, edited = own, {}
            else:
                book.take_back()
        except ApprovalRefused:
            continue
        else:
            if kind == "back":
                return  # a signed version taken back: the set before it, held by its own test
    assert book.running() == {**signed, **edited}
    assert book.approvals.approved(ENTRY, "one", {}).params == signed
    again = msgspec.json.decode(msgspec.json.encode(book.records), type=list[Record])
    assert again == book.records


# --- records that cannot have been written ------------------------------------------------------------------------


def test_records_that_do_not_follow_from_one_another_are_named() -> None:
    book = Book()
    book.changed(bars=20)
    put, signed = book.records
    for records, said in (
        ([signed], "version 1 of one was never proposed"),
        ([put, put], "version 1 of one follows version 1"),
        ([put, signed, signed], "version 1 of one was approved already"),
        ([put, msgspec.structs.replace(signed, new_hash="0")], "is signed for another set than was proposed"),
        ([put, msgspec.structs.replace(put, version=2)], "version 2 of one was proposed while another was pending"),
    ):
        with pytest.raises(RecordsInconsistent, match=said):
            Approvals(records)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bars": 500}, r"strategy planted: bars = 500 is out of range; allowed: 2 to 120 bars"),
        ({"bras": 5}, r"has no parameter 'bras'; did you mean 'bars'\?"),
        ({"short": "yes"}, "short = 'yes' is no true or false"),
    ],
)
def test_a_proposal_out_of_range_names_strategy_parameter_value_and_range(values: Params, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        propose(Approvals(), subject(), values, act())


def test_a_proposal_needs_a_difference_a_reason_and_the_floor() -> None:
    book = Book()
    with pytest.raises(ApprovalRefused, match="nothing would change"):
        book.put(bars=15)
    with pytest.raises(ApprovalRefused, match="the reason is empty"):
        propose(Approvals(), subject(), {"bars": 20}, act(reason=" "))
    book.put(bars=20)
    with pytest.raises(ApprovalRefused, match="version 1 of one waits for a signature"):
        book.put(bars=30)


@pytest.mark.parametrize(
    ("environment", "people", "name", "said"),
    [
        (Environment.LOCAL, {}, "the desk", ""),
        (Environment.BACKTEST, {}, "the desk", ""),
        (Environment.LOCAL, {}, "bob", "'bob' is no owner of the strategy: that is the desk"),
        (Environment.LOCAL, {"the desk": ("ada",)}, "ada", ""),
        (Environment.LOCAL, {"the desk": ("ada",)}, "the desk", "'the desk' may not sign for the desk"),
        (Environment.LOCAL, {"another desk": ("bob",)}, "bob", "'bob' is no owner"),
        (Environment.LOCAL, {"the desk": ("policy:unattended",)}, "policy:unattended", "is a policy"),
        (Environment.PAPER, {}, "the desk", "paper asks for a person's signature"),
        (Environment.LIVE, {}, "the desk", "live asks for a person's signature"),
        (Environment.LIVE, {"the desk": ("ada",)}, "ada", ""),
        (Environment.LIVE, {"the desk": ("ada",)}, "bob", "'bob' may not sign for the desk"),
    ],
)
def test_who_may_sign(environment: Environment, people: dict[str, tuple[str, ...]], name: str, said: str) -> None:
    book = Book()
    book.put(bars=20)
    owners = Owners(environment=environment, people=people)
    if not said:
        signed = approve(book.approvals, book.subject, 1, act(name), Calendar(), owners)
        assert (signed.by, signed.owner, signed.login) == (name, "the desk", "root")
        return
    with pytest.raises(ApprovalRefused, match=said) as refused:
        approve(book.approvals, book.subject, 1, act(name), Calendar(), owners)
    assert refused.value.remedy


def test_what_is_signed_is_what_was_shown() -> None:
    book = Book()
    with pytest.raises(ApprovalRefused, match="one has no version 7: it has none"):
        book.sign(7)
    book.put(bars=20)
    book.subject = subject(NEWER)
    with pytest.raises(ApprovalRefused, match="was proposed for planted 1; planted 2 runs now"):
        book.sign(1)
    book.subject = subject(published={"stop": 4.0})  # the catalog's own set has changed since
    with pytest.raises(ApprovalRefused, match="so what you would sign is not what you were shown"):
        book.sign(1)
    book.subject = subject()
    book.sign(1)
    with pytest.raises(ApprovalRefused, match="version 1 of one is approved already"):
        book.sign(1)


def test_a_proposal_is_withdrawn_by_anybody_and_its_number_is_not_used_again() -> None:
    book = Book()
    book.put(bars=20)
    book.take_back(by="bob")
    assert book.approvals.versions("one")[0].status == "withdrawn"
    assert book.put(bars=30).version == 2
    with pytest.raises(ApprovalRefused, match="version 1 of one is withdrawn already"):
        book.take_back(1)


def test_a_signed_version_is_taken_back_by_an_owner_before_a_session_runs_it_and_never_after() -> None:
    book = Book()
    book.calendar = MONDAY
    book.changed(bars=20)
    with pytest.raises(ApprovalRefused, match="'bob' is no owner"):
        book.take_back(by="bob")
    book.calendar = Calendar(session_id="main-2024-03-11", session="2024-03-11", next_session="2024-03-12")
    with pytest.raises(ApprovalRefused, match=r"version 1 of one is in force: .* main-2024-03-11 has been opened"):
        book.take_back()
    book.calendar = MONDAY
    book.take_back()
    assert book.running("2024-03-11")["bars"] == 15
    with pytest.raises(ApprovalRefused, match="has no version to withdraw"):
        book.take_back()


def test_an_earlier_version_is_not_pulled_out_from_under_a_later_one() -> None:
    book = Book()
    book.calendar = MONDAY
    book.changed(bars=20)
    book.changed(bars=30)
    with pytest.raises(ApprovalRefused, match="a later version of one than 1 is approved"):
        book.take_back(1)


def test_going_back_is_a_version_of_its_own() -> None:
    book = Book()
    book.changed(bars=20)
    book.changed(bars=30)
    put = revert(book.approvals, book.subject, 1, act())
    assert (put.version, put.reverts_to, put.params["bars"]) == (3, 1, 20)
    book.records.append(put)
    with pytest.raises(ApprovalRefused, match="version 3 of one waits"):
        revert(book.approvals, book.subject, 0, act())
    book.sign(3)
    assert revert(book.approvals, book.subject, 0, act()).params == ENTRY.parameters({})
    with pytest.raises(ApprovalRefused, match="nothing would change"):
        revert(book.approvals, book.subject, 1, act())
    with pytest.raises(ApprovalRefused, match="has no version 9: it has 1 to 3"):
        revert(book.approvals, book.subject, 9, act())


def test_only_a_set_that_was_approved_can_be_returned_to() -> None:
    book = Book()
    book.put(bars=20)
    book.take_back()
    with pytest.raises(ApprovalRefused, match="version 1 of one is withdrawn"):
        revert(book.approvals, book.subject, 1, act())


def test_times_are_kept_to_the_second_with_their_zone() -> None:
    book = Book()
    put = book.put(bars=20)
    again = msgspec.json.decode(msgspec.json.encode(put), type=Record)
    assert again.at == AT
    assert again.at.utcoffset() == timedelta(0)
