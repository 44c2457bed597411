"""`[reconciliation]`: what can be set, what is refused and how, and that the session records it (§14)."""

from pathlib import Path

import pytest

from qmworkbench.domain.safety import ReconciliationSettings
from qmworkbench.service import config


def test_nothing_set_is_the_settings_own_defaults(tmp_path: Path) -> None:
    assert config.load(cwd=tmp_path, environ={}, flags={}).reconciliation() == ReconciliationSettings()


def test_each_setting_may_come_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "qm.toml").write_text("[reconciliation]\nin_flight_after_s = 7\nqueries_before_missing = 3\n")
    environ = {"QM_RECONCILIATION__ABSENCE_GRACE_S": "20"}
    found = config.load(cwd=tmp_path, environ=environ, flags={})
    assert found.reconciliation() == ReconciliationSettings(
        in_flight_after_s=7, queries_before_missing=3, absence_grace_s=20
    )
    assert found.config_hash != config.load(cwd=tmp_path, environ={}, flags={}).config_hash


@pytest.mark.parametrize(
    ("line", "key", "says"),
    [
        ("open_check_s = 0", "reconciliation.open_check_s", "makes no sense"),
        ("position_check_s = -5", "reconciliation.position_check_s", "makes no sense"),
        ("in_flight_after_s = true", "reconciliation.in_flight_after_s", "is not"),
        ('absence_grace_s = "soon"', "reconciliation.absence_grace_s", ""),
        ("how_often = 3", "reconciliation.how_often", ""),
    ],
)
def test_a_value_without_sense_is_named_with_its_place_and_remedy(
    tmp_path: Path, line: str, key: str, says: str
) -> None:
    (tmp_path / "qm.toml").write_text(f"[reconciliation]\n{line}\n")
    found, told = config.check(cwd=tmp_path, environ={})
    assert found is None
    (problem,) = told
    assert problem.key == key
    assert says in problem.problem
    assert "qm.toml" in problem.source
    assert problem.remedy
