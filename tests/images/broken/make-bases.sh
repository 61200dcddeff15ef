#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make the headers that the table of broken ones starts from, with the cryptsetup that is installed;
# no device-mapper needed. Only the headers are kept: their keyslots open nothing.
#   tests/images/broken/make-bases.sh [DIR]
set -eu
dir=$(cd "${1:-$(dirname "$0")}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
printf 'passphrase' >key
fast="--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
argon="--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32 --pbkdf-parallel 1"

keep() { # image bytes
	head -c "$2" "$1.img" | xz -9e --check=crc32 >"$dir/$1.hdr.xz"
}

# One keyslot, nothing else: what luksFormat leaves by default, but for the KDF.
truncate -s 4M plain.img
cryptsetup -q luksFormat --type luks2 $fast --uuid c0ffee00-0000-4000-8000-000000000001 \
	--luks2-metadata-size 16k --luks2-keyslots-size 512k --offset 2048 --sector-size 512 \
	plain.img key
keep plain 32768

# Labels, three keyslots (argon2id, priority, an unbound key), two tokens.
truncate -s 4M rich.img
cryptsetup -q luksFormat --type luks2 $fast --uuid c0ffee00-0000-4000-8000-000000000002 \
	--label "a label" --subsystem "a subsystem" --luks2-metadata-size 16k \
	--luks2-keyslots-size 1m --offset 4096 --sector-size 4096 rich.img key
cryptsetup -q luksAddKey $argon --key-slot 3 --key-file key rich.img key
cryptsetup -q luksAddKey $fast --unbound --key-slot 5 --key-size 256 rich.img key
cryptsetup config --priority prefer --key-slot 3 rich.img
cryptsetup token add --key-description "a key" --key-slot 3 rich.img
printf '{"type":"somebody-elses","keyslots":["0"],"any":{"thing":[1,2.50,null,true]}}' |
	cryptsetup token import --token-id 4 rich.img
keep rich 32768

# Re-encryption in flight.
truncate -s 32M reencrypt.img
cryptsetup -q luksFormat --type luks2 $fast --uuid c0ffee00-0000-4000-8000-000000000003 \
	--luks2-metadata-size 16k --luks2-keyslots-size 1m --offset 4096 --sector-size 512 \
	reencrypt.img key
cryptsetup -q reencrypt --init-only $fast --key-file key reencrypt.img
keep reencrypt 32768

# LUKS1.
truncate -s 4M luks1.img
cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 \
	--uuid c0ffee00-0000-4000-8000-000000000004 luks1.img key
keep luks1 4096
