#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Servers in brackets, and which words are theirs.
. "$(dirname "$0")/lib.sh"

mkdir -p one/sub two mnt deep
echo first >one/file
echo inner >one/sub/file
echo second >two/file
echo local >local
ln -s mnt link
ln -s mnt/sub sublink
ln -s "$work/mnt/file" filelink
ln -s ../mnt deep/up

is() {
	local want=$1 got
	shift
	got=$(pf cat "$@" 2>&1)
	[ "$got" = "$want" ] || { echo "got: $got"; return 1; }
}
a=("[" "$server" one {} "]")
b=("[" "$server" two {} "]")
m=("[" "$server" one "$work/mnt" "]")

check "{}/file is the server's" is first "${a[@]}" {}/file
check "other words are local" is $'first\nlocal' "${a[@]}" {}/file local
check "{} is the first server's" is first "${a[@]}" "${b[@]}" {}/file
check "{} is the first that has one" is second "${m[@]}" "${b[@]}" {}/file
check "{2} is the second server" is $'second\nfirst' "${a[@]}" "${b[@]}" {2}/file {1}/file
check "{1} names a server without {} too" is first "${m[@]}" {1}/file
check "a mountpoint by its absolute path" is first "${m[@]}" "$work/mnt/file"
check "by a relative path" is first "${m[@]}" mnt/file
check "with dots" is first "${m[@]}" ./mnt//./file
check "with dot-dot before it" is first "${m[@]}" deep/../mnt/file
check "dot-dot inside stays there" is first "${m[@]}" mnt/sub/../file
check "by a symbolic link" is first "${m[@]}" link/file
check "by a link with dot-dot" is first "${m[@]}" deep/up/file
check "by a link to a place in it" is inner "${m[@]}" sublink/file
check "by a link to a file in it" is first "${m[@]}" filelink
check "beside it is local" is local "${m[@]}" mnt/../local
check "the name as a prefix is local" prints "No such file" pf cat "${m[@]}" "$work/mntx/file"
check "brackets nest" is first [ sh -c "exec $server one \"\$2\"" x [ {} ] ] {}/file
check "ls without a path lists the root" test "$(pf ls "${a[@]}")" = "$(ls one)"
check "of each server" test "$(pf ls "${a[@]}" "${b[@]}")" = $'{1}:\nfile\nsub\n\n{2}:\nfile'

check "no such program: status 1" status 1 pf ls [ no-such-program-here {} ] {}
check "it is named" prints "no-such-program-here" pf ls [ no-such-program-here {} ] {}
check "a server that fails: status 1" status 1 pf ls [ false {} ] {}
check "a server that never mounts: status 1" status 1 pf ls --timeout=0.3 [ sh -c 'exec sleep 1000' x {} ] {}
check "one that cannot start stops the others" status 1 pf ls "${a[@]}" [ false {} ] {}

pf cat "${a[@]}" --trace {}/file >out 2>trace
check "--trace writes lines to stderr" grep -q INIT trace
check "and leaves stdout alone" test "$(cat out)" = first
pf cat "${a[@]}" --trace=trace2 {}/file >out 2>err
check "--trace=FILE writes them to a file" grep -q INIT trace2
check "and nothing to stderr" test ! -s err
pf cat "${a[@]}" "${b[@]}" --trace=trace3 {}/file >out
check "with two servers each line tells which" grep -q '^\[2\] ' trace3
check "a trace file that cannot be: status 1" status 1 pf cat "${a[@]}" --trace=/no/such {}/file
done_testing
