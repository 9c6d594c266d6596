#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# preload.sh PORTFIRE PRELOAD-TEST SERVER-DIRECTORY OPTIONS [nobody]: the program preload.c under "run".
portfire=$(realpath "${1:?which command?}") test=$(realpath "${2:?which program?}") servers=$(realpath "$3") options=$4 as=()
if [ "${5:-}" = nobody ]; then
	[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP only root can become nobody"; exit 77; }
	as=(setpriv --reuid=nobody --regid="$(id -gn nobody)" --clear-groups)
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
chmod 755 . && mkdir source mnt outside private
# nobody may not reach the build directory
cp "$portfire" "$test" "$(dirname "$portfire")"/{libportfire.so.0,src/preload/libportfire-preload.so} "$servers/passthrough_ll" .
[ ${#as[@]} = 0 ] || chown nobody source mnt outside private
export TMPDIR=$work/private LD_LIBRARY_PATH=$work
"${as[@]}" ./portfire run true 2>why || { echo "1..0 # SKIP nothing can be supervised here: $(tail -1 why)"; exit 77; }
[ ${#as[@]} != 0 ] || options=$options,allow_other,default_permissions
timeout 100 "${as[@]}" ./portfire run [ ./passthrough_ll -o "source=$work/source$options" "$work/mnt" ] -- \
	"$work/$(basename "$test")" "$work/mnt" "$work/outside" "$work/passthrough_ll"
