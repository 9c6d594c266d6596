# SPDX-License-Identifier: BSD-2-Clause
# vim and ed change files, with backups and swap files.
app_editors() {
	local some=
	seq 1 2000 >text
	if command -v vim >/dev/null; then
		vim -es -u NONE -c 'set nocompatible backup swapfile directory=. backupdir=. backupskip=' -c '%s/^\(\d*5\)$/five \1/' -c '1000d' -c 'wq' text </dev/null ||
			fail "vim ended with $?"
		is "$(grep -c '^five' text)" 200 "lines that vim changed"
		is "$(wc -l <text)" 1999 "lines that vim left"
		[ -f text~ ] || fail "vim made no backup"
		! ls -A | grep -q '\.sw.$' || fail "vim left a swap file"
		vim -es -u NONE -c 'normal ihello' -c 'w new' -c 'q!' </dev/null || true
		is "$(cat new)" hello "a new file of vim's"
		some=1
		cp text~ text
	fi
	if command -v ed >/dev/null; then
		printf '%s\n' '1,10d' '$a' 'the end' . 'g/7$/s//seven/' 'w' '1,5w other' '!cat other >third' q | ed -s text
		is "$(tail -1 text)" "the end" "the last line of ed's"
		is "$(grep -c seven text)" 199 "lines that ed changed"
		is "$(cat third)" "$(seq 11 15 | sed 's/7$/seven/')" "what ed's shell wrote"
		some=1
	fi
	[ -n "$some" ] || skip "neither vim nor ed here"
}
