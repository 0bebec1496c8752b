"""What runs in the interpreter of a target: standard library and installed wheels, Python 3.9.

`case.py` is the program; the other modules hold the cases' functions, and import each other
relatively: the folder is copied beside the environments and runs there under a name of its own.
geowheel itself imports none of it.
"""
