#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# Options and exit statuses beside cryptsetup's: options.py.
HERE=$(dirname "$(readlink -f "$0")")
export CRYPTVOL=${CRYPTVOL:-$HERE/../../obj/cryptvol}
case $("${CRYPTSETUP:-cryptsetup}" --version 2>/dev/null) in
"cryptsetup 2.6."*) exec /usr/bin/python3 "$HERE/options.py" ;;
esac
echo "SKIP options: the differences that are expected are those to cryptsetup 2.6"
exit 77
