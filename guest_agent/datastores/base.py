"""What every engine must be able to do, and what is the same for all of them."""

import os
import pwd
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from guest_agent.errors import (
    EngineFailed,
    EngineUnavailable,
    UserNotFound,
)
from guest_agent.files import sync_directory, write_durably
from guest_agent.services import Services
from guest_agent.settings import Settings
from guest_agent.specs import Account, DatabaseSpec, User, UserSpec

ENGINE = "engine"
LOG_TAIL_LINES = 12
LOG_TAIL_BYTES = 8192


@dataclass(frozen=True)
class EngineStatus:
    state: str
    version: str | None = None


class Datastore(ABC):
    """One engine on this server. Methods that change something bring about an end: to run them again is harmless."""

    standard_port: ClassVar[int]
    usual_account: ClassVar[str]
    admin: ClassVar[str] = "os_admin"
    root_name: ClassVar[str] = "root"

    def __init__(self, settings: Settings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self.port = settings.port or self.standard_port
        self.account = settings.engine_account(self.usual_account)
        self.data = settings.data_dir / "data"
        self.log_file = settings.log_dir / "engine.log"
        self._making_password = threading.Lock()

    # What an engine provides.

    @abstractmethod
    def fill(self, fresh: Path) -> None:
        """Make an empty database in this directory."""

    @abstractmethod
    def configure(self) -> None:
        """Write the engine's configuration for this server's address and memory."""

    @abstractmethod
    def unit(self) -> dict[str, Any]:
        """How init runs the engine, without what is the same for all engines."""

    @abstractmethod
    def secure(self) -> None:
        """Leave no account but the agent's own."""

    @abstractmethod
    def query_version(self) -> str:
        """The version that the running engine reports; EngineUnavailable if it does not answer."""

    @abstractmethod
    def check_database(self, database: DatabaseSpec) -> None:
        """Refuse what can be no database here, without asking the engine."""

    @abstractmethod
    def check_account(self, account: Account) -> None:
        """Refuse what can be no user here, without asking the engine."""

    @abstractmethod
    def database_names(self) -> list[str]: ...

    @abstractmethod
    def create_database(self, database: DatabaseSpec) -> None: ...

    @abstractmethod
    def drop_database(self, name: str) -> None: ...

    @abstractmethod
    def users(self) -> list[User]: ...

    @abstractmethod
    def create_user(self, user: UserSpec) -> None:
        """With exactly this password and access to these databases."""

    @abstractmethod
    def drop_user(self, account: Account) -> None: ...

    @abstractmethod
    def rename_user(self, old: Account, new: Account) -> None:
        """Nothing to do if `old` is gone and `new` is there."""

    @abstractmethod
    def set_password(self, account: Account, password: str) -> None: ...

    @abstractmethod
    def grant(self, account: Account, databases: Sequence[str]) -> None: ...

    @abstractmethod
    def revoke(self, account: Account, database: str) -> None: ...

    @abstractmethod
    def root_enabled(self) -> bool: ...

    @abstractmethod
    def enable_root(self, password: str) -> None: ...

    @abstractmethod
    def disable_root(self) -> None: ...

    def check_options(self, databases: Sequence[DatabaseSpec]) -> None:
        """Refuse options that the running engine does not know, before anything is made."""
        return

    # What is the same for all.

    def is_initialised(self) -> bool:
        """Whether the data directory holds a database."""
        return self.data.is_dir()

    def initialise(self) -> None:
        """Under another name, renamed when whole: what a killed attempt has left is never taken for a database."""
        if self.is_initialised():
            return
        self._remove_left_behind()
        fresh = self.engine_directory(self.settings.data_dir / f"data.{os.urandom(4).hex()}")
        self.fill(fresh)
        fresh.rename(self.data)
        sync_directory(str(self.data.parent))
        # A program of a killed attempt may have gone on writing until now.
        self._remove_left_behind()

    def status(self) -> EngineStatus:
        if not self.is_initialised():
            return EngineStatus("none")
        try:
            return EngineStatus("running", self.query_version())
        except (EngineUnavailable, EngineFailed):
            return EngineStatus("stopped")

    def show_user(self, account: Account) -> User:
        for user in self.users():
            if user.account == account:
                return user
        raise UserNotFound(f"There is no user {account}.")

    def define_unit(self, enabled: bool) -> None:
        common = {"user": self.account, "restart": "always", "enabled": enabled, "log": str(self.log_file)}
        self.services.define(ENGINE, {**common, **self.unit()})

    def start(self) -> None:
        """Start the engine, now and whenever the server boots. Returns when it has said that it is ready."""
        self.define_unit(enabled=True)
        log_size = self.log_file.stat().st_size if self.log_file.exists() else 0
        try:
            self.services.start(ENGINE)
        except EngineFailed as error:
            raise EngineFailed(f"{error} {self._log_since(log_size)}".strip()) from None

    def stop(self) -> None:
        """Stop the engine, and leave it so when the server boots."""
        self.define_unit(enabled=False)
        self.services.stop(ENGINE)

    def hides_from_log(self, line: str) -> bool:
        """Whether a line of the engine's log may quote what a client has sent."""
        return False

    def _log_since(self, position: int) -> str:
        with self.log_file.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(position, size - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return " | ".join([line for line in lines if not self.hides_from_log(line)][-LOG_TAIL_LINES:])

    def admin_password(self) -> str:
        """Made on this server, kept in a file of the agent's own, and known nowhere else."""
        path = self.settings.state_dir / f"{self.admin}.password"
        with self._making_password:
            if not path.exists():
                write_durably(str(path), os.urandom(24).hex().encode())
        return path.read_text(encoding="ascii")

    def engine_directory(self, path: Path, mode: int = 0o700) -> Path:
        """A directory that belongs to the engine, below one it may pass through."""
        path.parent.chmod(path.parent.stat().st_mode | 0o011)
        path.mkdir(exist_ok=True)
        if self.account:
            shutil.chown(path, self.account, pwd.getpwnam(self.account).pw_gid)
        path.chmod(mode)
        return path

    def write_configuration(self, name: str, content: str) -> None:
        """A file for the engine to read; what is in it is no secret."""
        path = self.configuration_file(name)
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o755)
        write_durably(str(path), content.encode(), mode=0o644)

    def configuration_file(self, name: str) -> Path:
        return self.settings.state_dir / "conf" / name

    def _remove_left_behind(self) -> None:
        for left_behind in self.settings.data_dir.glob("data.*"):
            shutil.rmtree(left_behind, ignore_errors=True)
