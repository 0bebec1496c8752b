"""What runs in the interpreter of a target: the probes of a wheel, and the cases of the lab.

`probe.py` is the program. The other modules hold the functions that it calls, and import each other
relatively: the folder is copied beside the environments, and runs there under a name of its own.
They use the standard library and installed wheels only, in the syntax of Python 3.9.
"""

NAMED_BUT_GONE = "not in this libgdal, but [tool.geowheel] drivers names it"
"""What is said of a driver that the configuration promises and the wheel lacks."""
