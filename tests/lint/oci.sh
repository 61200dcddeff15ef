#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The image that packaging/oci-image.sh makes: every digest and size fits, two runs give the same image, and its programs
# run in it, where nothing else is (chroot).
# timeout: 240

set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-obj}
DRIVER=${CRYPTVOL_CSI:-$BUILD/cryptvol-csi}
[ -x "$DRIVER" ] || { echo "SKIP oci: $DRIVER isn't built" && exit 77; }
for program in mkfs.ext4 mkfs.xfs mkfs.btrfs modprobe python3 tar; do
	PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
		{ echo "SKIP oci: there is no $program here" && exit 77; }
done
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
fails=0

check() {
	local name=$1
	shift
	if "$@" >"$dir/output" 2>&1; then
		echo "ok $name"
	else
		sed 's/^/    /' "$dir/output"
		echo "FAIL $name: $*"
		fails=1
	fi
}

check "an image without an engine" packaging/oci-image.sh "$(dirname "$DRIVER")" "$dir/image"

# Reads the layout as the specification says and checks each descriptor against its blob.
cat >"$dir/layout.py" <<'END'
import gzip, hashlib, json, os, sys
top = sys.argv[1]
assert json.load(open(top + "/oci-layout")) == {"imageLayoutVersion": "1.0.0"}
seen = set()
def blob(d):
    kind, sum = d["digest"].split(":")
    path = f"{top}/blobs/{kind}/{sum}"
    data = open(path, "rb").read()
    assert kind == "sha256" and hashlib.sha256(data).hexdigest() == sum, d
    assert len(data) == d["size"], d
    seen.add(sum)
    return data
index = json.load(open(top + "/index.json"))
assert index["schemaVersion"] == 2 and len(index["manifests"]) == 1
manifest = json.loads(blob(index["manifests"][0]))
config = json.loads(blob(manifest["config"]))
layers = [blob(l) for l in manifest["layers"]]
plain = [gzip.decompress(l) for l in layers]
assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(p).hexdigest() for p in plain]
assert config["architecture"] == index["manifests"][0]["platform"]["architecture"]
assert seen == set(os.listdir(top + "/blobs/sha256")), "a blob that nothing names"
open(sys.argv[2], "wb").write(plain[0])
END
check "digests and sizes fit" python3 "$dir/layout.py" "$dir/image" "$dir/layer.tar"

cp -r "$dir/image" "$dir/broken"
layer=$(find "$dir/broken/blobs/sha256" -type f -size +1M)
printf x | dd of="$layer" bs=1 seek=4096 conv=notrunc status=none
if python3 "$dir/layout.py" "$dir/broken" /dev/null 2>/dev/null; then
	echo "FAIL a changed byte in a layer is seen: it isn't"
	fails=1
else
	echo "ok a changed byte in a layer is seen"
fi

check "a second run" packaging/oci-image.sh "$(dirname "$DRIVER")" "$dir/again"
check "the same input gives the same image" diff -r "$dir/image" "$dir/again"

if [ "$(id -u)" != 0 ]; then
	echo "SKIP the programs run in the image: only root can chroot"
	exit $fails
fi
mkdir "$dir/root"
check "the layer unpacks" tar -C "$dir/root" -xf "$dir/layer.tar"
inside() {
	env -i PATH=/usr/sbin:/usr/bin chroot "$dir/root" "$@"
}
says() {
	inside "${@:2}" 2>&1 | grep -q "$1"
}
version=$("$DRIVER" --version)
check "the driver runs in it" says "^$version\$" /usr/sbin/cryptvol-csi --version
check "mkfs.ext4 runs in it" says '^mke2fs 1' mkfs.ext4 -V
check "fsck.ext4 runs in it" says '^e2fsck 1' fsck.ext4 -V
check "resize2fs runs in it" says '^Usage: resize2fs' resize2fs
check "mkfs.xfs runs in it" says '^mkfs.xfs version' mkfs.xfs -V
check "xfs_growfs runs in it" says '^xfs_growfs version' xfs_growfs -V
check "mkfs.btrfs runs in it" says 'btrfs-progs' mkfs.btrfs --version
check "btrfs runs in it" says 'btrfs-progs' btrfs --version
check "modprobe runs in it" says '^kmod version' modprobe --version
truncate -s 64M "$dir/root/tmp/image"
check "it makes an ext4 file system" inside mkfs.ext4 -q -F -m 0 /tmp/image
check "no shell is in it" test ! -e "$dir/root/usr/bin/sh"
exit $fails
