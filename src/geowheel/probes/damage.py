"""Malformed files: an exception or None, never a crash; and no file handle is left open."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections import Counter
from typing import Any

from . import ours

PATIENCE = 20  # seconds for one file
LARGEST = 1 << 22  # cells of a band that is read: what a damaged header says may be anything
OPENS = 1000
UNEXPECTED = 2


def survive(asked: dict[str, Any]) -> dict[str, Any]:
    """Open and read damaged copies of one file, each in a process forked for it."""
    sample = _sample(asked)
    if sample is None:
        return {"skipped": "no driver %s in this wheel" % asked["driver"]}
    crashes, read = [], 0
    for number in range(asked["count"]):
        path = damaged_copy(asked, sample, number)
        started = time.monotonic()
        ended = _in_a_child(asked, path)
        if ended < 0 or ended == UNEXPECTED:
            name = signal.Signals(-ended).name if ended < 0 else "an exception that is not GDAL's"
            seconds = time.monotonic() - started
            crashes.append({"path": path, "ended": name, "seconds": seconds})
        else:
            read += ended == 0
            os.unlink(path)
    return {"crashes": crashes, "vector": asked["vector"],
            "detail": "%d damaged files, %d still readable" % (asked["count"], read)}  # fmt: skip


def leak(asked: dict[str, Any]) -> dict[str, Any]:
    """A thousand opens, every second one of a damaged file, leave no handle open."""
    sample = _sample(asked)
    if sample is None:
        return {"skipped": "no driver %s in this wheel" % asked["driver"]}
    # Only those that are known not to crash: `survive` is about the others.
    damaged = [damaged_copy(asked, sample, number) for number in range(0, 20, 2)]
    paths = [sample] + [path for path in damaged if _in_a_child(asked, path) in (0, 1)]
    _raise_the_limit()
    for path in paths:
        _open(asked, path)
    before = _handles()
    for number in range(OPENS):
        _open(asked, paths[(number + 1) // 2 % len(paths)] if number % 2 else sample)
    left = _handles() - before
    assert not left, "after %d opens these are left open: %s" % (OPENS, sorted(left)[:5])
    return {"detail": "%d opens" % OPENS}


def _sample(asked: dict[str, Any]) -> str | None:
    """A sound file of the format."""
    gdal, driver = ours.module(asked, "gdal"), asked["driver"]
    path: str = os.path.join(asked["folder"], "sound" + asked["suffix"])
    if gdal.GetDriverByName(driver) is None:
        return None
    if asked["vector"]:
        ours.write_vector(asked, driver, path)
    elif driver == "GTiff":
        ours.write_raster(asked, path)
    else:
        tiff = os.path.join(asked["folder"], "source.tif")
        ours.write_raster(asked, tiff)
        # Without the time and the path, so that the same seed damages the same bytes.
        options = ["WRITE_GDAL_HISTORY=NO"] if driver == "netCDF" else []
        gdal.GetDriverByName(driver).CreateCopy(path, gdal.OpenEx(tiff), 0, options)
    return path


def damaged_copy(asked: dict[str, Any], sample: str, number: int) -> str:
    """Truncated (even numbers) or with flipped bits (odd ones): the same for the same seed."""
    dice = random.Random("%s %s %d" % (asked["seed"], asked["driver"], number))
    with open(sample, "rb") as file:
        data = bytearray(file.read())
    if number % 2 == 0:
        del data[dice.randrange(len(data)) :]
    else:
        # Half of them in the first kilobyte, where headers are.
        limit = min(len(data), 1024) if number % 4 == 1 else len(data)
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(limit)] ^= 1 << dice.randrange(8)
    path = os.path.join(asked["folder"], "damaged-%03d%s" % (number, asked["suffix"]))
    with open(path, "wb") as file:
        file.write(data)
    return path


def _in_a_child(asked: dict[str, Any], path: str) -> int:
    """0: read; 1: GDAL's exception or None; 2: another exception; else the signal, negative."""
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE)
        code = UNEXPECTED
        try:
            code = 0 if _open(asked, path) else 1
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _open(asked: dict[str, Any], path: str) -> bool:
    """Open and read all of it, as gdalinfo or ogrinfo do; False for an exception or None."""
    gdal = ours.module(asked, "gdal")
    try:
        found = gdal.OpenEx(path, gdal.OF_VECTOR if asked["vector"] else gdal.OF_RASTER)
        if found is None:
            return False
        for number in range(1, min(found.RasterCount, 8) + 1):
            band = found.GetRasterBand(number)
            if band.XSize * band.YSize <= LARGEST:
                band.Checksum()
        for number in range(min(found.GetLayerCount(), 8)):
            layer = found.GetLayer(number)
            for _ in range(1000):
                if layer.GetNextFeature() is None:
                    break
    except (RuntimeError, UnicodeDecodeError):  # of GDAL, with bytes of the file in its words
        return False
    return True


def _raise_the_limit() -> None:
    """So that a leak is counted, and does not end as an error of whoever comes after it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 4 * OPENS if hard == resource.RLIM_INFINITY else min(hard, 4 * OPENS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _handles() -> Counter[str]:
    """Return what is open and how often: files by path, pipes and sockets by number."""
    names: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            names[os.readlink("/proc/self/fd/" + fd)] += 1
        except FileNotFoundError:  # the handle by which the folder itself was listed
            continue
    return names
