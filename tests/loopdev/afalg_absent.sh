#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# A kernel without AF_ALG sockets, as hardened distributions have it: each image that we ship opens all the same, keyslots are written that
# cryptsetup opens, and nothing is left of the mapping that did it, even after a kill at each ioctl (FULL=1: and after SIGTERM).
. "$(dirname "$0")/../lab/lib.sh"
need_root
need cryptsetup dmsetup python3 strace xz losetup
need_target crypt

printf one >"$SCRATCH/one"
printf two >"$SCRATCH/two"
CIPHERS=(serpent-xts-plain64:512 twofish-cbc-essiv:sha256:256 camellia-xts-plain64:256 aes-xts-plain64:384
	xchacha12,aes-adiantum-plain64:256)

# cryptsetup has no other way than AF_ALG: it formats before that goes, and opens once it is back.
for c in "${CIPHERS[@]}"; do
	truncate -s 20M "$SCRATCH/theirs-$c"
	check "${c%:*}: cryptsetup formats" cryptsetup -q luksFormat "${FAST_KDF[@]}" -c "${c%:*}" -s "${c##*:}" \
		"$SCRATCH/theirs-$c" "$SCRATCH/one"
done

afalg_opens() { python3 -c 'import socket; socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)' 2>/dev/null; }
# The kernel asks modprobe for the module (net-pf-38) when a socket is opened: this modprobe finds none.
MODPROBE=$(</proc/sys/kernel/modprobe)
afalg_back() { echo "$MODPROBE" >/proc/sys/kernel/modprobe; }
cat >"$SCRATCH/modprobe" <<-END
	#!/bin/sh
	case "\$*" in *net-pf-38*|*af_alg*|*algif*) exit 1 ;; esac
	exec $MODPROBE "\$@"
END
chmod 755 "$SCRATCH/modprobe"
trap 'afalg_back; lab_cleanup' EXIT
echo "$SCRATCH/modprobe" >/proc/sys/kernel/modprobe
rmmod algif_skcipher algif_hash algif_aead algif_rng af_alg 2>/dev/null
! afalg_opens || skip_all "AF_ALG can't be taken away from this kernel"

# ---- all that we ship, judged by what cryptsetup said of it when it made it ----
"$ROOT/tests/conformance/run.py" --alone --all --only plaintext --only refusal "$ROOT/tests/images" >"$SCRATCH/table"
check_equal "all images open as cryptsetup made them" 0 $?
check_equal "none was passed over" "" "$(grep -E '^(SKIP|FAIL) ' "$SCRATCH/table")"
check "and there were enough" [ "$(grep -c '^ok ' "$SCRATCH/table")" -ge 20 ]
nothing_left_behind "images"

# ---- written here, opened by cryptsetup, and the other way round ----
for c in "${CIPHERS[@]}"; do
	cipher=${c%:*} ours=$SCRATCH/ours-$c
	truncate -s 20M "$ours"
	check "$cipher: luksFormat" "$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" -c "$cipher" -s "${c##*:}" "$ours" "$SCRATCH/one"
	check "$cipher: luksAddKey" "$CRYPTVOL" luksAddKey "${FAST_KDF[@]}" -d "$SCRATCH/one" "$ours" "$SCRATCH/two"
	check_equal "$cipher: both areas have that cipher" "2 $cipher" \
		"$("$CRYPTVOL" luksDump --dump-json-metadata "$ours" | python3 -c '
import json, sys
areas = [k["area"]["encryption"] for k in json.load(sys.stdin)["keyslots"].values()]
print(len(areas), " ".join(set(areas)))')"
	check "$cipher: ours opens cryptsetup's" "$CRYPTVOL" open --test-passphrase -d "$SCRATCH/one" "$SCRATCH/theirs-$c"
	check_status "$cipher: not with another passphrase" 2 \
		"$CRYPTVOL" open --test-passphrase -d "$SCRATCH/two" "$SCRATCH/theirs-$c"
done
nothing_left_behind "written"
afalg_back
for c in "${CIPHERS[@]}"; do
	check "${c%:*}: cryptsetup opens the first of ours" cryptsetup open --test-passphrase -S 0 -d "$SCRATCH/one" "$SCRATCH/ours-$c"
	check "${c%:*}: cryptsetup opens the second of ours" cryptsetup open --test-passphrase -S 1 -d "$SCRATCH/two" "$SCRATCH/ours-$c"
done
echo "$SCRATCH/modprobe" >/proc/sys/kernel/modprobe
rmmod algif_skcipher algif_hash algif_aead algif_rng af_alg 2>/dev/null
check_status "AF_ALG is away again" 1 afalg_opens

# ---- killed at each ioctl ----
xz -dc "$ROOT/tests/images/serpent-xts.img.xz" >"$SCRATCH/serpent"
printf 'correct horse battery staple' >"$SCRATCH/key"
try() { "$@" "$CRYPTVOL" open --test-passphrase -d "$SCRATCH/key" "$SCRATCH/serpent"; }
areas() { dmsetup ls 2>/dev/null | sed -n 's/^\(temporary-cryptvol[^[:space:]]*\).*/\1/p'; }
SIGNALS=(KILL)
[ -z "${FULL-}" ] || SIGNALS+=(TERM)
for signal in "${SIGNALS[@]}"; do
	left=0 keys=
	for n in {1..60}; do
		try strace -f -o "$SCRATCH/trace" -e inject=ioctl:signal=$signal:when="$n" >"$SCRATCH/said" 2>&1
		status=$?
		grep -q "SIG$signal" "$SCRATCH/trace" || break
		for name in $(areas); do
			left=$((left + 1))
			[ "$(dmsetup info -c --noheadings -o tables_loaded "$name")" != Live ] || keys+=" $n:live"
			dmsetup remove --retry "$name"
		done
	done
	check "SIG$signal at each ioctl: enough of them, and one comes through" [ "$n" -gt 8 -a "$n" -lt 60 -a "$status" = 0 ]
	check_equal "SIG$signal at each ioctl: no mapping stays live" "" "$keys"
	[ $signal = KILL ] || check_equal "SIG$signal at each ioctl: nothing stays" 0 "$left"
	check "SIG$signal: at most two moments leave a mapping at all" [ "$left" -le 2 ]
	nothing_left_behind "SIG$signal" "^lock "
done

# What a kill in that moment left is swept away by the next that needs a mapping, once it is old.
dmsetup create --notable "temporary-cryptvol-1-0123456789abcdef" -u CRYPT-TEMP-cryptvol-1-0123456789abcdef
check "with an old one in the way: it opens" try env
check_equal "the old one is swept away" "" "$(areas)"

# ---- neither AF_ALG nor the right to map: the sentence names the cipher and what is missing ----
unprivileged() { setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"; }
chmod 666 "$SCRATCH/serpent"
chmod 755 "$SCRATCH"
check_says "no permission for device-mapper: said, with the cipher" 'serpent-xts-plain64.*AF_ALG.*permission for /dev/mapper/control' \
	unprivileged "$CRYPTVOL" open --test-passphrase -d "$SCRATCH/key" "$SCRATCH/serpent"
# A keyslot that this host can't read doesn't hide another one.
mixed=$SCRATCH/mixed
truncate -s 20M "$mixed"
"$CRYPTVOL" -q luksFormat "${FAST_KDF[@]}" --keyslot-cipher serpent-xts-plain64 --keyslot-key-size 256 "$mixed" "$SCRATCH/one"
"$CRYPTVOL" luksAddKey "${FAST_KDF[@]}" --keyslot-cipher aes-xts-plain64 --keyslot-key-size 256 -d "$SCRATCH/one" "$mixed" "$SCRATCH/two"
chmod 666 "$mixed"
check "a second keyslot in AES opens though the first can't be read" \
	unprivileged "$CRYPTVOL" open --test-passphrase -d "$SCRATCH/two" "$mixed"
check_status "the first one's passphrase isn't called wrong" 1 \
	unprivileged "$CRYPTVOL" open --test-passphrase -d "$SCRATCH/one" "$mixed"
