"""HTML that cannot be broken by what is put into it: all that is not markup already is escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable

_VOID = frozenset({"br", "input"})


class Markup(str):
    """Text that is HTML already; only the functions below make one of data."""

    __slots__ = ()


def join(*children: object) -> Markup:
    """The children one after the other; iterables in their order, None as nothing."""
    return Markup("".join(_pieces(children)))


def _pieces(children: Iterable[object]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str | int | float):
            yield html.escape(str(child), quote=True)
        elif isinstance(child, Iterable):
            yield from _pieces(child)
        else:
            raise TypeError(f"{type(child).__name__} has no place in HTML")


def tag(name: str, /, *children: object, **attributes: str | int | bool | None) -> Markup:
    """An element; `class_` is its class and `data_label` its data-label.

    An attribute that is None or False is left out, one that is True has no value.
    """
    written = "".join(
        f" {_name(key)}" + ("" if value is True else f'="{html.escape(str(value), quote=True)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def inline_json(data: object) -> Markup:
    """JSON for a script element of that type: nothing in it can end the element or begin another.

    https://html.spec.whatwg.org/multipage/scripting.html#restrictions-for-contents-of-script-elements
    """
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
