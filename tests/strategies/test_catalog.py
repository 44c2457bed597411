from decimal import Decimal

import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies import catalog as module
from qmworkbench.strategies.catalog import MAJOR_PAIRS, Catalog, UnknownStrategy, catalog, default_instances
from tests.strategies.planted import planted


def test_the_catalog_is_in_order_of_id() -> None:
    assert list(catalog()) == sorted(catalog())
    assert {"donchian", "opening-range", "rsi-reversion", "sma-cross"} <= set(catalog())
    assert module.ids() == tuple(catalog())
    assert module.get("donchian") is catalog()["donchian"]


def test_an_unknown_strategy_is_named_with_those_there_are_and_the_nearest() -> None:
    with pytest.raises(
        UnknownStrategy, match=r"no strategy 'openingrange' .*opening-range.*\); did you mean 'opening-range'\?$"
    ):
        catalog()["openingrange"]
    with pytest.raises(UnknownStrategy, match=rf"no strategy 'zzz' in the catalog \({', '.join(catalog())}\)$"):
        catalog()["zzz"]
    assert "zzz" not in catalog()


def test_two_entries_cannot_share_an_id() -> None:
    with pytest.raises(ValueError, match="share one strategy id: planted; give each"):
        Catalog(planted(), planted())


@pytest.mark.parametrize("asset_class", AssetClass)
def test_default_instances_fit_the_catalog_and_leave_capital_over(asset_class: AssetClass) -> None:
    instances = default_instances(asset_class)
    assert instances
    assert sum(instance.capital_fraction for instance in instances) < 1
    assert [i.instance_id for i in instances] == sorted(i.instance_id for i in instances)
    for instance in instances:
        definition = catalog()[instance.strategy_id]
        assert asset_class in definition.asset_classes
        assert definition.parameters(instance.params)


def test_equities_go_home_flat_and_of_the_forex_set_ups_two_carry() -> None:
    for instance in default_instances(AssetClass.EQUITY):
        definition = catalog()[instance.strategy_id]
        assert definition.flat_policy(definition.parameters(instance.params)) == "at_close"
    policies = {}
    for instance in default_instances(AssetClass.FOREX):
        definition = catalog()[instance.strategy_id]
        setup = instance.instance_id.rpartition("-")[0]
        policies.setdefault(setup, set()).add(definition.flat_policy(definition.parameters(instance.params)).value)
    assert policies == {
        "donchian-fast": {"at_close"},
        "donchian-slow": {"carry"},
        "rsi-reversion": {"at_close"},
        "sma-cross": {"carry"},
    }


def test_nine_pairs_are_traded_by_thirty_six_instances_each_on_its_own() -> None:
    instances = default_instances(AssetClass.FOREX)
    assert len(instances) == 36
    assert {(instance.instance_id[-6:].upper(),) for instance in instances} == {(pair,) for pair in MAJOR_PAIRS}
    for instance in instances:
        assert instance.symbols == (instance.instance_id[-6:].upper(),)
        assert (instance.max_symbols, instance.capital_fraction) == (1, Decimal("0.02"))
    assert "donchian-slow-eurjpy" in {instance.instance_id for instance in instances}


def test_other_pairs_find_instances_too_and_many_share_the_capital() -> None:
    two = default_instances(AssetClass.FOREX, ("EURUSD", "NZDUSD"))
    assert {instance.symbols for instance in two} == {("EURUSD",), ("NZDUSD",)}
    assert len(two) == 8
    many = default_instances(AssetClass.FOREX, [f"{a}{b}" for a in ("AAA", "BBB", "CCC") for b in MAJOR_PAIRS])
    assert len(many) == 108
    assert Decimal("0.89") < sum(instance.capital_fraction for instance in many) <= Decimal("0.9")
    assert default_instances(AssetClass.FOREX, ()) == ()
