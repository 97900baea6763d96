"""The bucket of requests, and names of hosts; the rest is asked over a socket in test_server."""

from __future__ import annotations

from recontrast.readers.limits import Allowance, _name


def test_a_bucket_fills_again_with_time() -> None:
    bucket = Allowance(per_second=2.0, burst=3)
    assert [bucket.take("a", now=10.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take("b", now=10.0)
    assert [bucket.take("a", now=11.0) for _ in range(3)] == [True, True, False]


def test_many_addresses_do_not_fill_the_memory() -> None:
    bucket = Allowance(per_second=1.0, burst=1, most=10)
    for number in range(100):
        bucket.take(str(number), now=0.0)
    assert len(bucket._left) == 10


def test_names_lose_their_port() -> None:
    assert [_name(h) for h in ("localhost:80", "127.0.0.1", "[::1]:8642", "")] == [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "",
    ]
