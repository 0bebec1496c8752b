"""Finds GDAL as rasterio's setup.py does: by asking gdal-config."""

import os
import subprocess

from Cython.Build import cythonize
from setuptools import Extension, setup


def asked(option):
    config = os.environ.get("GDAL_CONFIG", "gdal-config")
    return subprocess.check_output([config, option], text=True).split()


def starting(flag, words):
    return [word.removeprefix(flag) for word in words if word.startswith(flag)]


setup(
    ext_modules=cythonize(
        [
            Extension(
                "cymini._core",
                ["src/cymini/_core.pyx"],
                include_dirs=starting("-I", asked("--cflags")),
                library_dirs=starting("-L", asked("--libs")),
                libraries=starting("-l", asked("--libs")),
            )
        ]
    )
)
