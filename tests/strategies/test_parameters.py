import pytest

from qmworkbench.strategies.parameters import (
    ParameterError,
    ParameterSpec,
    bounded,
    choice,
    number,
    resolve,
    switch,
    whole,
)

SPECS = (
    bounded("range_bars", 15, 2, 120, "bars", "length of the range"),
    bounded("stop_atr", 2.0, 0.5, 50.0, "×", "stop distance"),
    ParameterSpec(name="flat", approved="at_close", choices=("at_close", "carry"), meaning="at the session's end"),
    ParameterSpec(name="short", approved=False, meaning="also short"),
)


def test_overrides_lie_over_the_approved_values_in_the_order_of_the_definition() -> None:
    params = resolve("orb", SPECS, {"short": True, "stop_atr": 3})
    assert list(params.items()) == [("range_bars", 15), ("stop_atr", 3.0), ("flat", "at_close"), ("short", True)]
    assert isinstance(params["stop_atr"], float)


@pytest.mark.parametrize("value", [2, 120])
def test_both_ends_of_a_range_are_allowed(value: int) -> None:
    assert resolve("orb", SPECS, {"range_bars": value})["range_bars"] == value


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "range_bars",
            1,
            "strategy orb: range_bars = 1 is out of range; allowed: 2 to 120 bars (whole number, approved 15)",
        ),
        ("range_bars", 121, "range_bars = 121 is out of range"),
        ("range_bars", 15.0, "range_bars = 15.0 is no whole number"),
        ("range_bars", True, "range_bars = True is no whole number"),
        ("range_bars", "15", "range_bars = '15' is no whole number"),
        ("stop_atr", float("nan"), "stop_atr = nan is no number"),
        ("stop_atr", float("inf"), "stop_atr = inf is no number"),
        ("stop_atr", 0.4, "stop_atr = 0.4 is out of range; allowed: 0.5 to 50.0 ×"),
        ("flat", "never", "flat = 'never' is not a choice; allowed: at_close, carry"),
        ("flat", 1, "flat = 1 is no text"),
        ("short", 1, "short = 1 is no true or false; allowed: true, false"),
        ("rangebars", 15, "strategy orb has no parameter 'rangebars'; did you mean 'range_bars'?"),
        ("xyz", 15, "strategy orb has no parameter 'xyz'; it has range_bars, stop_atr, flat, short"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name: str, value: object, said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        resolve("orb", SPECS, {name: value})  # type: ignore[dict-item]
    assert said in str(caught.value)
    assert caught.value.strategy_id == "orb"


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        resolve("orb", SPECS, {"range_bars": 0, "bogus": 1, "short": "yes"})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"approved": 3}, "is a number: give its minimum and its maximum"),
        ({"approved": "a"}, "is a text: give its choices"),
        ({"approved": "a", "choices": ("b",)}, "approved value 'a' is not among b"),
        ({"approved": 3, "minimum": 4, "maximum": 5}, "approved value 3 is not among 4 to 5"),
    ],
)
def test_a_specification_must_hold_its_own_approved_value(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ParameterSpec(name="x", meaning="", **fields)  # type: ignore[arg-type]


def test_reading_a_parameter_as_another_type_is_an_error() -> None:
    params = {"a": 1, "b": 1.5, "c": True, "d": "x"}
    assert (whole(params, "a"), number(params, "a"), number(params, "b")) == (1, 1.0, 1.5)
    assert (switch(params, "c"), choice(params, "d")) == (True, "x")
    for read, name in ((whole, "b"), (whole, "c"), (number, "c"), (number, "d"), (switch, "a"), (choice, "a")):
        with pytest.raises(TypeError, match=f"parameter {name} = "):
            read(params, name)
