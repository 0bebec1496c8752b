"""Coexistence: the wheel and its neighbours from the package index in one process, in any order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from .cases import (
    OURS,
    Case,
    Judge,
    Offer,
)

GROUP: Final = "coexistence"
RANDOM_ORDERS: Final = 20
SHORTEST: Final = 3


def cases(offer: Offer) -> Iterator[Case]:
    """Each library alone, ours first and last with each, and longer orders at random."""
    yield _case(f"{OURS} alone", (OURS,))
    for peer in offer.peers:
        yield _case(f"{peer} alone", (peer,))
    for peer in offer.peers:
        yield _case(f"{OURS} first, then {peer}", (OURS, peer))
        yield _case(f"{peer} first, then {OURS}", (peer, OURS))
    for peer, why in offer.lacking.items():
        yield _case(f"{OURS} and {peer}", (OURS, peer), skip=why)
    if len(offer.peers) + 1 < SHORTEST:
        return
    for number, order in enumerate(orders(offer.peers, offer.seed), 1):
        yield _case(f"order {number:02} of seed {offer.seed}: {', '.join(order)}", order)


def orders(peers: tuple[str, ...], seed: int) -> list[tuple[str, ...]]:
    """Different orders of three and more libraries, ours among them: the same for the same seed."""
    dice = random.Random(seed)
    found: dict[tuple[str, ...], None] = {}
    for _ in range(RANDOM_ORDERS * 50):  # few peers have few orders
        chosen = [OURS, *dice.sample(peers, dice.randint(SHORTEST - 1, len(peers)))]
        dice.shuffle(chosen)
        found[tuple(chosen)] = None
        if len(found) == RANDOM_ORDERS:
            break
    return list(found)


def _case(name: str, order: tuple[str, ...], *, skip: str = "") -> Case:
    return Case(
        group=GROUP,
        name=name,
        function="libraries:together",
        asked={"order": list(order)},
        peers=True,
        judge=Judge.NUMBERS,
        needs=() if skip else tuple(f"{GROUP}: {library} alone" for library in order),
        skip=skip,
    )
