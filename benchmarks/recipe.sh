#!/bin/sh
# The plain recipe for GDAL wheels, as a person would write it: for each interpreter an environment, the bindings by
# `pip wheel`, data and programs beside them, `auditwheel repair`, and a look at the size.
# usage: recipe.sh PREFIX SDIST OUT TOOLS PYTHON...      (TOOLS: the folder of auditwheel and patchelf)
set -eu
prefix=$1 sdist=$2 out=$3 tools=$4
shift 4
version=$(basename "$sdist" .tar.gz)
case $version in *-3.[0-8].*) setuptools='setuptools<74' ;; *) setuptools='setuptools>=77' ;; esac
mkdir -p "$out/bin"
cat >"$out/bin/gdal-config" <<END
#!/bin/sh
case \$1 in
--version) echo "${version#*-}" ;;
--prefix) echo "$prefix" ;;
--cflags) echo "-I$prefix/include" ;;
*) echo ;;
esac
END
chmod +x "$out/bin/gdal-config"
export LIBRARY_PATH="$prefix/lib" AUDITWHEEL_LD_LIBRARY_PATH="$prefix/lib"
export CPLUS_INCLUDE_PATH="$prefix/include" C_INCLUDE_PATH="$prefix/include"
for python in "$@"; do
    work="$out/$(basename "$python")"
    "$python" -m venv "$work/environment"
    "$work/environment/bin/python" -m pip install -q "$setuptools" wheel numpy
    PATH="$out/bin:$PATH" "$work/environment/bin/python" -m pip wheel -q --no-deps --no-build-isolation \
        -w "$work/raw" "$sdist"
    "$work/environment/bin/python" -m wheel unpack -d "$work/tree" "$work"/raw/*.whl >/dev/null
    tree=$(echo "$work"/tree/*)
    mkdir "$tree/osgeo/bin"
    cp -rL "$prefix/share/gdal" "$prefix/share/proj" "$tree/osgeo/"
    cp -L "$prefix"/bin/gdal* "$prefix"/bin/ogr* "$tree/osgeo/bin/"
    mkdir "$work/full"
    "$work/environment/bin/python" -m wheel pack -d "$work/full" "$tree" >/dev/null
    PATH="$tools:$PATH" auditwheel repair -w "$out/wheels" "$work"/full/*.whl
done
find "$out/wheels" -name '*.whl' -size +100M | grep . && exit 1
exit 0
