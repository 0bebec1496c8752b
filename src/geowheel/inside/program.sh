#!/bin/sh
# GDAL's @NAME@ with the bundled data, without starting Python. Written by geowheel.
# By the rules of the bootstrap; what is rare is left to the Python module that knows all of them.
name=@NAME@
self=$0
[ ! -L "$self" ] || self=$(readlink -f -- "$self")
case $self in /*) ;; *) self=$PWD/$self ;; esac
bin=${self%/*}
case $bin in */. | */..) prefix=$bin/.. ;; *) prefix=${bin%/*} ;; esac
for site in "$prefix"/lib/python@PYTHON@/site-packages "$prefix"/lib/python@PYTHON@/dist-packages \
    "$prefix"/lib64/python@PYTHON@/site-packages "$prefix"/lib/python3/dist-packages "$prefix"; do
    [ ! -f "$site/@PACKAGE@/_programs/$name" ] || break
done
program=$site/@PACKAGE@/_programs/$name
if [ ! -x "$program" ] || [ ! -f "$site/@BUNDLE@" ] || [ -n "$GEOWHEEL_GDAL_DATA$GEOWHEEL_PROJ_DATA\
$GEOWHEEL_GDAL_DRIVER_PATH$GEOWHEEL_CA_BUNDLE" ]; then
    python=python3
    [ ! -x "$bin/python" ] || python=$bin/python
    [ ! -f "$site/@LAUNCHER@" ] || exec "$python" "$site/@LAUNCHER@" "$name" "$@"
    exec "$python" -m @MODULE@ "$name" "$@"
fi
own=yes
for file in "$GDAL_CURL_CA_BUNDLE" "$CURL_CA_BUNDLE" "$SSL_CERT_FILE"; do
    [ ! -r "$file" ] || own=
done
if [ -n "$own" ] && [ -f "$site/@CA_BUNDLE@" ]; then
    export GDAL_CURL_CA_BUNDLE="$site/@CA_BUNDLE@"
    [ -r "$PROJ_CURL_CA_BUNDLE" ] || export PROJ_CURL_CA_BUNDLE="$GDAL_CURL_CA_BUNDLE"
fi
export GDAL_DATA="$site/@GDAL_DATA@" PROJ_DATA="$site/@PROJ_DATA@" PROJ_LIB="$site/@PROJ_DATA@"
export GDAL_DRIVER_PATH=disable
[ ! -d "$site/@PLUGINS@" ] || GDAL_DRIVER_PATH=$site/@PLUGINS@
exec "$program" "$@"
