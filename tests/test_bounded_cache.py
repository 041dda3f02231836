"""The cache that is bounded in bytes."""

from __future__ import annotations

from gateway.bounded_cache import BoundedCache


def kept(cache: BoundedCache[str, int]) -> list[str]:
    return [key for key, _ in cache.entries()]


def test_the_least_recently_used_goes_first() -> None:
    cache: BoundedCache[str, int] = BoundedCache(30)
    for number, key in enumerate("abc"):
        cache.put(key, number, 10)
    assert cache.get("a") == 0
    cache.put("d", 3, 10)
    assert kept(cache) == ["c", "a", "d"]
    assert cache.get("b") is None
    assert cache.size == 30


def test_an_entry_counts_with_its_overhead_and_what_it_grows() -> None:
    cache: BoundedCache[str, int] = BoundedCache(30, overhead=5)
    cache.put("a", 0, 5)
    cache.put("b", 1, 5)
    assert cache.size == 20
    cache.grow("a", 10)
    assert (kept(cache), cache.size) == (["a", "b"], 30)
    cache.grow("b", 1)
    assert (kept(cache), cache.size) == (["b"], 11)
    cache.grow("a", 100)
    assert cache.size == 11


def test_another_value_takes_the_place_of_the_one_before() -> None:
    cache: BoundedCache[str, int] = BoundedCache(30)
    cache.put("a", 0, 10)
    cache.put("a", 1, 20)
    assert (cache.get("a"), cache.size) == (1, 20)
    cache.remove("a")
    cache.remove("a")
    assert (kept(cache), cache.size) == ([], 0)


def test_what_is_larger_than_the_cache_puts_nothing_out() -> None:
    cache: BoundedCache[str, int] = BoundedCache(30)
    cache.put("a", 0, 10)
    cache.put("b", 1, 10)
    cache.put("b", 2, 31)
    assert (kept(cache), cache.size) == (["a"], 10)
    cache.clear()
    assert (kept(cache), cache.size) == ([], 0)
