"""`[halt]`: when trouble that lasts halts the book, and what an owner approved beforehand (§23)."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from qmworkbench.domain.safety import HaltPolicy, HaltSettings, MustHalt
from qmworkbench.service.config_problems import refusal
from qmworkbench.service.config_section import Section

_USUAL = HaltSettings()
# A condition as a file names it: "position_mismatch".
CONDITIONS: Mapping[str, MustHalt] = {condition.rpartition(".")[2]: condition for condition in MustHalt}


class HaltPolicySection(Section):
    """Approved beforehand: for this one condition of §23 the book liquidates by itself. `approved_by` is the owner who
    answers for it, `reason` why no person is to be waited for."""

    condition: str
    approved_by: str
    reason: str

    @field_validator("condition")
    @classmethod
    def _known(cls, condition: str) -> str:
        if condition not in CONDITIONS:
            raise refusal("is no condition of §23", f"one of: {', '.join(CONDITIONS)}")
        return condition

    @field_validator("approved_by", "reason")
    @classmethod
    def _said(cls, text: str) -> str:
        if not text.strip() or not text.isprintable():
            raise refusal("says nothing", "name who approved the policy, and why: it liquidates without asking anybody")
        if text.strip().lower().startswith("policy:"):
            raise refusal("is a policy itself", "a policy is approved by a person: give a name")
        return text.strip()


class HaltSection(Section):
    """When trouble that may pass by itself has lasted long enough to halt the book, in seconds; `policies` for what
    liquidates without a person. Without one, liquidation is a person's command."""

    ambiguous_after_s: int = Field(default=_USUAL.ambiguous_after_s, ge=1)
    data_degraded_after_s: int = Field(default=_USUAL.data_degraded_after_s, ge=1)
    prices_untrusted_after_s: int = Field(default=_USUAL.prices_untrusted_after_s, ge=1)
    policies: tuple[HaltPolicySection, ...] = ()

    @field_validator("policies")
    @classmethod
    def _once_each(cls, policies: tuple[HaltPolicySection, ...]) -> tuple[HaltPolicySection, ...]:
        names = [policy.condition for policy in policies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise refusal(f"names {', '.join(twice)} twice", "give one policy for each condition")
        return policies


def halt_settings(section: HaltSection) -> HaltSettings:
    """How long is too long."""
    return HaltSettings(
        ambiguous_after_s=section.ambiguous_after_s,
        data_degraded_after_s=section.data_degraded_after_s,
        prices_untrusted_after_s=section.prices_untrusted_after_s,
    )


def halt_policies(section: HaltSection) -> tuple[HaltPolicy, ...]:
    """What was approved, condition by condition, in §23's order."""
    given: dict[MustHalt, Any] = {CONDITIONS[policy.condition]: policy for policy in section.policies}
    return tuple(
        HaltPolicy(condition=condition, approved_by=given[condition].approved_by, reason=given[condition].reason)
        for condition in MustHalt
        if condition in given
    )
