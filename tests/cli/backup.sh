#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Backups of image files: what is stored, what comes back, what damage, a kill and a deletion leave.
# timeout: 300

. "$(dirname "$0")/../lab/lib.sh"
need cryptsetup mkfs.ext4
cd "$SCRATCH" || exit 1
MIB=1048576

backup() {
	"$CRYPTVOL" backup "$@"
}

# block IMAGE NUMBER: other random bytes there
change() {
	dd if=/dev/urandom of="$1" bs=1M seek="$2" count=1 conv=notrunc status=none
}

blobs() {
	find store/blobs -type f | wc -l
}

# The blob that holds this block of the image.
blob_of() {
	local sum
	sum=$(dd if="$1" bs=1M skip="$2" count=1 status=none | sha256sum | cut -d' ' -f1)
	echo "store/blobs/${sum:0:2}/${sum:2}"
}

# stored: "<new blocks> <bytes>" as the last backup said
stored() {
	sed -nE 's/.* ([0-9]+) new ones stored \(([0-9]+) bytes\).*/\1 \2/p' said
}

printf pw >pw.key
truncate -s 40M img && cryptsetup -q luksFormat "${FAST_KDF[@]}" img pw.key
dd if=/dev/urandom of=img bs=1M seek=16 count=20 conv=notrunc status=none
uuid=$(cryptsetup luksUUID img)
cp --sparse=always img first

# A store is made by hand, so that no backup goes to the folder below a share that isn't mounted.
mkdir -m 700 store
check_says "a folder that is no store is refused" "backup --init store" backup img store --name one
check_status "with status 1" 1 backup img store --name one
check_equal "nothing is in it" "" "$(ls -A store)"
check_status "nor is a folder made" 1 backup img nowhere --name one
check "it isn't there" test ! -e nowhere
backup --init store >said
check_equal "init" 0 $?
check "tells the id" grep -qE "^store is now the store [0-9a-f]{32}\.$" said
check_equal "which lies in the store" "$(sed -E 's/.* ([0-9a-f]{32})\.$/\1/' said)" "$(sed -E 's/.* //' store/cryptvol-store)"
cp store/cryptvol-store marker
check_says "once more it is the same" "is already the store $(sed -E 's/.* //' marker)" backup --init store
check "the marker as well" cmp marker store/cryptvol-store
check "a store in a new folder" backup --init fresh
rm -r fresh

backup img store --name one >said
check_equal "backup" 0 $?
# One that was made before there were markers, or whose share isn't mounted.
mv store/cryptvol-store unmounted
for verb in "backup img store" "backup --list store" "backup --verify store $uuid one" "restore store $uuid one back0" \
	"backup -q --delete store $uuid one"; do
	# shellcheck disable=SC2086
	check_says "without its marker: $verb" "is no backup store" "$CRYPTVOL" $verb
done
check "nothing is deleted" test -e "store/manifests/$uuid/one.json"
check "nothing restored" test ! -e back0
check "an old store is taken over" backup --init store
check "with what is in it" backup --verify store "$uuid" one
mv unmounted store/cryptvol-store
used=$(($(blobs)))
check_equal "as many new blocks as lie in the store" "$used" "$(stored | cut -d' ' -f1)"
check "holes and zeros are not stored: less than the image" test "$used" -ge 20 -a "$used" -lt 40
change img 17 && change img 30
backup img store --name two >said
check_equal "the second backup stores the two changed blocks" "2 $((2 * MIB))" "$(stored)"
check_equal "and the store has just these two more" $((used + 2)) "$(blobs)"
backup img store >said
check_equal "an unchanged image stores nothing" "0 0" "$(stored)"
check "its name is the time of day" grep -qE '^Backup 20[0-9]{6}t[0-9]{6}z of volume '"$uuid:" said
check_status "a name that is there is refused" 5 backup img store --name one

# Nothing but bytes of the image is in the store: each blob is one of its blocks, under that block's own hash.
strangers=0
for f in $(find store/blobs -type f); do
	case $(sha256sum <"$f") in "$(sed -E 's|.*/(..)/(.*)|\1\2|' <<<"$f")"*) ;; *) strangers=$((strangers + 1)) ;; esac
done
check_equal "each blob has the hash that is its name" 0 "$strangers"
known() {
	local i
	for i in $(seq 0 39); do
		blob_of first "$i"
		blob_of img "$i"
	done
}
check_equal "each blob is a block of the image" "" "$(comm -23 <(find store/blobs -type f | sort) <(known | sort -u))"
check_equal "nobody else may read it" "" "$(find store -perm /077)"

"$CRYPTVOL" backup --list store --json >list
check_equal "the list as JSON" "$uuid one True 16777216 $((40 * MIB)) 3" "$(/usr/bin/python3 -c '
import json
l = json.load(open("list"))
b = l[[x["name"] for x in l].index("one")]
print(b["volume"], b["name"], b["encrypted"], b["header_bytes"], b["device_bytes"], len(l))')"
check_equal "the list as text" 3 "$("$CRYPTVOL" backup --list store --volume "$uuid" | grep -c "^$uuid ")"

check "verify" backup --verify store "$uuid" one
check "restore the first" "$CRYPTVOL" restore store "$uuid" one back1
check "it is the image of then" cmp back1 first
check "restore the second" "$CRYPTVOL" restore store "$uuid" two back2
check "it is the image of now" cmp back2 img
check "cryptsetup opens it" pass pw cryptsetup open --test-passphrase back2 -d -
check_status "a file that is there is not overwritten" 5 "$CRYPTVOL" restore store "$uuid" one back2
check "but with --overwrite, whatever was in it" "$CRYPTVOL" restore store "$uuid" one back2 --overwrite
check "and is the image of then" cmp back2 first

# Damage: found before a byte of the block is used.
blob=$(blob_of img 30)
cp "$blob" whole && printf '\x5a' | dd of="$blob" bs=1 seek=4711 conv=notrunc status=none
cmp -s "$blob" whole && printf '\xa5' | dd of="$blob" bs=1 seek=4711 conv=notrunc status=none
check_says "verify finds a flipped byte" "is damaged" backup --verify store "$uuid" two
check_status "and fails" 1 backup --verify store "$uuid" two
check_status "restore fails as well" 1 "$CRYPTVOL" restore store "$uuid" two back3
check "and leaves no image" test ! -e back3
check "the first backup, without this block, is whole" backup --verify store "$uuid" one
rm "$blob"
check_says "a missing block is found" "is missing" backup --verify store "$uuid" two
cp whole "$blob"
check "whole again" backup --verify store "$uuid" two
manifest=store/manifests/$uuid/two.json
cp "$manifest" whole && sed -i 's/"encrypted":1/"encrypted":0/' "$manifest"
check_says "a changed manifest is found" "checksum is wrong" backup --verify store "$uuid" two
cp whole "$manifest"

# Killed while it writes: more blocks than a moment is enough for.
truncate -s 300M big && cryptsetup -q luksFormat "${FAST_KDF[@]}" big pw.key
dd if=/dev/urandom of=big bs=1M seek=16 count=280 conv=notrunc status=none
before=$(blobs)
"$CRYPTVOL" backup big store --name killed >said 2>&1 &
pid=$!
while [ "$(blobs)" -lt $((before + 5)) ] && kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
kill -9 "$pid"
wait "$pid" 2>/dev/null
check_equal "it was killed in the middle" 137 $?
big=$(cryptsetup luksUUID big)
check_equal "no backup of that name" 0 "$(backup --list store | grep -c killed)"
check "the others are whole: one" backup --verify store "$uuid" one
check "the others are whole: two" backup --verify store "$uuid" two
left=$(($(blobs) - before))
backup big store --name killed >said
check_equal "a retry completes" 0 $?
all=$(sed -nE 's/.*: ([0-9]+) blocks, ([0-9]+) of them empty.*/\1 - \2/p' said)
check "and uses what the killed one had stored ($left)" test "$(stored | cut -d' ' -f1)" -le $((all - left + 1))
check "it is whole" backup --verify store "$big" killed
check "it restores" "$CRYPTVOL" restore store "$big" killed back4
check "byte by byte" cmp back4 big

# Written or used within a day: a host that our lock doesn't reach may be writing their backup.
: >"store/manifests/$big/x.json.new-0123456789abcdef"
cp -a store young
check "delete, all of it young" backup -q --delete young "$big" killed
check_equal "no block goes" "$(blobs)" "$(find young/blobs -type f | wc -l)"
check "nor what a writer has begun" test -e "young/manifests/$big/x.json.new-0123456789abcdef"
rm -r young
age() {
	find "$1" -type f -exec touch -d "2 days ago" {} +
}

# Deleted: what no other names goes, and what dead writers left.
age store
check "delete" backup -q --delete store "$big" killed
check_equal "only the others' blocks are left" "$before" "$(blobs)"
check "its volume is gone from the store" test ! -e "store/manifests/$big"
check "deleted again" backup -q --delete store "$big" killed
check "delete the first" backup -q --delete store "$uuid" one
check "the second is whole" backup --verify store "$uuid" two
check_equal "the first one's own two blocks are gone" $((before - 2)) "$(blobs)"

# A block in the store is used again only if it is whole, and is in use from then on.
change img 5 && backup img store --name rot >said
blob=$(blob_of img 5)
printf '\x5a\xa5\x5a\xa5' | dd of="$blob" bs=1 seek=4711 conv=notrunc status=none
age store
backup img store --name three >said
check_equal "a block that has rotted is stored anew" "1 $MIB" "$(stored)"
check "and the new backup is whole" backup --verify store "$uuid" three
check "the old one with it" backup --verify store "$uuid" rot
check_equal "each of its blocks counts as used now" "" "$(find "$(dirname "$(blob_of img 30)")" -name "${blob##*/}" -mmin +60)"
check_equal "all of them" 0 "$(for i in $(seq 0 39); do find "$(blob_of img "$i")" -mmin +60 2>/dev/null; done | wc -l)"

# Locked: a backup is being written or read elsewhere. Its blocks wait, nobody else does.
age store
flock store/lock sleep 60 &
pid=$!
while flock -n store/lock true; do sleep 0.02; done
before=$(blobs)
check "list while the store is locked" timeout 10 "$CRYPTVOL" backup --list store
check_says "delete says what it leaves" "are being written or read" timeout 10 "$CRYPTVOL" backup -q --delete store "$uuid" rot
check_equal "its manifest is gone" 0 "$(backup --list store | grep -c " rot ")"
check_equal "its blocks aren't" "$before" "$(blobs)"
kill "$pid" && wait "$pid" 2>/dev/null

# A manifest that isn't ours, or a newer program's: it is told of, and nothing else suffers.
echo junk >"store/manifests/$uuid/junk.json"
check_says "list says so" "junk.json: no checksum line" backup --list store
check_status "and fails" 1 backup --list store
check_equal "but lists the others" 2 "$(backup --list store 2>/dev/null | grep -c -e ' three ' -e ' two ')"
check "verify another" backup --verify store "$uuid" three
backup img store --name four >said
check_equal "write another" 0 $?
change img 6 && backup img store --name five >said
age store
before=$(blobs)
check_says "delete says what it leaves" "junk.json" backup -q --delete store "$uuid" five
check_equal "it is gone" 0 "$(backup --list store 2>/dev/null | grep -c " five ")"
check_equal "and no block: junk may name them" "$before" "$(blobs)"
check "delete the junk" backup -q --delete store "$uuid" junk
check "the next deletion takes what was left" test "$(blobs)" -lt "$before"
check "the others are whole: two" backup --verify store "$uuid" two
check "the others are whole: three" backup --verify store "$uuid" three

# Manifests of other programs: JSON, whatever its order and its blanks. And ours: JSON for them.
/usr/bin/python3 - "store/manifests/$uuid/three.json" <<'END'
import hashlib, json, sys
line, text = open(sys.argv[1], "rb").read().split(b"\n", 1)
assert hashlib.sha256(text).hexdigest().encode() == line
m = json.loads(text)
m = {k: m[k] for k in ("version", "block", "device")} | {"new": [{"x": None}, 1.5e3, "]"], "blocks": m.pop("blocks")} | m
text = json.dumps(m, indent=1).encode()
open(sys.argv[1], "wb").write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
END
check_equal "Python reads ours, and writes another" 0 $?
check "which is read" backup --verify store "$uuid" three

# Of 400 GiB full of data: not in memory, neither to list nor to look for blocks that nobody needs.
cat >big.py <<'END'
import hashlib, json, os, resource, subprocess, sys
if sys.argv[1] == "make":
    for name in "a", "b":
        head = {"version": 1, "volume": "huge", "name": name, "size": 409600 << 20, "header": 0, "device": 409600 << 20, "stored": 0,
                "encrypted": 1, "fs_type": "", "uuid": "", "created": 1, "block": 1 << 20,
                "blocks": [[i, os.urandom(32).hex()] for i in range(409600)]}
        text = json.dumps(head, separators=(",", ":")).encode()
        os.makedirs("store/manifests/huge", exist_ok=True)
        open(f"store/manifests/huge/{name}.json", "wb").write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
else:
    r = subprocess.run(sys.argv[1:])
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=open("rss", "w"))
    sys.exit(r.returncode)
END
# with the interpreter's own, which the child has before its exec
/usr/bin/python3 big.py true
base=$(cat rss)
/usr/bin/python3 big.py make
check "two backups of 400 GiB: list" /usr/bin/python3 big.py "$CRYPTVOL" backup --list store
check "in a few MiB ($(cat rss) KiB)" test "$(cat rss)" -lt $((base + 8192))
change img 7 && backup img store --name six >said
mine=$(blob_of img 7)
kept=$(blob_of img 30)
age store
before=$(blobs)
check "delete beside them" /usr/bin/python3 big.py "$CRYPTVOL" backup -q --delete store "$uuid" six
check "in a few MiB ($(cat rss) KiB)" test "$(cat rss)" -lt $((base + 8192))
check "its block is gone" test ! -e "$mine"
check "others' aren't" test -e "$kept" -a "$(blobs)" -ge $((before - 2))
check "nor is one missing: two" backup --verify store "$uuid" two
check "nor is one missing: three" backup --verify store "$uuid" three
rm -r store/manifests/huge

# A server that goes away while manifests are listed: that isn't their end.
cat >listing.c <<'END'
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
struct dirent64 *readdir64(DIR *d)
{
	static struct dirent64 *(*real)(DIR *);
	struct dirent64 *e;
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "readdir64");
	do
		e = real(d);
	while (e && e->d_name[0] == '.');
	if (!e || strlen(e->d_name) != 36)
		return e;
	errno = EIO;
	return NULL;
}
struct dirent *readdir(DIR *d)
{
	return (void *)readdir64(d);
}
END
if cc -shared -fPIC -o listing.so listing.c -ldl 2>said; then
	age store
	before=$(blobs)
	check_says "a listing that breaks off is an error" "can't be listed" env LD_PRELOAD="$PWD/listing.so" "$CRYPTVOL" backup --list store
	env LD_PRELOAD="$PWD/listing.so" "$CRYPTVOL" backup -q --delete store "$uuid" none >said 2>&1
	check_equal "and no sweep goes by it" "$before" "$(blobs)"
	check "all is there: two" backup --verify store "$uuid" two
	check "all is there: three" backup --verify store "$uuid" three
else
	skip "a listing that breaks off" "no compiler here"
fi

# What a hostile share has in it. Sizes: an end is found, whatever the manifest says of them.
cat >crafted.py <<'END'
import hashlib, json, os, sys
name, device, size, blocks = sys.argv[1], *(int(a) for a in sys.argv[2:4]), json.loads(sys.argv[4])
head = {"version": 1, "volume": "far", "name": name, "size": size, "header": 0, "device": device, "stored": 0, "encrypted": 1,
        "fs_type": "", "uuid": "", "created": 1, "block": 1 << 20, "blocks": blocks}
text = json.dumps(head, separators=(",", ":")).encode()
os.makedirs("store/manifests/far", exist_ok=True)
open(f"store/manifests/far/{name}.json", "wb").write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
END
crafted() {
	/usr/bin/python3 crafted.py "$@"
}
check_ends() {
	local name=$1 says=$2
	shift 2
	timeout 60 "$CRYPTVOL" "$@" >said 2>&1
	local status=$?
	check "$name: it ends" test "$status" != 124
	check "$name: and says why" grep -q "$says" said
}
crafted years $((1 << 62)) $((1 << 62)) '[]'
check_ends "a device of 2^62 bytes, verified" "larger than a backup may be" backup --verify store far years
crafted more $((1 << 50)) $((1 << 20)) '[]'
check_ends "a device that is larger than its parts" "larger than size and header" restore store far more back7
crafted holes $((1 << 50)) $((1 << 50)) '[[7, "'"$(printf '%064d' 0)"'"]]'
check_ends "2^50 bytes of holes and a block, verified" "is missing" backup --verify store far holes
crafted hollow $((1 << 50)) $((1 << 50)) '[]'
check "2^50 bytes of holes alone are whole at once" timeout 60 "$CRYPTVOL" backup --verify store far hollow
crafted long $((1 << 20)) $((1 << 20)) '[]'
truncate -s $((1 << 43)) store/manifests/far/long.json
check_ends "a manifest that is a hole" "longer than the blocks" backup --verify store far long
mkfifo store/manifests/far/fifo.json
check_ends "a manifest that is a FIFO" "is no regular file" backup --verify store far fifo
check_ends "one in a list" "is no regular file" backup --list store
rm store/manifests/far/fifo.json
blob=$(blob_of img 30)
mv "$blob" whole && mkfifo "$blob"
check_ends "a block that is a FIFO" "is no regular file" backup --verify store "$uuid" two
rm "$blob" && ln -s "$PWD/whole" "$blob"
check_ends "a block that is a link" "is no regular file" backup --verify store "$uuid" two
rm "$blob" && mv whole "$blob"

# Links out of the store: nothing there is read, written or swept away.
mkdir -p outside && cp img outside/precious && touch -d "3 days ago" outside/precious
for i in $(seq 0 255); do
	prefix=$(printf %02x "$i")
	[ -e "store/blobs/$prefix" ] || ln -s "$PWD/outside" "store/blobs/$prefix"
done
# Several blocks: one alone may belong to a folder that is a real one.
for at in 5 6 7 8 9 10 11; do
	change img $at
done
check_ends "a folder of blocks that is a link" "is no folder" backup img store --name linked
backup -q --delete store far hollow >said 2>&1
check "a sweep doesn't follow it" cmp img outside/precious -n 1M
check_equal "nothing was written there" precious "$(ls outside)"
find store/blobs -type l -delete
ln -s "$PWD/outside" store/manifests/linked
check_says "nor does a manifest go there" "is no folder" backup img store --volume linked --name x
check_equal "nothing was written there" precious "$(ls outside)"
rm -r store/manifests/linked store/manifests/far

# What is refused, and why.
check_status "a directory that is no store" 1 backup --list "$SCRATCH/nowhere"
check_status "no device" 4 backup nowhere store
check_status "two modes" 1 backup --list --verify store
check_status "a name with a slash" 1 backup img store --name ../x
truncate -s 3M raw && printf plain | dd of=raw conv=notrunc status=none
check_says "no LUKS: said" "has no LUKS header" backup raw store
check_status "no LUKS: it needs a volume's name" 1 backup raw store
check "no LUKS: with a name" backup raw store --volume raw --name a
check "no LUKS: restored" "$CRYPTVOL" restore store raw a back5
check "no LUKS: byte by byte" cmp raw back5

# In use: a mounted file system holds its device, and the file below.
truncate -s 8M raw && mkfs.ext4 -q -F raw && mkdir mnt
backup raw store --volume raw --name d >said 2>&1
if [ "$(id -u)" = 0 ] && loop=$(losetup -f --show raw 2>/dev/null) && mount "$loop" mnt 2>/dev/null; then
	check_status "a mounted device is refused" 5 backup "$loop" store --volume raw --name e
	check_says "and said why" "use --live option" backup "$loop" store --volume raw --name e
	check_status "the image below it is refused" 5 backup raw store --volume raw --name e
	check_status "no restore over a mounted device" 5 "$CRYPTVOL" restore store raw d "$loop" --overwrite
	check_status "nor over the image below it" 5 "$CRYPTVOL" restore store raw d raw --overwrite
	check "with --live it is taken" backup "$loop" store --volume raw --name e --live
	umount mnt
	check "unmounted it is taken" backup "$loop" store --volume raw --name f
	change raw 1 && blockdev --flushbufs "$loop"
	check "and overwritten" "$CRYPTVOL" -q restore store raw f "$loop" --overwrite
	check "restore over a device, holes included" "$CRYPTVOL" restore store raw f back6
	check "byte by byte" cmp back6 "$loop"
	losetup -d "$loop"
else
	skip "devices in use" "no loop devices here"
fi
