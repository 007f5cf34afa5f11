"""Kills a process, or its whole server, at planned calls and returns of functions: the plan is a file, each item is struck out once."""

import functools
import importlib
import importlib.util
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any


def install(plan: Path) -> None:
    """The plan: a list of ["module:qualified name", "call" or "return", "process" or "server"]."""
    if not plan.exists():
        return
    for function in {function for function, _, _ in json.loads(plan.read_text())}:
        module, _, name = function.partition(":")
        if importlib.util.find_spec(module) is None:
            # The watcher's own; this is the agent of a release that has none like it.
            continue
        *owners, last = name.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        setattr(owner, last, _mortal(plan, function, getattr(owner, last)))


def _mortal(plan: Path, function: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        _end_if_planned(plan, function, "call")
        result = original(*arguments, **named)
        _end_if_planned(plan, function, "return")
        return result

    return call


def _end_if_planned(plan: Path, function: str, event: str) -> None:
    planned = json.loads(plan.read_text())
    for whom in ("process", "server"):
        if [function, event, whom] in planned:
            planned.remove([function, event, whom])
            fresh = plan.with_suffix(f".{os.getpid()}")
            fresh.write_text(json.dumps(planned))
            fresh.replace(plan)
            os.kill(os.getpid() if whom == "process" else os.getppid(), signal.SIGKILL)
            # The server's init takes its children with it.
            signal.pause()
