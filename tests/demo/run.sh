#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run one of the demonstrations on a kernel that has dm-crypt: this host's, a User Mode Linux guest's, or, where neither can be had, a
# QEMU guest's. A QEMU guest sees no file of the host, so the list below names all that the demonstrations use.
# usage: run.sh driver|demo        (run by `make demo`)
set -u
ROOT=$(readlink -f "$(dirname "$0")/../..")
BUILD=${BUILD:-$ROOT/obj}
CRYPTVOL=${CRYPTVOL:-$BUILD/cryptvol}
export BUILD CRYPTVOL

case ${1-} in
demo) items=(tests/lab tests/demo) memory=512M ;;
driver)
	items=(tests/lab tests/demo tests/csi src/csi/proto deploy/kubernetes/examples "$BUILD/cryptvol-csi")
	python=$(readlink -f /usr/bin/python3)
	items+=(/usr/bin/python3 "$python" "/usr/lib/${python##*/}" /usr/bin/protoc /usr/include/google/protobuf)
	for module in grpc google yaml _yaml; do
		items+=("/usr/lib/python3/dist-packages/$module")
	done
	for program in mkfs.xfs xfs_repair xfs_growfs df cp find umount; do
		items+=("$(PATH=/usr/sbin:/usr/bin command -v "$program")")
	done
	memory=1536M
	;;
*) echo "usage: run.sh driver|demo" >&2 && exit 2 ;;
esac
cd "$ROOT" || exit 2
options=()
for item in "${items[@]}"; do
	[ ! -e "$item" ] || options+=(-i "$item")
done
script=tests/demo/$1.sh
exec tests/lab/kernel-run -m "$memory" -t 1800 -M "loop dm-crypt ecb xts xfs" "${options[@]}" -- "$script"
