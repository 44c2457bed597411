import pytest

from qmworkbench.strategies.catalog import UnknownStrategy, catalog
from qmworkbench.strategies.parameters import ParameterError
from qmworkbench.strategies.rules import RuleBook
from tests.strategies.test_frames import instance


def test_instances_of_one_strategy_and_one_parameter_set_share_their_rules() -> None:
    book = RuleBook(
        [instance("a"), instance("b", exit_bars=10), instance("c", entry_bars=55), instance("d", "sma-cross")]
    )
    assert book.rules["a"] is book.rules["c"]  # 55 is the approved value: the set is the same
    assert book.rules["a"] is not book.rules["b"]
    assert list(book.distinct) == [book.rules[name].key for name in ("a", "b", "d")]
    assert book.strategy == {"a": "donchian", "b": "donchian", "c": "donchian", "d": "sma-cross"}
    assert [one.instance_id for one in book.instances] == ["a", "b", "c", "d"]
    assert book.rules["a"].key == catalog()["donchian"].hash({})


def test_features_of_all_are_named_once_and_in_order() -> None:
    book = RuleBook([instance("a"), instance("d", "sma-cross")])
    assert list(book.features) == sorted(set(book.features))
    assert {"f_atr", "f_channel_high", "f_fast"} <= set(book.features)
    assert RuleBook([]).features == ()


def test_each_answer_looks_at_flags_features_and_prices() -> None:
    rules = RuleBook([instance("d", "sma-cross")]).rules["d"]
    assert {"entry_long", "exit_short", "f_atr", "close", "tick", "bars_left"} <= rules.row_reads


def test_instances_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="instance a is there twice"):
        RuleBook([instance("a"), instance("a", "sma-cross")])
    with pytest.raises(UnknownStrategy, match="no strategy 'nope'"):
        RuleBook([instance("a", "nope")])
    with pytest.raises(ParameterError, match="entry_bars = 1 is out of range"):
        RuleBook([instance("a", entry_bars=1)])
