#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The comparisons of the interop tests find what differs, and let pass only what may differ.
here=$(dirname "$(readlink -f "$0")")
. "$here/../lab/lib.sh"
compare=$here/../interop/compare.py
cd "$SCRATCH" || exit 1

# differs WANTED NAME KIND SITUATION TEXT TEXT
differs() {
	printf '%b' "$5" >one
	printf '%b' "$6" >two
	check_status "$2" "$1" "$compare" "$3" "$4" one two
}
slot='{"keyslots":{"0":{"key_size":64,"kdf":{"salt":"SALT"}}}}'
differs 0 "equal metadata" json same "$slot" "$slot"
differs 1 "another salt in the same volume" json same "${slot/SALT/a}" "${slot/SALT/b}"
differs 0 "another salt in a volume made alike" json alike "${slot/SALT/a}" "${slot/SALT/b}"
differs 1 "another key size" json alike "$slot" "${slot/64/32}"
differs 1 "a member more" json alike "$slot" "${slot/64/64,\"x\":1}"
differs 1 "members in another order" json same '{"a":1,"b":2}' '{"b":2,"a":1}'
differs 1 "no metadata at all" json same '' ''
differs 0 "sizes in the words of two releases" status same '  size:  100 sectors\n' \
	'  size:  100 [512-byte units] (51200 [bytes])\n'
differs 1 "another size" status same '  size:  100 sectors\n' '  size:  108 sectors\n'
differs 1 "a field that is not there" status same '  type: LUKS2\n  mode: readonly\n' '  type: LUKS2\n'
differs 1 "an empty status" status same '' ''
differs 0 "blanks in a dump" dump same 'Label:  \tx\n' 'Label: x\n'
differs 1 "another line in a dump" dump same 'Label: x\n' 'Label: y\n'
