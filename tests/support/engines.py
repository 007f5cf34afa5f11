"""Using a database as its tenant would: over the network, with the engine's own protocol."""

import psycopg
import pymysql
import redis


def usable(engine: str, host: str, user: str, password: str) -> bool:
    """Whether something written can be read back; False while nothing answers."""
    try:
        return {"mariadb": _mariadb, "postgresql": _postgresql, "redis": _redis}[engine](host, user, password)
    except (pymysql.err.OperationalError, psycopg.OperationalError, redis.ConnectionError):
        return False


def _mariadb(host: str, user: str, password: str) -> bool:
    with pymysql.connect(host=host, user=user, password=password, database="app", connect_timeout=5) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE IF NOT EXISTS t (n INT)")
        cursor.execute("INSERT INTO t VALUES (1)")
        cursor.execute("SELECT count(*) FROM t")
        return bool(cursor.fetchone())


def _postgresql(host: str, user: str, password: str) -> bool:
    with psycopg.connect(host=host, user=user, password=password, dbname="app", connect_timeout=5) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (n INT)")
        connection.execute("INSERT INTO t VALUES (1)")
        return bool(connection.execute("SELECT count(*) FROM t").fetchone())


def _redis(host: str, user: str, password: str) -> bool:
    with redis.Redis(host=host, username=user, password=password, socket_timeout=5) as client:
        client.set("t", "1")
        return client.get("t") == b"1"
