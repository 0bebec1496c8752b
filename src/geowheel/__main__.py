"""`python -m geowheel`."""

from geowheel.cli import entry

entry()
