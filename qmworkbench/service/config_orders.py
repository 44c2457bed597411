"""How a configured instance's orders are made: the `orders` table of `[[strategies]]` (§13)."""

from typing import TYPE_CHECKING, TypeAlias

from qmworkbench.domain.orders import OrderStyle
from qmworkbench.service.config_section import Section, section_of
from qmworkbench.trading import order_styles

if TYPE_CHECKING:  # made at run time, so that a type checker sees its base alone
    OrdersSection: TypeAlias = Section
else:
    OrdersSection = section_of(OrderStyle, OrderStyle())


def style_of(section: Section) -> OrderStyle:
    """The style that a table of settings describes."""
    return OrderStyle(**section.model_dump())


def order_problems(section: Section) -> list[tuple[str, object, str, str]]:
    """What makes no sense in it, setting by setting: (key, value, problem, remedy)."""
    found = order_styles.problems(style_of(section))
    return [(f"orders.{name}", value, problem, remedy) for name, value, problem, remedy in found]
