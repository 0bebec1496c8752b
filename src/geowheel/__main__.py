"""`python -m geowheel`."""

from .cli import entry

entry()
