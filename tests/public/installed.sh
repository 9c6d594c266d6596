#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What "meson install" puts down is enough: the header stands alone as strict C11, C17 and C++, an example
# compiles and links by pkg-config, and the command, man pages and completion are there.
# usage: installed.sh SOURCE BUILD
set -euo pipefail
source=$1 build=$2
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT

DESTDIR=$dest meson install -C "$build" --no-rebuild --quiet
pc=$(find "$dest" -name portfire.pc)
root=$dest/usr/local
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$dest

echo '#include <portfire/portfire.h>
struct pf_options o = PF_OPTIONS_INIT;
int main(void) { return pf_version() == 0; }' >"$dest/use.c"
cp "$dest/use.c" "$dest/use.cc"
flags=$(pkg-config --cflags --libs portfire)
for std in c11 c17 gnu17; do
	# shellcheck disable=SC2086
	cc -std=$std -D_GNU_SOURCE -Wall -Wextra -Wno-missing-field-initializers -pedantic-errors -Werror \
		"$dest/use.c" -o "$dest/use" $flags
done
if command -v g++ >/dev/null; then
	# shellcheck disable=SC2086
	g++ -std=c++20 -Wall -Wextra -Wno-missing-field-initializers -pedantic-errors -Werror "$dest/use.cc" \
		-o "$dest/use" $flags
fi
# shellcheck disable=SC2086
cc "$source/examples/list.c" -o "$dest/list" $flags
export LD_LIBRARY_PATH=${pc%/pkgconfig/*}
"$dest/list" true 2>"$dest/err" && exit 1
grep -q true "$dest/err"

"$root/bin/portfire" --version | grep -q '^portfire '
for page in portfire portfire-ls portfire-cat portfire-cp portfire-info portfire-bench; do
	test -s "$root/share/man/man1/$page.1"
done
find "$dest" -path '*bash-completion*' -name 'portfire*' | grep -q .
