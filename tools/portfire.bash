# SPDX-License-Identifier: BSD-2-Clause
# bash completion for portfire.

# Index of the "[" that the word being completed stands in, empty: in none.
_portfire_open_bracket() {
	local i depth=0 open=()
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		'[') open[depth++]=$i ;;
		']') ((depth > 0 && depth--)) ;;
		esac
	done
	((depth > 0)) && echo "${open[0]}"
}

_portfire_options() {
	local common='--trace --trace= --stats --stats= --timeout --request-timeout --cache=auto --cache=none
		--cache=always --no-writeback --cache-size= --dirty-size= --help --version'
	case $1 in
	ls)
		echo "-l -n -1 -C -a -A -d -R -h -t -S -r --all --almost-all --recursive
			--human-readable --directory --reverse --numeric-uid-gid
			--color=auto --color=always --color=never $common"
		;;
	cp)
		echo "-r -p -d -a -L -H -P -f -n -T -v -j --recursive --archive --dereference
			--no-dereference --force --no-clobber --no-target-directory --verbose
			--jobs --sparse=auto --sparse=always --sparse=never --no-progress $common"
		;;
	run) echo "--hold-dir= --hold-size= --hold-total= --kill-on-exit --no-preload --preload --wait $common" ;;
	info) echo "--json $common" ;;
	bench)
		echo "--file --write --size --quick --seconds --row --json --svg $common"
		;;
	*) echo "$common" ;;
	esac
}

# Words go into COMPREPLY one a line, so that names keep their spaces.
_portfire_reply() {
	mapfile -t COMPREPLY < <(compgen "$@" -- "$cur")
}

_portfire_in_brackets() {
	local open=$1
	if ((COMP_CWORD == open + 1)); then
		_portfire_reply -c
	else
		compopt -o filenames 2>/dev/null
		_portfire_reply -f
		[[ '{}' == "$cur"* ]] && COMPREPLY+=('{}')
		[[ ']' == "$cur"* ]] && COMPREPLY+=(']')
	fi
}

_portfire() {
	local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]-} open
	local commands='ls cat cp run info bench help'
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		_portfire_reply -W "$commands --help --version"
		return
	fi
	if [[ $command == help ]]; then
		_portfire_reply -W "ls cat cp run info bench"
		return
	fi
	open=$(_portfire_open_bracket)
	if [[ -n $open ]]; then
		_portfire_in_brackets "$open"
	elif [[ $cur == -* ]]; then
		_portfire_reply -W "$(_portfire_options "$command")"
		[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
	else
		compopt -o filenames 2>/dev/null
		_portfire_reply -f
		[[ '[' == "$cur"* ]] && COMPREPLY+=('[')
		[[ '{}/' == "$cur"* ]] && COMPREPLY+=('{}/')
	fi
	return 0
}

complete -F _portfire portfire
