#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The bash completion: commands, options, programs and files in brackets.
here=$(realpath "$(dirname "$0")")
export PF_TEST_SERVER=none
. "$here/lib.sh"
. "$here/../../tools/portfire.bash"

mkdir dir
touch file1 'file 2' unrelated

# completes WANT WORD...: the last word, of "portfire WORD...", can become WANT.
completes() {
	local want=$1 reply
	shift
	COMP_WORDS=(portfire "$@") COMP_CWORD=$#
	_portfire
	for reply in "${COMPREPLY[@]}"; do
		[ "$reply" = "$want" ] && return 0
	done
	printf '%s\n' "${COMPREPLY[@]}"
	return 1
}
not() {
	! "$@"
}

check "a command" completes info i
check "all commands" completes ls ''
check "help of one" completes cp help c
check "an option" completes --json info --j
check "an option of every command" completes --trace= cat --tr
check "not another's option" not completes --json ls --j
check "a file" completes file1 cat f
check "a file with a space" completes 'file 2' cat f
check "an open bracket" completes '[' ls ''
check "a path of a server" completes '{}/' cat [ x {} ] '{'
check "a program in brackets" completes bash ls [ bas
check "not a file there" not completes file1 ls [ file
check "a file as a server's word" completes file1 ls [ x f
check "{} there" completes '{}' ls [ x '{'
check "the closing bracket" completes ']' ls [ x {} ''
check "brackets within" completes file1 ls [ x [ y ] f
check "an option after brackets" completes --color=auto ls [ x {} ] --co
check "no option of ours within" not completes --json info [ x --j
for command in ls cat cp run info bench; do
	for option in $("$portfire" $command --help | grep -o -- '--[a-z-]*[a-z]' | sort -u); do
		_portfire_options $command >options
		check "$command $option is known" grep -q -e "$option" options
	done
done
done_testing
