"""Damage to files: a reader gives a value or refuses, whatever is hit."""

import random
from collections.abc import Sequence


def damaged(whole: bytes, seed: int, places: Sequence[Sequence[int]] = ()) -> bytes:
    """Flip up to 8 bits, each in one of the lists of `places`, or cut the end off, or do both."""
    random_ = random.Random(seed)
    data = bytearray(whole)
    for _ in range(random_.randint(1, 8)):
        place = random_.choice(random_.choice(places or (range(len(data)),)))
        data[place] ^= 1 << random_.randrange(8)
    return bytes(data[: random_.randrange(len(data)) if random_.random() < 0.3 else len(data)])
