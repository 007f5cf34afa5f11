"""An empty data directory: copied from the template that fits, or made by the engine's own program."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guest_agent.files import sync_filesystem
from guest_agent.programs import run_program
from guest_agent.settings import own_account
from guest_agent.template import directory as templates

USUAL_ACCOUNT = "mysql"
TEMPLATE_REDO_LOG_MB = 4
"""The smallest there is: the server makes its log anew, of its own size, when it first starts."""


def fill(fresh: Path, account: str | None, redo_log_mb: int, template_dir: Path | None) -> None:
    """What is in `fresh` is on disk when this returns."""
    if template_dir is None or not templates.copy(template_dir, identity(), fresh, account):
        install(fresh, account, redo_log_mb)
        sync_filesystem(str(fresh))


def make_template(directory: Path, engine_user: str | None) -> Path:
    account = (engine_user or USUAL_ACCOUNT) if os.geteuid() == 0 else None

    def fill_template(data: Path) -> None:
        if account:
            shutil.chown(data, account)
        install(data, account, TEMPLATE_REDO_LOG_MB)

    return templates.make(directory, identity(), fill_template)


def identity() -> templates.Identity:
    """Tables, accounts and their format are those of this very build of the server and these options."""
    version = run_program(["mariadbd", "--no-defaults", "--version"]).strip()
    return templates.Identity("mariadb", version, _options())


def install(fresh: Path, account: str | None, redo_log_mb: int) -> None:
    arguments = [
        "mariadb-install-db",
        *_options(),
        f"--datadir={fresh}",
        f"--innodb-log-file-size={redo_log_mb}M",
        # A crash throws the directory away, so nothing needs to be on disk before the server's clean end.
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
    ]
    if account:
        arguments.append(f"--user={account}")
    with _temporary_directory(fresh, account) as temporary:
        run_program([*arguments, f"--tmpdir={temporary}"])


@contextmanager
def _temporary_directory(fresh: Path, account: str | None) -> Iterator[Path]:
    """Of this attempt alone: a server that starts removes every temporary table it finds there, those of others too."""
    path = fresh.with_name(f"{fresh.name}.tmp")
    path.mkdir(mode=0o700)
    if account:
        shutil.chown(path, account)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _options() -> tuple[str, ...]:
    """What decides on the content. There is no password in it: whoever is `own_account` gets in over the socket."""
    return (
        "--no-defaults",
        "--auth-root-authentication-method=socket",
        f"--auth-root-socket-user={own_account()}",
        "--skip-test-db",
    )
