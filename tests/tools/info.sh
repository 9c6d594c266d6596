#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# info: "key: value" lines, JSON.
. "$(dirname "$0")/lib.sh"

mkdir src
s=("[" "$server" src {} "]")
pf info "${s[@]}" >got
check "there are lines" test -s got
check "each is key: value" bash -c "! grep -vE '^[A-Za-z0-9_.-]+: ?' got"
check "the protocol is among them" grep -qi '^protocol' got
pf info "${s[@]}" --json >json
if command -v python3 >/dev/null; then
	check "--json is JSON" python3 -c 'import json; assert len(json.load(open("json"))) > 1'
	check "with the same keys" python3 -c '
import json
keys = [line.split(":")[0] for line in open("got")]
assert list(json.load(open("json"))) == keys'
fi
check "an object on a line" test "$(wc -l <json)" = 1
check "an octal number is no number in JSON" grep -q '"rootmode": "040000"' json
check "two servers, two objects" test "$(pf info "${s[@]}" "${s[@]}" --json | wc -l)" = 2
check "two servers, a blank line between" test "$(pf info "${s[@]}" "${s[@]}" | grep -c '^$')" = 1
done_testing
