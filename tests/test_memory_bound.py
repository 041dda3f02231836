"""What settings say about memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.setting_relations import CACHES, READER_BYTES, memory_bound
from gateway.settings import Settings


@pytest.mark.parametrize("key", CACHES)
def test_each_cache_is_a_part_of_the_memory(key: str) -> None:
    settings = Settings()
    more = replace(settings, **{key: getattr(settings, key) + 12345})
    assert memory_bound(more) - memory_bound(settings) == 12345


def test_readers_of_history_are_a_part_of_the_memory() -> None:
    settings = Settings()
    more = replace(settings, replay_readers=settings.replay_readers + 1)
    assert memory_bound(more) - memory_bound(settings) == READER_BYTES
