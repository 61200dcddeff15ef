#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# The harness tells the truth: exit status, time limit, panic, complaint, power cut, files, isolation.
. "$(dirname "$0")/lib.sh"

command -v linux.uml >/dev/null || skip_all "there is no linux.uml here (tests/lab/setup.sh check)"
UML=$LAB/uml-run

# Processors with AMX: the mend is shown on every processor whose state is more than the 576 bytes that all have.
gcc -O2 -o "$SCRATCH/probe" "$LAB/xstate_probe.c" && gcc -O2 -shared -fPIC -o "$SCRATCH/xstate.so" "$LAB/xstate.c"
if grep -qw avx /proc/cpuinfo; then
	check_status "a part of the floating-point state is refused by the kernel" 1 "$SCRATCH/probe"
	check_status "the preload makes it whole" 0 env LD_PRELOAD="$SCRATCH/xstate.so" "$SCRATCH/probe"
else
	skip "the preload makes the floating-point state whole" "this processor has no AVX"
fi

check_status "exit code 0 passes through" 0 "$UML" -- /bin/true
check_status "exit code 7 passes through" 7 "$UML" -- sh -c 'exit 7'
check_status "death by signal 9 is 137" 137 "$UML" -- sh -c 'kill -9 $$'
check_status "a missing program is 127" 127 "$UML" -- /nonexistent/program
check_status "the time limit gives 124" 124 "$UML" -t 4 -- sleep 60
check_status "a panic gives 125" 125 "$UML" -- sh -c 'echo c >/proc/sysrq-trigger'
check_status "a complaint of the kernel gives 126" 126 "$UML" -- \
	sh -c 'echo "<2>WARNING: CPU: 0 PID: 1 at nowhere" >/dev/kmsg'
check_status "a power cut gives 137" 137 "$UML" -p rand:50-200 -- sh -c 'touch /out/armed; sleep 60'

found=$("$UML" -- sh -c 'echo to-stdout; echo to-stderr >&2' 2>"$SCRATCH/stderr")
check_equal "standard output comes back" to-stdout "$found"
check_equal "standard error comes back" to-stderr "$(<"$SCRATCH/stderr")"
found=$("$UML" -- printf '%s|' 'two words' '$HOME' '' "quote'" 2>&1)
check_equal "arguments arrive as they are" "two words|\$HOME||quote'|" "$found"
found=$(CRYPTVOL=/a/b OTHER=hidden "$UML" -e "MORE=a b" -- sh -c 'echo "$CRYPTVOL,$OTHER,$MORE,$LAB_KERNEL"')
check_equal "only the listed environment passes" "/a/b,,a b,uml" "$found"

"$UML" -w "$SCRATCH/run" -- sh -c 'echo content >"$LAB_OUT/file"' >/dev/null 2>&1
check_equal "a file comes back" content "$(cat "$SCRATCH/run/out/file" 2>&1)"

echo before >"$SCRATCH/host-file"
echo kept >"$SCRATCH/removed"
"$UML" -- sh -c "cd $SCRATCH && echo after >host-file && touch new && rm removed" >/dev/null 2>&1
check_equal "the host's file is untouched" before "$(<"$SCRATCH/host-file")"
check_status "nothing new on the host" 1 test -e "$SCRATCH/new"
check "nothing removed on the host" test -e "$SCRATCH/removed"

truncate -s 1M "$SCRATCH/disk"
"$UML" -d "$SCRATCH/disk" -- sh -c 'echo on-disk >$LAB_DISKS; sync' >/dev/null 2>&1
check_equal "a disk is the host's file" on-disk "$(head -c 7 "$SCRATCH/disk")"

# Each waits for a sign of the other: they end only if both run at the same time.
meet() {
	"$UML" -t 60 -w "$SCRATCH/guest$1" -- sh -c 'echo here; while [ ! -e /out/go ]; do sleep 0.1; done'
}
(meet 1 >"$SCRATCH/one" 2>&1; echo $? >>"$SCRATCH/one") &
(meet 2 >"$SCRATCH/two" 2>&1; echo $? >>"$SCRATCH/two") &
limit=$((SECONDS + 60))
until grep -qs here "$SCRATCH/guest1/out/stdout" && grep -qs here "$SCRATCH/guest2/out/stdout"; do
	[ $SECONDS -lt $limit ] || break
	sleep 0.1
done
touch "$SCRATCH/guest1/out/go" "$SCRATCH/guest2/out/go"
wait
check_equal "two guests at a time" "here 0 here 0" "$(cat "$SCRATCH/one" "$SCRATCH/two" | xargs)"

"$UML" -t 60 -w "$SCRATCH/group" -- sleep 50 >/dev/null 2>&1 &
runner=$!
until [ -e "$SCRATCH/group/out/booted" ]; do
	kill -0 $runner 2>/dev/null || break
	sleep 0.1
done
kill "$runner"
wait "$runner"
living() {
	ps -eo stat=,args= | grep -F "LABRUN=$1" | grep -v -e '^Z' -e grep
}
check_equal "no process of an ended guest is left" "" "$(living "$SCRATCH/group")"

check "dm-crypt and cryptsetup work in it" "$LAB/uml-run" -M "loop dm-crypt" -- bash -c '
	. "$0/lib.sh"
	loop=$(make_loop 20M)
	check format pass x cryptsetup -q luksFormat "${FAST_KDF[@]}" "$loop" -d - &&
	check open pass x cryptsetup open "$loop" crypt -d - &&
	check close cryptsetup close crypt' "$LAB"

# A real log: what the kernel wrote is what the reader finds, and its states are the expected ones.
"$LAB/kernel-run" -w "$SCRATCH/log" -- bash -e -c '
	cd "$(mktemp -d)" && truncate -s 1M dev && truncate -s 4M log
	dev=$(losetup -f --show dev) log=$(losetup -f --show log)
	modprobe -q dm-log-writes
	dmsetup create lw --table "0 2048 log-writes $dev $log"
	put() {
		head -c 512 /dev/zero | tr "\0" "$1" |
			dd of=/dev/mapper/lw bs=512 seek=$2 oflag=direct$3 status=none
	}
	put a 0; put b 9; sync /dev/mapper/lw
	dmsetup message lw 0 mark start
	put c 0; put d 1; sync /dev/mapper/lw
	put e 2 ,dsync; put f 3; blkdiscard -o 4608 -l 512 /dev/mapper/lw; sync /dev/mapper/lw
	dmsetup message lw 0 mark end
	dmsetup remove lw && losetup -d $dev && losetup -d $log
	cp log $LAB_OUT/' >"$SCRATCH/output" 2>&1 || cat "$SCRATCH/output"
check_equal "a log of the kernel is read" \
	"write 0 512 write 512 512 flush 0 0 fua 1024 512 flush 0 0 write 1536 512 discard 4608 512 flush 0 0" \
	"$("$LAB/logreplay.py" dump "$SCRATCH/log/out/log" | sed '1,/mark start/d;/mark end/,$d' |
		sed 's/^[0-9]* //;s/[a-z]*=//g' | xargs)"
check_says "its states are counted" '10 states enumerated, 0 sampled, 3 epochs' \
	"$LAB/logreplay.py" states "$SCRATCH/log/out/log" --size 8192 --start start --end end

# A disk with a volatile cache: what was flushed survives the cut, what was not is lost.
mkdir -p "$SCRATCH/cut/out" && truncate -s 1M "$SCRATCH/cut/out/disk"
check_status "a power cut under unflushed writes" 137 \
	"$UML" -M loop -w "$SCRATCH/cut" -c "$SCRATCH/cut/out/disk" -p 100 -- bash -c '
	loop=$(losetup -f --show /out/disk)
	printf flushed | dd of=$loop bs=512 seek=1 conv=fsync status=none
	printf pending | dd of=$loop bs=512 seek=2 oflag=direct conv=sync status=none
	touch /out/armed
	sleep 60'
word_at() {
	dd if="$SCRATCH/cut/out/disk" bs=512 skip="$1" count=1 status=none | tr -d '\0'
}
check_equal "before the undo both are there" "flushed pending" "$(word_at 1) $(word_at 2)"
check_says "the undo says what it took" '[1-9] units lost, 0 kept' \
	"$LAB/volundo.py" "$SCRATCH/cut/out/disk" all
check_equal "only the flushed one survives" "flushed " "$(word_at 1) $(word_at 2)"

# A host on which no guest starts: what has a list of files for QEMU goes there, all else ends with one clear sentence.
mkdir "$SCRATCH/dead" && printf '#!/bin/sh\nexit 1\n' >"$SCRATCH/dead/linux.uml" && chmod 755 "$SCRATCH/dead/linux.uml"
if [ "$("$LAB/kernel-run" -k)" = host ]; then
	skip "no guest starts" "this host has dm-crypt itself: it needs no guest"
else
	check_equal "where no guest starts, QEMU takes what it can" qemu \
		"$(PATH=$SCRATCH/dead:$PATH "$LAB/kernel-run" -i "$LAB" -k 2>"$SCRATCH/stderr")"
	check_equal "it says so in one sentence" 1 "$(grep -c 'no User Mode Linux guest starts on this host; .*QEMU is used' "$SCRATCH/stderr")"
	check_says "what QEMU can't take ends with a sentence" 'no User Mode Linux guest starts on this host, and' \
		env PATH="$SCRATCH/dead:$PATH" "$LAB/kernel-run" -- true
fi
