"""Standard output of the commands."""

import sys

from rich.console import Console

UNFOLDED = 10_000
"""Columns where standard output is no terminal. Otherwise rich would fold or cut tables at 80, in a pipe or a log."""


def create_console() -> Console:
    """A console on standard output, as wide as the terminal if it is one."""
    return Console(width=None if sys.stdout.isatty() else UNFOLDED)


console = create_console()


def tell(line: str) -> None:
    """Print a line of progress without markup, at once."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
