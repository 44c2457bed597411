"""Plans are data, and chance has a name."""

from pathlib import Path

import msgspec
import pytest

from qmworkbench.simulation import plan as plans
from qmworkbench.simulation.chance import Chance, unit, units
from qmworkbench.simulation.plan import KINDS, Faults, Plan, SimPlanInvalid, Strike, World, drawn


def test_a_number_depends_on_seed_kind_and_key_alone() -> None:
    assert unit(1, "lost_ack", "a#0") == unit(1, "lost_ack", "a#0")
    assert len({unit(s, k, n) for s in (1, 2) for k in ("a", "b") for n in ("x", "y")}) == 8
    assert all(0 <= number < 1 for number in units(7, "bar", "AAA 1"))
    # Written down once: another interpreter or machine must not draw other sessions from the same seeds.
    assert unit(1, "world", "symbols") == pytest.approx(0.01346636165135604, abs=1e-15)


def test_whole_numbers_and_choices_reach_both_ends() -> None:
    chance = Chance(3)
    drawn_numbers = {chance.whole("k", str(i), 2, 4) for i in range(60)}
    assert drawn_numbers == {2, 3, 4}
    assert {chance.one_of("k", str(i), ("a", "b")) for i in range(30)} == {"a", "b"}


def test_seeds_differ_in_the_troubles_they_turn_on() -> None:
    on = [frozenset(drawn(seed).rates) for seed in range(40)]
    assert len(set(on)) > 35
    assert frozenset.union(*on) == KINDS.keys()
    assert any(len(kinds) < 10 for kinds in on)


def test_a_plan_survives_its_own_json(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(drawn(5), strikes=(Strike("lost_ack", "submit a#0"),))
    file = tmp_path / "plan.json"
    file.write_bytes(plans.dumps(plan))
    assert plans.load(file) == plan


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"{", "not a simulation plan"),
        (b'{"seed": 1, "world": {"symbols": 0}}', "world.symbols = 0"),
        (b'{"seed": 1, "world": {}, "rates": {"gremlins": 0.5}}', "gremlins"),
        (b'{"seed": 1, "world": {}, "strikes": [["gremlins", "x#0"]]}', "gremlins"),
        (b'{"seed": 1, "world": {"moons": 2}}', "moons"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_name(tmp_path: Path, text: bytes, told: str) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(text)
    with pytest.raises(SimPlanInvalid, match=told):
        plans.load(file)


def test_a_missing_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(SimPlanInvalid, match=r"nowhere\.json cannot be read"):
        plans.load(tmp_path / "nowhere.json")


def test_given_strikes_strike_and_nothing_else_does() -> None:
    plan = Plan(seed=1, world=World(), strikes=(Strike("lost_ack", "submit a#1"),))
    faults = Faults(plan)
    assert [faults.strikes("lost_ack", "submit a") for _ in range(3)] == [False, True, False]
    assert not faults.strikes("duplicate", "submit a")
    assert faults.struck == [Strike("lost_ack", "submit a#1")]


def test_one_kind_more_moves_no_other_stream() -> None:
    few = Faults(Plan(seed=9, world=World(), rates={"lost_ack": 0.5}))
    many = Faults(Plan(seed=9, world=World(), rates={"lost_ack": 0.5, "duplicate": 0.5}))
    alone = [few.strikes("lost_ack", f"o{i}") for i in range(50)]
    beside = []
    for i in range(50):
        many.strikes("duplicate", f"o{i}")
        beside.append(many.strikes("lost_ack", f"o{i}"))
    assert alone == beside
    assert 10 < sum(alone) < 40


def test_calm_ends_all_trouble() -> None:
    faults = Faults(Plan(seed=1, world=World(), rates={"lost_ack": 1.0}))
    assert faults.strikes("lost_ack", "a")
    faults.calm = True
    assert not faults.strikes("lost_ack", "a")
