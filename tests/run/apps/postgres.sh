# SPDX-License-Identifier: BSD-2-Clause
# PostgreSQL: initdb, pgbench, a kill, recovery. PGBENCH_SECONDS says for how long.
app_postgres() {
	local bin seconds
	bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
	[ -x "$bin/pgbench" ] || skip "no PostgreSQL here"
	seconds=${PGBENCH_SECONDS:-$(amount 60 2)}
	mkdir data "$SCRATCH/sock"
	[ "$(id -u)" != 0 ] || chown 65534:65534 data "$SCRATCH/sock"
	chmod 700 data
	as_user touch data/probe || true
	[ "$(stat -c %u data/probe)" = "$(stat -c %u data)" ] || skip "the server does not give new files to who makes them"
	rm data/probe
	as_user "$bin/initdb" -D data -U me --auth=trust --no-instructions
	postgres_start
	trap 'as_user "$bin/pg_ctl" -D "$PWD/data" stop -m immediate || true' EXIT
	local client=(-h "$SCRATCH/sock" -U me)
	as_user "$bin/pgbench" "${client[@]}" -i -q -s "$(amount 5 1)" postgres
	as_user "$bin/pgbench" "${client[@]}" -c 2 -j 2 -T "$seconds" postgres | tee bench
	say "  pgbench: $(sed -n 's/^tps = \([0-9.]*\).*/\1 transactions a second/p' bench)"
	grep -q 'number of failed transactions: 0' bench || fail "transactions failed"
	local sum
	sum=$(as_user "$bin/psql" "${client[@]}" -Atc 'select sum(abalance) from pgbench_accounts' postgres)
	is "$(as_user "$bin/psql" "${client[@]}" -Atc 'select sum(delta) from pgbench_history' postgres)" "$sum" "the balance"
	as_user "$bin/pg_ctl" -D data stop -m immediate # as a crash; the log is replayed
	postgres_start
	is "$(as_user "$bin/psql" "${client[@]}" -Atc 'select sum(abalance) from pgbench_accounts' postgres)" "$sum" "the balance after recovery"
	as_user "$bin/psql" "${client[@]}" -c 'vacuum full' -c checkpoint postgres
	as_user "$bin/pg_ctl" -D data stop -m fast
	trap - EXIT
}

postgres_start() {
	as_user "$bin/pg_ctl" -D data -w -t 60 -l data/log -o "-k '$SCRATCH/sock' -c listen_addresses=''" start ||
		fail "PostgreSQL does not start: $(tail -2 data/log)"
}
