# os.path throughout: pathlib would cost init a megabyte of memory.
# ruff: noqa: PTH103, PTH118, PTH123, PTH208
"""Unit files: what a unit may say, and where it is kept. Plain slotted classes: init stays small in memory."""

import json
import os
import re
import resource
import signal

from guest_agent.files import remove_durably, write_durably

UNIT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
RESTART_POLICIES = ("always", "on-failure", "no")
TYPES = ("simple", "notify")


class UnitError(Exception):
    """A request that cannot be met; `type` is the error's name on the wire."""

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_


class Unit:
    """One process that init keeps running."""

    __slots__ = (
        "argv",
        "enabled",
        "env",
        "limits",
        "log",
        "restart",
        "start_timeout",
        "stop_signal",
        "stop_timeout",
        "type",
        "user",
    )

    def __init__(self, fields: dict[str, object]) -> None:
        fields = dict(fields)
        self.argv: list[str] = _strings(fields.pop("argv", None), "argv")
        self.user: str | None = _optional_string(fields.pop("user", None), "user")
        self.env: dict[str, str] = _environment(fields.pop("env", {}))
        self.restart: str = _choice(fields.pop("restart", "always"), RESTART_POLICIES, "restart")
        self.type: str = _choice(fields.pop("type", "simple"), TYPES, "type")
        self.stop_signal: int = _signal(fields.pop("stop_signal", "SIGTERM"))
        self.stop_timeout: float = _seconds(fields.pop("stop_timeout", 60), "stop_timeout")
        self.start_timeout: float = _seconds(fields.pop("start_timeout", 120), "start_timeout")
        self.enabled: bool = _boolean(fields.pop("enabled", True), "enabled")
        self.limits: dict[int, int] = _limits(fields.pop("limits", {}))
        self.log: str | None = _optional_string(fields.pop("log", None), "log")
        if fields:
            raise UnitError("InvalidRequest", f"A unit has no field {sorted(fields)[0]!r}.")


class UnitStore:
    """The directory SERVER/units."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        os.makedirs(directory, exist_ok=True)

    def names(self) -> list[str]:
        found = (name.removesuffix(".json") for name in os.listdir(self._directory) if name.endswith(".json"))
        return sorted(name for name in found if UNIT_NAME.fullmatch(name))

    def read(self, name: str) -> Unit:
        try:
            with open(self._path(name), encoding="utf-8") as file:
                return parse(json.load(file))
        except FileNotFoundError:
            raise UnitError("UnitNotFound", f"There is no unit {name!r}.") from None
        except ValueError as error:
            raise UnitError("InvalidRequest", f"Unit {name!r} is not JSON: {error}.") from None

    def write(self, name: str, fields: object) -> Unit:
        unit = parse(fields)
        write_durably(self._path(name), json.dumps(fields, indent=1).encode())
        return unit

    def remove(self, name: str) -> None:
        remove_durably(self._path(name))

    def _path(self, name: str) -> str:
        if not UNIT_NAME.fullmatch(name):
            raise UnitError("InvalidRequest", f"{name!r} cannot be the name of a unit.")
        return os.path.join(self._directory, f"{name}.json")


def parse(fields: object) -> Unit:
    if not isinstance(fields, dict):
        raise UnitError("InvalidRequest", "A unit is a JSON object.")
    return Unit(fields)


def _strings(value: object, field: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(_is_c_string(item) for item in value):
        raise UnitError("InvalidRequest", f"{field} is a list of strings that is not empty.")
    return value


def _is_c_string(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _optional_string(value: object, field: str) -> str | None:
    if value is not None and not (isinstance(value, str) and value and "\0" not in value):
        raise UnitError("InvalidRequest", f"{field} is a string or null.")
    return value


def _environment(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(_is_c_string(item) for item in value.values()):
        raise UnitError("InvalidRequest", "env is an object of strings.")
    if any(not key or "=" in key or "\0" in key for key in value):
        raise UnitError("InvalidRequest", "env has a name that no variable can have.")
    return value


def _choice(value: object, choices: tuple[str, ...], field: str) -> str:
    if value not in choices:
        raise UnitError("InvalidRequest", f"{field} is one of {', '.join(choices)}.")
    return str(value)


def _signal(value: object) -> int:
    if not isinstance(value, str) or value not in signal.Signals.__members__:
        raise UnitError("InvalidRequest", "stop_signal is the name of a signal.")
    return int(signal.Signals[value])


def _seconds(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 86400:
        raise UnitError("InvalidRequest", f"{field} is a number of seconds, at most a day.")
    return float(value)


def _boolean(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise UnitError("InvalidRequest", f"{field} is true or false.")
    return value


def _limits(value: object) -> dict[int, int]:
    """`{"fsize": bytes, "nofile": count}`: the names of RLIMIT_*, in lower case."""
    if not isinstance(value, dict):
        raise UnitError("InvalidRequest", "limits is an object of numbers.")
    limits = {}
    for name, limit in value.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if not isinstance(number, int) or isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise UnitError("InvalidRequest", f"limits has no {name!r} of that value.")
        limits[number] = limit
    return limits
