"""Damage to files: a reader gives a value or refuses, whatever is hit."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from geowheel.errors import GeowheelError


def times_refused(
    read: Callable[[bytes], object],
    whole: bytes,
    *refusals: type[GeowheelError],
    times: int,
    places: Sequence[Sequence[int]] = (),
) -> int:
    """How often damaged bytes are refused by `refusals`; any other exception goes through.

    Flips up to 8 bits, each in one of the lists of `places`, or cuts the end off, or does both.
    """
    random_ = random.Random(20200101)
    refused = 0
    for _ in range(times):
        data = bytearray(whole)
        for _ in range(random_.randint(1, 8)):
            data[random_.choice(random_.choice(places or (range(len(data)),)))] ^= (
                1 << random_.randrange(8)
            )
        cut = random_.randrange(len(data)) if random_.random() < 0.3 else len(data)
        try:
            read(bytes(data[:cut]))
        except refusals:
            refused += 1
    return refused
