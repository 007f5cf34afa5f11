"""Search attributes, asked of and added to a real Temporal."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from temporalio.common import SearchAttributeKey
from temporalio.testing import WorkflowEnvironment

from cli.searchattributes import SEARCH_ATTRIBUTES, WrongType, ensure

TEMPORAL = shutil.which("temporal", path=str(Path(sys.executable).parent))


async def server(*known: "SearchAttributeKey[str] | SearchAttributeKey[int]") -> WorkflowEnvironment:
    return await WorkflowEnvironment.start_local(dev_server_existing_path=TEMPORAL, search_attributes=known)


def test_missing_ones_are_made_once() -> None:
    async def go() -> None:
        first, *others = SEARCH_ATTRIBUTES
        async with await server(SearchAttributeKey.for_keyword(first)) as env:
            assert await ensure(env.client) == ([first], others)
            assert await ensure(env.client) == (list(SEARCH_ATTRIBUTES), [])

    asyncio.run(go())


def test_one_of_another_type_is_told() -> None:
    async def go() -> None:
        async with await server(SearchAttributeKey.for_int("CofferPhase")) as env:
            with pytest.raises(WrongType, match="CofferPhase"):
                await ensure(env.client)

    asyncio.run(go())
