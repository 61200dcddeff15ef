#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# The QEMU harness tells the truth: exit status, time limit, panic, files both ways, libraries.
. "$(dirname "$0")/lib.sh"

"$LAB/qemu-image.sh" >/dev/null 2>"$SCRATCH/output" || skip_all "$(tail -n 1 "$SCRATCH/output")"
QEMU=$LAB/qemu-run

mkdir "$SCRATCH/taken"
cat >"$SCRATCH/taken/program.sh" <<'P'
#!/bin/bash
echo "to-stdout $1|$CRYPTVOL_TEST_WORD|$LAB_KERNEL"
echo to-stderr >&2
"$TAKEN" /dev/null && echo content >"$LAB_OUT/file"
head -c 1048576 $LAB_DISKS | sha256sum >"$LAB_OUT/sum"
exit 7
P
chmod +x "$SCRATCH/taken/program.sh"
head -c 1048576 /dev/urandom >"$SCRATCH/disk"
# A program that is not in the image, with libraries that are not: coreutils' own.
taken=$(command -v b2sum)
CRYPTVOL='' CRYPTVOL_TEST_WORD=word "$QEMU" -w "$SCRATCH/run" -i "$SCRATCH/taken" -i "$taken" \
	-e TAKEN="$taken" -d "$SCRATCH/disk,r" -- "$SCRATCH/taken/program.sh" 'two words' \
	>"$SCRATCH/stdout" 2>"$SCRATCH/stderr"
check_equal "the exit code passes through" 7 $?
check_equal "standard output and the environment" "to-stdout two words|word|qemu" \
	"$(head -n 1 "$SCRATCH/stdout")"
check_equal "standard error comes back" to-stderr "$(<"$SCRATCH/stderr")"
check_equal "a program runs with its libraries, a file comes back" content \
	"$(cat "$SCRATCH/run/out/file")"
check_equal "a disk is the host's file" "$(sha256sum <"$SCRATCH/disk")" "$(cat "$SCRATCH/run/out/sum")"
"$QEMU" -- sh -c 'echo c >/proc/sysrq-trigger' >"$SCRATCH/log" 2>&1
check_equal "a panic gives 125" 125 $?
check_says "the panic is shown" 'Kernel panic' cat "$SCRATCH/log"
check_status "the time limit gives 124" 124 "$QEMU" -t 2 -- sleep 60
