import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies import catalog as module
from qmworkbench.strategies.catalog import Catalog, UnknownStrategy, catalog, default_instances
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
    with pytest.raises(ValueError, match="share one strategy id"):
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


def test_forex_carries_and_equities_go_home_flat() -> None:
    for asset_class, policy in ((AssetClass.FOREX, "carry"), (AssetClass.EQUITY, "at_close")):
        for instance in default_instances(asset_class):
            definition = catalog()[instance.strategy_id]
            assert definition.flat_policy(definition.parameters(instance.params)) == policy
