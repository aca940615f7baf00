"""Makes hostile inputs out of good ones: a few small wounds, then a few more.

Deterministic: a case is made of its number alone, so any failure can be made again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

MAX_BYTES = 1 << 16
_NUMBERS = (
    b"-1", b"0", b"1e999", b"-1e999", b"NaN", b"Infinity", b"9223372036854775808",
    b"99999999999999999999999999", b"0x7fffffff", b"1.5", b"null", b"true",
)  # fmt: skip
_WORDS = (
    b"\x00", b"\xff\xfe", b"\r\n", b"\r\n\r\n", b"%s%n", b"../../../../etc/passwd", b"//",
    b"\xe2\x80\xae", b"\xed\xa0\x80", b"'", b'"', b"\\", b"{}", b"[]", b"[" * 3000, b"{" * 3000,
    b"A" * 5000, b"$(id)", b"\x1b[2J",
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def mutate(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """Return one of ``seeds`` with one to eight wounds.

    Args:
        rng: Where chance comes from.
        seeds: Good inputs; at least one.
        words: What means something to the parser, besides the words that trouble all.
    """
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 8))):
        _wound(rng, data, seeds, (*words, *_WORDS))
    return bytes(data[:MAX_BYTES])


def _wound(
    rng: random.Random, data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes]
) -> None:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 1, 2, 4, 8, 32, 256)))
    match rng.randrange(9):
        case 0 if data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        case 1 if data:
            data[at % len(data)] = rng.randrange(256)
        case 2:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16, 64)))
        case 3:
            del data[at:end]
        case 4:
            data[at:at] = bytes(data[at:end]) * rng.choice((1, 2, 50))
        case 5:
            data[at:end] = rng.choice(words)
        case 6:
            other = rng.choice(seeds)
            start = rng.randrange(len(other) + 1)
            data[at:end] = other[start : start + 64]
        case 7:
            _replace_number(rng, data)
        case _:
            del data[at:]


def _replace_number(rng: random.Random, data: bytearray) -> None:
    found = [match.span() for match in _NUMBER.finditer(data)]
    if found:
        start, end = rng.choice(found)
        data[start:end] = rng.choice(_NUMBERS)
