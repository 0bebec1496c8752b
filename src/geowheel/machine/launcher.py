"""Runs one command on Linux, and leaves nothing of it behind.

A program, started for each command: it imports what costs nothing, neither signal nor typing. Its
input has the command's environment, and is held open while somebody waits for the command. Orphans
become its children, whatever session they made (PR_SET_CHILD_SUBREAPER, prctl(2)), and are killed
once the command has ended, or nobody waits any more.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import resource
import sys

SUBREAPER = 36
SIGKILL, SIGPIPE, SIGXFSZ = 9, 13, 25


def main(program: str, argv: list[str]) -> int:
    """Run the command to its end; its exit code, or minus the signal that ended it."""
    size = int(sys.stdin.buffer.readline())
    settings = filter(None, sys.stdin.buffer.read(size).split(b"\0"))
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    try:
        command = os.posix_spawn(
            program, argv, {key: value for key, _, value in (s.partition(b"=") for s in settings)},
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            setsigdef=[SIGPIPE, SIGXFSZ],  # Python ignores these
        )  # fmt: skip
    except OSError as error:
        sys.stderr.write(f"{program}: {error.strerror}\n")
        return 126  # as shells say it
    _thread.start_new_thread(end_with_the_input, (command,))
    while (ended := os.wait())[0] != command:
        pass
    while kill_children():
        os.wait()
    return os.waitstatus_to_exitcode(ended[1])


def end_with_the_input(command: int) -> None:
    """Kill the command once nobody waits for it; `main` does the same to the rest."""
    os.read(0, 1)
    os.kill(command, SIGKILL)


def kill_children() -> int:
    """Return how many processes whose parent this one is were killed (proc_pid_stat(5))."""
    killed = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    os.kill(int(name), SIGKILL)
                    killed += 1
        except OSError:  # it ended in between, or is somebody else's by now
            pass
    return killed


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2:])
    if code < 0:  # to end as the command did, without a core file of its own
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), -code)
    os._exit(code)
