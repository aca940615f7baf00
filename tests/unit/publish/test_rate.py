from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.publish.rate import Rate, TokenBucket


@given(
    burst=st.integers(1, 20),
    per_s=st.floats(0.01, 10.0),
    waits_s=st.lists(st.floats(0.0, 5.0), max_size=60),
)
def test_in_any_time_no_more_is_allowed_than_the_burst_and_what_came_since(
    burst: int, per_s: float, waits_s: list[float]
) -> None:
    now_s, bucket, allowed_s = 100.0, TokenBucket(Rate(burst, per_s), 100.0), list[float]()
    for wait_s in waits_s:
        now_s += wait_s
        if bucket.take(now_s):
            allowed_s.append(now_s)
    for i, start_s in enumerate(allowed_s):
        for j in range(i, len(allowed_s)):
            assert j - i + 1 <= burst + (allowed_s[j] - start_s) * per_s + 1e-6


def test_a_bucket_is_full_again_after_a_while() -> None:
    bucket = TokenBucket(Rate(burst=2, per_s=0.5), 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(4.0) for _ in range(3)] == [True, True, False]
