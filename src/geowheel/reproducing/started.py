"""Copies a checkout and becomes a command there: UMASK CORES SOURCE GOAL COMMAND..."""

import os
import shutil
import sys

if __name__ == "__main__":
    umask, cores, source, goal, *command = sys.argv[1:]
    os.umask(int(umask, 8))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    if not {*os.listdir(source)} <= {*os.listdir(goal)}:  # noqa: PTH208 - nothing is imported for it
        shutil.copytree(source, goal, symlinks=True, dirs_exist_ok=True)
    os.chdir(goal)
    os.execvp(command[0], command)
