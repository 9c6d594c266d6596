#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The command line: usage errors, help, options before and after brackets and paths.
. "$(dirname "$0")/lib.sh"

check "no command is a usage error" status 2 pf
check "an unknown command is one" status 2 pf fly
check "an unknown option is one" status 2 pf ls --fly
check "it is told with the command's name" prints "portfire: ls: unrecognized option" pf ls --fly
check "cat without a path is one" status 2 pf cat
check "cp without a target is one" status 2 pf cp a
check "info without a server is one" status 2 pf info
check "info with a path is one" status 2 pf info [ "$server" . {} ] x
check "a bad --color is one" status 2 pf ls --color=red
check "a bad --timeout is one" status 2 pf ls --timeout=soon
check "a bad --request-timeout is one" status 2 pf ls --request-timeout=-1
check "a bad --cache is one" status 2 pf ls --cache=maybe
check "its values are told" prints "--cache wants none, auto or always, not 'maybe'" pf ls --cache maybe
for size in '' M 64X 64MB -1 1.5G ' 1M' 99999999999999999999 9999999999T; do
	check "--cache-size '$size' is one" status 2 pf ls --cache-size "$size"
	check "--dirty-size '$size' is one" status 2 pf ls --dirty-size "$size"
done
check "it is told with the option's name" prints "--dirty-size wants bytes, as in 64M, not '64X'" \
	pf ls --dirty-size=64X
check "too small a --cache-size is one" status 2 pf ls --cache-size=1023K
check "the least is told" prints "--cache-size: 1023K is less than 1.0M" pf ls --cache-size=1023K
check "too small a --dirty-size is one" prints "--dirty-size: 0 is less than 256K" pf ls --dirty-size=0
check "a bad -j is one" status 2 pf cp -j 0 a b
check "a bad --sparse is one" status 2 pf cp --sparse=maybe a b
check "a bracket that is not closed is one" status 2 pf ls [ x
check "a bracket that is not opened is one" status 2 pf ls x ]
check "{} without any server is one" status 2 pf ls {}/x
check "it asks for one" prints "'{}/x': which server?" pf ls {}/x
check "an option before the command is one" status 2 pf --trace ls
check "it is told as such" prints "'--trace' stands before the command" pf --trace ls
check "so is a server" prints "'[' stands before the command" pf [ "$server" . {} ] ls
check "[server without a space is one" status 2 pf ls "[$server" . {} ]
check "the word is named" prints "'[$server': a bracket is a word of its own" pf ls "[$server" . {} ]
check "{}] without a space too" prints "'{}]': a bracket is a word of its own" pf ls [ "$server" . "{}]" -l
check "both without one too" prints "'[$server': a bracket is a word of its own" pf ls "[$server" . "{}]"
touch "[x" "x]"
check "files of such names are listed" test "$(pf ls "[x" "x]")" = $'[x\nx]'
check "an empty bracket is one" status 2 pf ls [ ]
check "{} without such a server is one" status 2 pf ls [ "$server" . "$work" ] {}/x
check "{3} of two servers is one" status 2 pf ls [ "$server" . {} ] [ "$server" . {} ] {3}

for c in ls cat cp info bench; do
	check "$c --help works" status 0 pf $c --help
	check "$c --help shows its usage" prints "Usage: portfire $c" pf $c --help
	check "help $c is the same" test "$(pf help $c)" = "$(pf $c --help)"
	check "$c --version prints the version" prints "portfire " pf $c --version
done
check "help lists the commands" prints "info " pf help
check "--help does" prints "info " pf --help
check "--version prints the version" prints "portfire " pf --version
check "help of an unknown command is a usage error" status 2 pf help fly

mkdir src
echo text >src/file
want=$(cd src && ls -l file)
check "options before all" test "$(pf ls -l [ "$server" src {} ] {}/file)" = "${want/file/"{}/file"}"
check "options between" test "$(pf ls [ "$server" src {} ] -l {}/file)" = "${want/file/"{}/file"}"
check "options after all" test "$(pf ls [ "$server" src {} ] {}/file -l)" = "${want/file/"{}/file"}"
check "the server after the paths" test "$(pf ls {}/file -l [ "$server" src {} ])" = "${want/file/"{}/file"}"
check "after -- no word is an option" prints "portfire: cat: -l: No such file" pf cat [ "$server" src {} ] -- -l
check "after -- a bracket is a path" prints "portfire: cat: [: No such file" pf cat -- [

for c in ls cat cp info bench; do
	check "$c --help shows the cache's options" prints "--cache-size=SIZE" pf $c --help
done
# told OPTION...: what info tells with them.
told() {
	pf info "$@" [ "$server" src {} ] | sed -n 's/^\(cache\|writeback\|io.cache_limit\): //p' | tr '\n' ' '
}
check "--cache none reaches the library" prints "none " told --cache none
check "--cache always does" prints "always " told --cache=always
check "auto is the default" prints "auto " told
check "--cache-size in MiB does" prints " 67108864 " told --cache-size=64M
check "in KiB" prints " 67108864 " told --cache-size 65536K
check "in GiB" prints " 1073741824 " told --cache-size 1G
check "in bytes" prints " 1048576 " told --cache-size 1048576
done_testing
