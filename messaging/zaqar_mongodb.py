"""Zaqar's management store in MongoDB.  Its documents have names of one letter:

pools       n name, u uri, w weight, o options, g group, f flavor
flavors     n name, p project, s pool_group
catalogue   one for each queue
"""

from collections.abc import Mapping
from typing import Any

from pymongo import MongoClient
from pymongo.errors import InvalidURI, PyMongoError

from messaging.zaqar import ZAQAR_DATABASE, NotZaqar, OldPool, OldShape

ANSWER_MS = 5000


def read(uri: str) -> OldShape:
    """The database is the one that the URI names.  Raises NotZaqar."""
    try:
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=ANSWER_MS, socketTimeoutMS=ANSWER_MS) as client:
            database = client.get_default_database(ZAQAR_DATABASE)
            if not {"pools", "flavors"} <= set(database.list_collection_names()):
                raise NotZaqar("There are no collections pools and flavors: this is not Zaqar's management database.")
            pools = [_old_pool(document) for document in database["pools"].find().sort("n")]
            groups: dict[str, set[str | None]] = {}
            for document in database["flavors"].find().sort("n"):
                groups.setdefault(document["n"], set()).add(document.get("s") or None)
            queues = database["catalogue"].count_documents({})
    except (InvalidURI, ValueError):
        # The parser's own words may quote the URI with its password.
        raise NotZaqar("The URI of the database is malformed.") from None
    except (KeyError, TypeError) as e:
        raise NotZaqar(f"A document of the database is not as Zaqar writes it ({e}).") from None
    except PyMongoError as e:
        raise NotZaqar(f"Zaqar's database cannot be read ({type(e).__name__}).") from None
    flavors = {name: next(iter(found)) if len(found) == 1 else None for name, found in groups.items()}
    return OldShape(pools, flavors, queues, tuple(name for name, found in groups.items() if len(found) > 1))


def _old_pool(document: Mapping[str, Any]) -> OldPool:
    options = document.get("o") or {}
    return OldPool(
        document["n"], document["u"], int(document["w"]), dict(options), document.get("g") or None, document.get("f") or None
    )
