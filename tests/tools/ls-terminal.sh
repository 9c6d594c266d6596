#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# ls on a terminal: columns, colours, names that cannot act on the terminal.
. "$(dirname "$0")/lib.sh"
command -v script >/dev/null || skip "script is not installed"

mkdir -p src/dir
touch src/{one,two,three,four,five,six} src/$'esc\033[31m' src/$'new\nline' 'src/sp ace'
s=("[" "$server" src {} "]")

on_terminal "$portfire" ls "${s[@]}" --color=never {} | tr -d '\r' >got
ls -C -b -w 30 -T0 src >want
check "columns, names escaped" same want got
on_terminal "$portfire" ls "${s[@]}" --color=never -1 {} | tr -d '\r' >got
ls -b src >want
check "-1" same want got
on_terminal "$portfire" ls "${s[@]}" {} | tr -d '\r' >got
check "colours" grep -q $'\033\[01;34mdir\033\[0m' got
check "no raw escape of a name" bash -c "! grep -q \$'esc\033' got"
rm -r src
mkdir src
touch 'src/日本語' src/naïve src/b
export LC_ALL=C.UTF-8
on_terminal "$portfire" ls "${s[@]}" --color=never {} | tr -d '\r' >got
ls -C -b -w 30 -T0 src >want
check "UTF-8 names, wide ones too" same want got
on_terminal "$portfire" ls "${s[@]}" {}/$'x\033[31m' 2>&1 | tr -d '\r' >got
check "an error message does not act on the terminal" bash -c "! grep -q \$'\033' got"
done_testing
