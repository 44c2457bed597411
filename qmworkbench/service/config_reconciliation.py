"""`[reconciliation]`: when the broker is asked, and what is concluded from its answers (§14)."""

from typing import TYPE_CHECKING, TypeAlias

from qmworkbench.domain.safety import ReconciliationSettings
from qmworkbench.service.config_section import Section, section_of

if TYPE_CHECKING:  # made at run time, so that a type checker sees its base alone
    ReconciliationSection: TypeAlias = Section
else:
    ReconciliationSection = section_of(ReconciliationSettings, ReconciliationSettings())
