"""Private database servers for tests: real PostgreSQL and MariaDB from the distribution's packages, each gone with its test run.

A server dies with the thread that started it, so start one from the main thread (a session fixture does).
"""

import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

START_SECONDS = 60.0
USER = "coffer"
# Characters that a URL, an INI file or a shell would treat specially, so that careless handling of a URL shows.
PASSWORD = "per%cent@colon:slash/"


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server; gives the SQLAlchemy URL of an empty database in it."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    with _directory("cpg-", "postgres") as home:
        password_file = home / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o644)
        data = home / "data"
        initdb = [programs / "initdb", "-D", data, "-U", USER, f"--pwfile={password_file}", "-A", "scram-sha-256", "-E", "UTF8"]
        _run([*initdb, "--locale=C", "--no-sync"], "postgres")
        host, port = _free_endpoint()
        settings = {
            "listen_addresses": host,
            "port": port,
            "unix_socket_directories": home,
            "fsync": "off",
            "max_connections": 100,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        url = URL.create("postgresql+psycopg", USER, PASSWORD, host, port, "postgres")
        with (
            _server([programs / "postgres", "-D", data, *options], "postgres", url, home, signal.SIGINT),
            empty_database(url) as database,
        ):
            yield database


@contextlib.contextmanager
def mariadb() -> Iterator[str]:
    """A MariaDB server with its built-in defaults (latin1!); gives the SQLAlchemy URL of an empty database in it."""
    programs = [shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("mariadb-install-db", "mariadbd")]
    if None in programs:
        raise FileNotFoundError("MariaDB is not installed: apt-get install mariadb-server")
    install, daemon = programs
    with _directory("cmy-", "mysql") as home:
        data = home / "data"
        _run(
            # A server that starts removes every temporary table in its directory for them: not in one that others use.
            [
                install,
                "--no-defaults",
                f"--datadir={data}",
                f"--tmpdir={home}",
                "--skip-test-db",
                "--auth-root-authentication-method=socket",
            ],
            "mysql",
        )
        accounts = home / "accounts.sql"
        accounts.write_text(f"CREATE USER {USER}@'127.%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO {USER}@'127.%';\n")
        accounts.chmod(0o644)
        host, port = _free_endpoint()
        settings = {
            "datadir": data,
            "tmpdir": home,
            "bind-address": host,
            "port": port,
            "socket": home / "socket",
            "pid-file": home / "pid",
            "init-file": accounts,
            "innodb-flush-log-at-trx-commit": 0,
            "innodb-buffer-pool-size": "64M",
        }
        options = ["--no-defaults", "--skip-name-resolve", *(f"--{name}={value}" for name, value in settings.items())]
        url = URL.create("mysql+pymysql", USER, PASSWORD, host, port, "mysql")
        with _server([daemon, *options], "mysql", url, home, signal.SIGTERM), empty_database(url) as database:
            yield database


@contextlib.contextmanager
def empty_database(server: URL | str) -> Iterator[str]:
    """A new database beside the one that `server` names, dropped afterwards."""
    url = make_url(server)
    name = f"coffer_{secrets.token_hex(4)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        force = " WITH (FORCE)" if url.get_backend_name() == "postgresql" else ""
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}{force}"))


@contextlib.contextmanager
def _directory(prefix: str, owner: str) -> Iterator[Path]:
    """A short path (Unix sockets end at 108 characters) that belongs to the account the server runs as."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(path, owner, pwd.getpwnam(owner).pw_gid)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.contextmanager
def _server(command: Sequence[object], owner: str, url: URL, home: Path, stop: signal.Signals) -> Iterator[None]:
    log = home / "log"
    with log.open("wb") as output:
        leash = ["setpriv", "--pdeathsig", "KILL", *_become(owner)]
        process = subprocess.Popen([*leash, *map(str, command)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=home)
    try:
        _await_answer(url, process, log)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(url: URL, process: subprocess.Popen[bytes], log: Path) -> None:
    engine = create_engine(url, poolclass=NullPool)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
            return
        except OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{log.parent.name}: the server gives no answer:\n{log.read_text(errors='replace')[-4000:]}"
                ) from None
        time.sleep(0.1)


def _run(command: Sequence[object], owner: str) -> None:
    done = subprocess.run(
        ["setpriv", *_become(owner), *map(str, command)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _become(owner: str) -> list[str]:
    """Both servers refuse to run as root; anybody else runs them as themselves."""
    return ["--reuid", owner, "--regid", owner, "--init-groups"] if os.geteuid() == 0 else ["--no-new-privs"]


def _free_endpoint() -> tuple[str, int]:
    host = f"127.{random.randint(16, 250)}.{random.randint(1, 254)}.{random.randint(1, 254)}"
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return host, port
