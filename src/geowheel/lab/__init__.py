"""The test lab: what a wheel meets on users' systems and beside other libraries, as cases.

A case is a frozen value (`cases`); `groups` makes all of them, `running` starts each in a process
of its own, `judging` says what its end means. What runs there is in `geowheel.probes`.
"""
