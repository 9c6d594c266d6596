# SPDX-License-Identifier: BSD-2-Clause
# less and other readers of files, on a terminal as well.
app_less() {
	need less
	seq 1 30000 >text
	is "$(less text | tail -1)" 30000 "the last line"
	is "$(less -p 29999 text | wc -l)" 30000 "lines"
	tail -n +29990 text | head -1 >line
	is "$(cat line)" 29990 "tail"
	if command -v script >/dev/null; then
		(sleep 0.5; printf G; sleep 0.5; printf q) | script -qec "stty rows 20 cols 80; less text" /dev/null >screen
		grep -q 30000 screen || fail "less does not show the end on a terminal"
	fi
	(sleep 0.3; echo added >>text; sleep 1.5) &
	timeout 1.5 tail -f -n 1 text >followed || true
	grep -q added followed || fail "tail -f sees nothing of what is added"
	wait
}
