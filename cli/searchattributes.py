"""The search attributes that workflows carry: Temporal refuses a workflow with one that it has not been told of."""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client

from api.operations import SEARCH_ATTRIBUTES

__all__ = ["SEARCH_ATTRIBUTES", "WrongType", "ensure"]


class WrongType(Exception):
    """An attribute of ours is there, with a type that can't be changed."""


async def ensure(client: Client) -> tuple[list[str], list[str]]:
    """Tell Temporal of those that it lacks.  Gives what was there and what was made."""
    known = (
        await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
    ).custom_attributes
    wrong = [name for name in SEARCH_ATTRIBUTES if name in known and known[name] != IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD]
    if wrong:
        raise WrongType(f"namespace {client.namespace} has search attributes of another type than Keyword: {', '.join(wrong)}")
    missing = [name for name in SEARCH_ATTRIBUTES if name not in known]
    if missing:
        attributes = dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=attributes)
        )
    return [name for name in SEARCH_ATTRIBUTES if name in known], missing
