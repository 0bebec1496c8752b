#!/bin/sh
# The native stack's own gdal-config, with the folder where the stack really lies. By geowheel.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) || exit 1
prefix=${here%/wrappers/bin}/prefix
answer=$("$prefix/bin/gdal-config" "$@")
status=$?
escaped=$(printf '%s\n' "$prefix" | sed 's/[\\&|]/\\&/g')
printf '%s\n' "$answer" | sed "s|@PREFIX_STRING@|$escaped|g"
exit $status
