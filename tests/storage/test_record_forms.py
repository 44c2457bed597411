"""Forms of records: some of their event's fields, and what these say in the record's own words (§17)."""

import types
import typing
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain import execution
from qmworkbench.domain.events import DECISION_TYPES, TELEMETRY_TYPES, encode
from qmworkbench.domain.events.orders import RiskDecided, RuleVerdict
from qmworkbench.domain.orders import Leg
from qmworkbench.storage import record_forms
from qmworkbench.storage.projected_rows import codes, document
from qmworkbench.storage.record_forms import Form, failed_rules

EVENTS = {kind.__struct_config__.tag: kind for kind in (*DECISION_TYPES, *TELEMETRY_TYPES)}


def as_text(kind: typing.Any) -> typing.Any:
    """A type as a form has it: what JSON writes as text stays text."""
    if kind in (Decimal, datetime) or (isinstance(kind, type) and issubclass(kind, Enum)):
        return str
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind.__name__
    parts = tuple(part if part is ... else as_text(part) for part in typing.get_args(kind))
    if isinstance(kind, types.UnionType):
        return frozenset(parts)
    return (typing.get_origin(kind), *parts) if parts else kind


def demand_part_of(form: type[msgspec.Struct], event: type[msgspec.Struct]) -> None:
    theirs = {field.name: field for field in msgspec.structs.fields(event)}
    for field in msgspec.structs.fields(form):
        whole = theirs[field.name]
        assert (field.required, field.default) == (whole.required, whole.default), (form, field.name)
        if field.type is not msgspec.Raw:
            assert as_text(field.type) == as_text(whole.type), (form, field.name)


@pytest.mark.parametrize("form", Form.__subclasses__(), ids=lambda form: form.__name__)
def test_a_form_is_part_of_its_event(form: type[Form]) -> None:
    event = EVENTS[form.__struct_config__.tag]
    assert event.__name__ == form.__name__
    demand_part_of(form, event)


@pytest.mark.parametrize("form", [record_forms.OrderRequest, record_forms.LegRequest], ids=lambda form: form.__name__)
def test_so_are_the_parts_of_a_request(form: type[msgspec.Struct]) -> None:
    demand_part_of(form, getattr(execution, form.__name__))


texts = st.one_of(st.sampled_from(["false", '["a",false,"', "max_qty"]), st.text(max_size=9))
verdicts = st.builds(RuleVerdict, code=texts, passed=st.booleans(), value=texts, limit=texts)


@settings(max_examples=100)
@given(rules=st.lists(verdicts, max_size=5).map(tuple))
def test_rules_are_the_records_own_text_and_those_that_failed_are_found_in_it(rules: tuple[RuleVerdict, ...]) -> None:
    event = RiskDecided(
        at=datetime(2018, 3, 2, tzinfo=UTC),
        cl_ord_id="a",
        strategy_id="s",
        symbol="X",
        leg=Leg.ENTRY,
        allowed=not rules,
        rules=rules,
        limits_hash="h",
    )
    found = msgspec.json.decode(encode(event), type=record_forms.RiskDecided)
    text = str(found.rules, "utf-8")
    assert text == document(rules)
    assert failed_rules(text) == codes(event.failed)
