"""An option given twice is refused: whichever of its values was left out, somebody believes it was used (§8)."""

from collections import Counter
from typing import Any

from typer.core import TyperCommand


class GivenOnce(TyperCommand):
    """A command none of whose options may be given twice, but those that say they may and plain flags."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As ever, once nothing was said twice. Ends the command with a usage error that names the option."""
        *_, order = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(order).items():
            once: Any = option
            switch = once.is_flag and not once.secondary_opts if option.param_type_name == "option" else False
            if times > 1 and option.nargs == 1 and not getattr(once, "multiple", False) and not switch:
                ctx.fail(f"{option.opts[0]} was given {times} times and can have one value: give it once.")
        return super().parse_args(ctx, args)
