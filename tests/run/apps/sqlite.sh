# SPDX-License-Identifier: BSD-2-Clause
# sqlite3: a journal and WAL, two processes that write at once, a crash in between.
app_sqlite() {
	need sqlite3
	local mode
	for mode in delete truncate persist wal; do
		if [ $mode = wal ] && lacks mmap; then continue; fi
		sqlite_mode $mode
	done
}

# Of an error tell which call failed, too.
sql() {
	sqlite3 -cmd '.log stderr' "$@"
}

sqlite_mode() {
	local db=$1.db rows
	rows=$(amount 300 40)
	is "$(sql "$db" "pragma journal_mode=$1; create table t(who, n, text); create index i on t(n);")" "$1" "journal mode"
	sqlite_insert "$db" a "$rows" &
	local first=$!
	sqlite_insert "$db" b "$rows" &
	local second=$!
	wait $first || fail "$1: the first process: $(tail -1 "$SCRATCH/log")"
	wait $second || fail "$1: the second process: $(tail -1 "$SCRATCH/log")"
	is "$(sql "$db" 'select count(*) from t')" $((2 * rows)) "$1: rows"
	is "$(sql "$db" 'pragma integrity_check')" ok "$1: integrity"
	# Killed in a transaction: what was not committed is not there.
	(echo 'begin; insert into t select who, n, text from t;'; sleep 1; echo 'commit;') | exec sqlite3 "$db" &
	sleep 0.3
	kill -KILL $!
	wait || true
	sql "$db" '.timeout 5000' 'pragma integrity_check' | grep -qx ok || fail "$1: integrity after a kill"
	is "$(sql "$db" 'select count(*) from t')" $((2 * rows)) "$1: rows after a kill"
	sql "$db" 'vacuum; delete from t where n % 2; vacuum; pragma wal_checkpoint(truncate);' >/dev/null
	is "$(sql "$db" 'select count(*) from t where n % 2 = 0')" "$rows" "$1: rows in the end"
	sql "$db" .dump >"$1.sql" && sql "$1-copy.db" <"$1.sql"
	is "$(sql "$1-copy.db" 'select sum(n) from t')" "$(sql "$db" 'select sum(n) from t')" "$1: sum of the copy"
}

sqlite_insert() {
	local i
	{
		echo .timeout 60000
		for ((i = 1; i <= $3; i++)); do echo "insert into t values('$2', $i, hex(randomblob(200)));"; done
	} | sql -bail "$1"
}
