"""`[halt]`: what may be set, what is refused by name, and that it reaches the session (§23)."""

from pathlib import Path

import pytest

from qmworkbench.domain.safety import HaltPolicy, MustHalt
from qmworkbench.service.config import Config, check

POLICY = '[[halt.policies]]\ncondition = "position_mismatch"\napproved_by = "ada"\nreason = "nobody is awake"\n'


def config(directory: Path, text: str) -> tuple[Config | None, str]:
    (directory / "qm.toml").write_text(text, encoding="utf-8")
    found, problems = check(cwd=directory, environ={})
    return found, "\n".join(map(str, problems))


def test_nothing_liquidates_unless_an_owner_approved_it(tmp_path: Path) -> None:
    found, _ = config(tmp_path, "")
    assert found is not None
    assert found.halt_policies() == ()
    found, _ = config(tmp_path, "[halt]\ndata_degraded_after_s = 120\n" + POLICY)
    assert found is not None
    assert found.halt().data_degraded_after_s == 120
    policy = HaltPolicy(condition=MustHalt.POSITION_MISMATCH, approved_by="ada", reason="nobody is awake")
    assert found.halt_policies() == (policy,)


def test_what_a_decision_depends_on_is_in_the_hash(tmp_path: Path) -> None:
    plain, _ = config(tmp_path, "")
    other, _ = config(tmp_path, POLICY)
    assert plain is not None
    assert other is not None
    assert plain.config_hash != other.config_hash


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[halt]\nambiguous_after_s = 0\n", "halt.ambiguous_after_s = 0"),
        (POLICY.replace("position_mismatch", "bad_mood"), 'condition = "bad_mood" is no condition of §23'),
        (POLICY.replace('"ada"', '" "'), "name who approved the policy"),
        (POLICY.replace('"ada"', '"policy:unattended"'), "a policy is approved by a person"),
        (POLICY + POLICY, "names position_mismatch twice"),
        (POLICY.replace("reason", "because"), "because"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    found, problems = config(tmp_path, text)
    assert found is None
    assert said.lower() in problems.lower()
