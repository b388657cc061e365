"""A command that takes one prompt as NAME[@VERSION], and says so to those who write the version beside the name."""

from typing import NoReturn

import click


class ReferenceCommand(click.Command):
    """A command whose first argument is `reference_argument`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; where one is left over and one is a number, say how that version is chosen."""
        ctx.allow_extra_args = True
        left = super().parse_args(ctx, args)
        if left and not ctx.resilient_parsing:
            _refuse(ctx, left)
        return left


def _refuse(ctx: click.Context, left: list[str]) -> NoReturn:
    arguments = [parameter.name or "" for parameter in ctx.command.params if isinstance(parameter, click.Argument)]
    given: list[str] = [ctx.params[name] for name in arguments] + left
    reference, *others = given
    numbers = [text for text in others if text.isdecimal()]
    if len(left) == len(numbers) == 1:
        words = [f"{reference.partition('@')[0]}@{numbers[0]}", *(text for text in others if text not in numbers)]
        ctx.fail(f"the version stands with the name: `{ctx.command_path} {' '.join(words)}`")
    ctx.fail(f"Got unexpected extra arguments ({' '.join(left)})")
