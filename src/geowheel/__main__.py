"""`python -m geowheel`."""

import os
import signal
import sys

from .cli import main

# As Ctrl-C: what was started, in sessions of its own, is ended, and nothing half-made stays.
signal.signal(signal.SIGTERM, signal.default_int_handler)
code = main()
sys.stdout.flush()
sys.stderr.flush()
# Not sys.exit: py-rattler's threads, left from a channel that did not answer, have aborted the
# interpreter while it was taken down. All that is ours is closed by now.
os._exit(code)
