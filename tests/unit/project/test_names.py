"""A distribution's name, wherever its backend reads it."""

from collections.abc import Mapping

import pytest

from geowheel.project.names import distribution_name


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"setup.cfg": "[metadata]\nname = a\n"}, "a"),
        ({"setup.py": "import setuptools\nsetuptools.setup(version='1', name='a')\n"}, "a"),
        ({"setup.py": "arguments = dict(name='a')\nsetup(**arguments)\n"}, "a"),
        ({"setup.py": "arguments = {'name': 'a', **other}\nsetup(**arguments)\n"}, "a"),
        ({"setup.py": "setup(name=read())\nExtension(name='b')\n"}, None),
        ({"setup.py": "print 'Python 2'\n", "setup.cfg": "[metadata\n"}, None),
        ({}, None),
    ],
)
def test_what_is_written_is_found(texts: Mapping[str, str], expected: str | None) -> None:
    assert distribution_name({}, texts) == expected
    assert distribution_name({"project": {"name": "own"}}, texts) == "own"
    assert distribution_name({"tool": {"poetry": {"name": "poet"}}}, texts) == "poet"
