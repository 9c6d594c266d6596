#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cp's progress bar.
. "$(dirname "$0")/lib.sh"
command -v script >/dev/null || skip "script is not installed"

mkdir src
head -c 60000000 /dev/urandom >src/file # long enough for a bar to be drawn
s=("[" "$server" src {} "]")
on_terminal "$portfire" cp "${s[@]}" {}/file out >got
check "a bar on a terminal" grep -q '%' got
check "it is wiped in the end" grep -q $'\033\[K' got
check "the copy is right" same src/file out
on_terminal "$portfire" cp "${s[@]}" --no-progress {}/file out >got
check "none with --no-progress" test ! -s got
on_terminal "$portfire" cp "${s[@]}" {}/none out >got
check "messages stand on lines of their own" grep -qE $'^(.*\033\\[K)?portfire: cp: [{]}/none' got
pf cp "${s[@]}" {}/file out 2>got
check "none when stderr is no terminal" test ! -s got
done_testing
