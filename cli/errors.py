"""What goes wrong for a user: one line that says it, one that says what to do next, and an exit code."""

import sys
from typing import IO, Any, ClassVar

import click

FAILED = 1
ALREADY_RUNNING = 3
NOT_RUNNING = 4


class CliError(click.ClickException):
    """Shown without a traceback.  `hint` names the next step."""

    exit_code: ClassVar[int] = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        out = file or sys.stderr
        click.echo(f"{click.style('Error:', fg='red')} {self.message}", file=out)
        if self.hint:
            click.echo(f"{click.style(' Next:', fg='yellow')} {self.hint}", file=out)


class AlreadyRunning(CliError):
    exit_code: ClassVar[int] = ALREADY_RUNNING
