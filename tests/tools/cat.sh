#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# cat: bytes, several files, standard input, errors.
. "$(dirname "$0")/lib.sh"

mkdir -p src/dir
for n in 0 1 4095 4096 131071 131072 131073 1048576 5000001; do
	head -c $n /dev/urandom >src/$n
done
s=("[" "$server" src {} "]")

for n in 0 1 4095 4096 131071 131072 131073 1048576 5000001; do
	pf cat "${s[@]}" {}/$n >got
	check "$n bytes" same src/$n got
done
pf cat "${s[@]}" {}/1 src/4096 {}/4095 >got
cat src/1 src/4096 src/4095 >want
check "several, from both sides" same want got
echo typed | pf cat "${s[@]}" {}/1 - {}/1 >got
{ cat src/1; echo typed; cat src/1; } >want
check "- is standard input" same want got
check "a missing file: status 1" status 1 pf cat "${s[@]}" {}/none
check "it is named" prints "portfire: cat: {}/none: No such file or directory" pf cat "${s[@]}" {}/none
check "a directory: status 1" status 1 pf cat "${s[@]}" {}/dir
check "it is told" prints "{}/dir: Is a directory" pf cat "${s[@]}" {}/dir
pf cat "${s[@]}" {}/none {}/4096 >got 2>/dev/null
check "the others are written all the same" same src/4096 got
check "a full disk: status 1" bash -c '"$@" >/dev/full 2>/dev/null; [ $? = 1 ]' x "$portfire" cat "${s[@]}" {}/4096
bash -c '"$@" 2>err; echo $? >status' x "$portfire" cat "${s[@]}" {}/5000001 | head -c 10 >/dev/null
check "a broken pipe ends it as the signal would" test "$(cat status)" = 141
check "in silence" test ! -s err
echo x >loop
pf cat loop >>loop 2>err
check "a file onto itself is refused" grep -q "input file is output file" err
bash -c '"$@" >got <&- 2>&-; echo $? >status' x "$portfire" cat "${s[@]}" {}/4096
check "closed standard descriptors" same src/4096 got
check "are no error" test "$(cat status)" = 0
check "a closed output is one" bash -c '"$@" >&- 2>/dev/null; [ $? = 1 ]' x "$portfire" cat "${s[@]}" {}/1
done_testing
