"""What the lab runs in the interpreter of a target: the standard library and installed wheels.

`case.py` is the program; the other modules hold the cases' functions, and import each other
relatively: the folder is copied beside the environments and runs there under a name of its own.
The syntax is Python 3.9's.
"""
