"""Being told to end in any way is an interrupt to commands that clear away what they have started."""

import signal
from types import FrameType


def interrupt_on_termination() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
