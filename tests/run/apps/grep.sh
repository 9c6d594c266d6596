# SPDX-License-Identifier: BSD-2-Clause
# grep -r over many files.
app_grep() {
	make_tree tree
	local n
	n=$(amount 400 60)
	is "$(grep -r needle tree/src | wc -l)" "$n" "lines found"
	is "$(grep -rl 'needle 0' tree | wc -l)" "$(((n + 6) / 7))" "files found"
	is "$(grep -rc . tree/src | awk -F: '{ n += $2 } END { print n }')" $((4 * n)) "lines counted"
	is "$(grep -rhn 'x + 17;' tree)" "3:	return x + 17; /* needle 3 */" "one line"
	! grep -rq 'not there' tree || fail "found what is not there"
	is "$(grep -r --include='*9.c' -l needle tree | wc -l)" "$((n / 10))" "with --include"
	cat tree/src/*/* | grep -c needle >count
	is "$(cat count)" "$n" "through a pipe"
}
