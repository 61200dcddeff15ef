#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# The runner counts right, and neither a test that hangs nor one that kills its kernel costs more
# than itself.
. "$(dirname "$0")/lib.sh"

# plant NAME: a test from standard input, a shell script without its first line
plant() {
	mkdir -p "$SCRATCH/$(dirname "$1")"
	(echo '#!/bin/sh' && cat) >"$SCRATCH/$1"
	chmod +x "$SCRATCH/$1"
}

# verdict TEST...: the counts of a run over these planted tests
verdict() {
	(cd "$SCRATCH" && "$ROOT/tests/run" -o result "$@" >log 2>&1)
	echo "$? $(tail -n 1 "$SCRATCH/log")"
}

plant tests/lines.sh <<'T'
printf 'ok one\nok two\nSKIP three: why\nokay this is none\n'
T
plant tests/failing.sh <<'T'
printf 'ok one\nFAIL two: planted\n'
exit 1
T
plant tests/silent.sh </dev/null
plant tests/skipping.sh <<<'exit 77'
plant tests/breaking.sh <<<'exit 5'
plant tests/liar.sh <<'T'
echo ok one
kill -SEGV $$
T
plant tests/hanging.sh <<'T'
# timeout: 1
trap '' TERM
echo ok before
while :; do sleep 10; done
T

check_equal "result lines" "0 2 passed, 0 failed, 1 skipped" "$(verdict tests/lines.sh)"
check_equal "a FAIL line" "1 1 passed, 1 failed, 0 skipped" "$(verdict tests/failing.sh)"
check_equal "status 0 without lines" "0 1 passed, 0 failed, 0 skipped" "$(verdict tests/silent.sh)"
check_equal "status 77 without lines" "0 0 passed, 0 failed, 1 skipped" "$(verdict tests/skipping.sh)"
check_equal "another status" "1 0 passed, 1 failed, 0 skipped" "$(verdict tests/breaking.sh)"
check_equal "a missing test" "1 0 passed, 1 failed, 0 skipped" "$(verdict tests/none.sh)"
check_equal "a signal after ok" "1 1 passed, 1 failed, 0 skipped" "$(verdict tests/liar.sh)"
check_equal "a test that hangs" "1 1 passed, 1 failed, 0 skipped" "$(verdict tests/hanging.sh)"
check_equal "several at a time" "1 4 passed, 2 failed, 1 skipped" \
	"$(verdict -j 4 tests/lines.sh tests/failing.sh tests/breaking.sh /bin/true)"
check_says "the output of a failure is shown" 'FAIL two: planted' cat "$SCRATCH/log"
check_says "results are kept" 'tests/failing.sh	1	1	0' cat "$SCRATCH/result/results.tsv"

command -v linux.uml >/dev/null || {
	skip "tests in guests" "there is no linux.uml here (tests/lab/setup.sh check)"
	exit
}
export CRYPTVOL_KERNEL=uml
for test in lines failing hanging; do
	plant "tests/loopdev/$test.sh" < <(tail -n +2 "$SCRATCH/tests/$test.sh")
done
plant tests/loopdev/panic.sh <<<'echo c >/proc/sysrq-trigger'
plant tests/loopdev/after.sh <<<'# guest: -m 300M
[ "$LAB_KERNEL" = uml ] && read -r _ kib _ </proc/meminfo && [ $kib -lt 300000 ] && echo ok guest'
plant tests/interop/leaving.sh <<<'truncate -s 1M /run/file && losetup -f /run/file && echo ok made'
plant tests/interop/complaint.sh <<<'echo "<2>BUG: planted" >/dev/kmsg; echo ok written'

check_equal "a guest that dies costs one test" "1 3 passed, 2 failed, 1 skipped" \
	"$(verdict -j 1 tests/loopdev/panic.sh tests/loopdev/lines.sh tests/loopdev/failing.sh)"
check_says "the panic is shown" 'Kernel panic' cat "$SCRATCH/log"
check_equal "a hanging test in a guest" "1 4 passed, 1 failed, 1 skipped" \
	"$(verdict tests/loopdev/{hanging,lines,after}.sh)"
check_equal "leftovers and complaints fail a test" "1 2 passed, 2 failed, 0 skipped" \
	"$(verdict tests/interop/{leaving,complaint}.sh)"
check_says "the leftover is named" 'it left a loop device behind: /dev/loop0' cat "$SCRATCH/log"
check_says "the complaint is quoted" 'the kernel complained: BUG: planted' cat "$SCRATCH/log"
