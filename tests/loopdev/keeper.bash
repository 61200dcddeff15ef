# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A process that keeps keys: dm_probe, which does one verb after the other.
#
#   start_keeper
#   check "keep it" ask keep-create NAME UUID DESCRIPTION HEXKEY "TABLE"
#   end_keeper

start_keeper() {
	coproc KEEPER { "$PROBE" -; }
	exec 7<&"${KEEPER[0]}" 8>&"${KEEPER[1]}"
	keeper=$KEEPER_PID
}
# ask VERB [ARGUMENT]...: what it prints, and its error; status 0, or 1 where it failed
ask() {
	local IFS=$'\t' line
	printf '%s\n' "$*" >&8
	while read -r -t 60 -u 7 line; do
		case $line in
		"= 0") return 0 ;;
		"= "*) echo "${line#= }" && return 1 ;;
		*) echo "$line" ;;
		esac
	done
	return 2
}
# By force: nothing in it gets to tidy up.
end_keeper() {
	{
		kill -9 "$keeper"
		wait "$keeper"
	} 2>/dev/null
	exec 7<&- 8>&-
}
# keys_listed PATTERN COUNT: lines in root's list of keys, once the collector has taken away what ended
keys_listed() {
	local tries=0 n
	while n=$(grep -cE "$1" /proc/keys) && [ "$n" != "$2" ] && ((tries++ < 50)); do sleep 0.1; done
	echo "$n"
}
# "major:minor" of a device node
number() {
	local hex
	hex=$(stat -Lc '%t:%T' "$1") && printf '%d:%d\n' "0x${hex%:*}" "0x${hex#*:}"
}
