"""Runs one command in Linux namespaces of its own: no network, and nothing to write but its own.

A program, started for each command where there is no bubblewrap: NUMBER FOLDER... COMMAND...
Linux 5.12 or newer (mount_setattr(2)). Every file that the user can read can still be read.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x40000000
BIND, REC, PRIVATE = 0x1000, 0x4000, 0x40000
MOUNT_SETATTR = 442  # on every architecture
CURRENT, RECURSIVE, READ_ONLY = -100, 0x8000, 1
CAPBSET_DROP, NO_NEW_PRIVS = 24, 38
FLAGS, UP = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP: netdevice(7)


def main(folders: list[str], command: list[str]) -> None:
    """Become the command; raises OSError where the kernel forbids it."""
    user, group = os.getuid(), os.getgid()
    call("unshare", NEWNS | NEWUTS | NEWIPC | NEWUSER | NEWNET)
    for name, text in ("setgroups", "deny"), ("uid_map", user), ("gid_map", group):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - nothing more is imported
            file.write(text if text == "deny" else f"{text} {text} 1")
    with socket.socket() as local:  # 127.0.0.1 stays
        fcntl.ioctl(local, FLAGS, struct.pack("16sh14x", b"lo", UP))
    call("mount", None, b"/", None, REC | PRIVATE, None)
    # A kept command is given again when the run's temporary folder is gone.
    folders = [*filter(os.path.exists, folders), "/dev", "/proc"]
    for folder in folders:
        call("mount", os.fsencode(folder), os.fsencode(folder), None, BIND | REC, None)
    read_only("/", struct.pack("4Q", READ_ONLY, 0, 0, 0))
    for folder in folders:
        read_only(folder, struct.pack("4Q", 0, READ_ONLY, 0, 0))
    os.chdir(os.getcwd())  # noqa: PTH109 - it was below the mounts
    for capability in range(64):
        ctypes.CDLL(None).prctl(CAPBSET_DROP, capability, 0, 0, 0)
    call("prctl", NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execvp(command[0], command)


def read_only(folder: str, attributes: bytes) -> None:
    """Set or clear what is in a mount_attr of everything below a folder."""
    path = os.fsencode(folder)
    call("syscall", MOUNT_SETATTR, CURRENT, path, RECURSIVE, attributes, len(attributes))


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library; raises OSError where it says that it failed."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    number = 2 + int(sys.argv[1])
    try:
        main(sys.argv[2:number], sys.argv[number:])
    except OSError as error:
        sys.exit(f"{sys.argv[number:][:1]}: {error}")
