#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What other CSI drivers run to stage an encrypted volume. Each step's time in microseconds, a line a step.
# usage: pipeline.sh new|again|unstage DEVICE NAME MOUNTPOINT KEYFILE [luksFormat's PBKDF options...]
set -euo pipefail
verb=$1 device=$2 name=$3 at=$4 key=$5
shift 5

# step NAME COMMAND...
step() {
	local from=${EPOCHREALTIME/./} what=$1
	shift
	"$@"
	echo "$what $((${EPOCHREALTIME/./} - from))"
}

case $verb in
new) step luksFormat cryptsetup -q luksFormat --type luks2 "$@" --key-file "$key" "$device" ;;&
new | again) step open cryptsetup open --key-file "$key" "$device" "$name" ;;&
new) step mkfs mkfs.ext4 -q -F -m 0 "/dev/mapper/$name" ;;&
new | again) step mount mount "/dev/mapper/$name" "$at" ;;
unstage)
	step umount umount "$at"
	step close cryptsetup close "$name"
	;;
*) exit 2 ;;
esac
