"""Each engine as an application uses it: over its own protocol, with its own driver."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import psycopg
import pymysql
import redis

from cli.errors import CliError

TIMEOUT = 10


@dataclass(frozen=True)
class Login:
    host: str
    user: str
    password: str
    database: str


@dataclass(frozen=True)
class Used:
    """What a visit has seen: the server's version, and how many visits its data remember."""

    version: str
    visits: int


@dataclass(frozen=True)
class Engine:
    datastore: str
    version: str
    url: str
    shell: str
    visit: Callable[[Login], Used]
    statement: str
    has_databases: bool = True


def use_mariadb(login: Login) -> Used:
    with (
        pymysql.connect(
            host=login.host,
            user=login.user,
            password=login.password,
            database=login.database,
            connect_timeout=TIMEOUT,
            autocommit=True,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE TABLE IF NOT EXISTS visits (id INT AUTO_INCREMENT PRIMARY KEY, at TIMESTAMP)")
        cursor.execute("INSERT INTO visits (at) VALUES (NOW())")
        cursor.execute("SELECT VERSION(), COUNT(*) FROM visits")
        row = cursor.fetchone()
    assert row is not None
    return Used(str(row[0]), int(row[1]))


def use_postgresql(login: Login) -> Used:
    with psycopg.connect(
        host=login.host, user=login.user, password=login.password, dbname=login.database, connect_timeout=TIMEOUT
    ) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS visits (id SERIAL PRIMARY KEY, at TIMESTAMPTZ)")
        connection.execute("INSERT INTO visits (at) VALUES (now())")
        row = connection.execute("SELECT current_setting('server_version'), count(*) FROM visits").fetchone()
    assert row is not None
    return Used(str(row[0]), int(row[1]))


def use_redis(login: Login) -> Used:
    with redis.Redis(host=login.host, username=login.user, password=login.password, socket_timeout=TIMEOUT) as client:
        visits = client.incr("visits")
        server = cast(Mapping[str, str], client.info("server"))
    return Used(server["redis_version"], visits)


def use(engine: Engine, login: Login) -> Used:
    """One visit.  Raises CliError with what the driver says."""
    try:
        return engine.visit(login)
    except (pymysql.MySQLError, psycopg.Error, redis.RedisError, OSError) as e:
        raise CliError(f"{engine.datastore} at {login.host} can't be used: {e}") from e


ENGINES: Mapping[str, Engine] = {
    "mariadb": Engine(
        "mariadb",
        "10.11",
        "mysql://{user}:{password}@{host}:3306/{database}",
        "MYSQL_PWD={password} mariadb --host={host} --user={user} {database}",
        use_mariadb,
        "INSERT INTO visits ...; SELECT VERSION(), COUNT(*) FROM visits",
    ),
    "postgresql": Engine(
        "postgresql",
        "15",
        "postgresql://{user}:{password}@{host}:5432/{database}",
        "PGPASSWORD={password} psql --host={host} --username={user} {database}",
        use_postgresql,
        "INSERT INTO visits ...; SELECT version, count(*) FROM visits",
    ),
    "redis": Engine(
        "redis",
        "7.0",
        "redis://{user}:{password}@{host}:6379/0",
        "REDISCLI_AUTH={password} redis-cli -h {host} --user {user}",
        use_redis,
        "INCR visits; INFO server",
        has_databases=False,
    ),
}
