#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The man page and the completion name every action and option that --help lists, and none besides.

set -u
cd "$(dirname "$0")/../.." || exit 1
CRYPTVOL=${CRYPTVOL:-obj/cryptvol}
[ -x "$CRYPTVOL" ] || { echo "SKIP man: $CRYPTVOL isn't built" && exit 77; }
fails=0

report() {
	if [ -z "$2" ]; then
		echo "ok $1"
	else
		echo "FAIL $1: $(tr '\n' ' ' <<<"$2")"
		fails=1
	fi
}

help=$("$CRYPTVOL" --help)
options=$(grep -oE '^ +(-., )?--[a-z0-9_-]+' <<<"$help" | grep -oE -e '--[a-z0-9_-]+' | sort -u)
actions=$(sed -n '/^<action> is one of/,/^$/p' <<<"$help" | grep -oE '^  [a-zA-Z]+' | tr -d ' ' | sort -u)
aliases=$(sed -n 's/^ *older names: //p' <<<"$help" | tr -d ' ' | tr ',' '\n' | sort -u)
[ "$(wc -l <<<"$options")" -gt 50 ] && [ "$(wc -l <<<"$actions")" -gt 15 ] ||
	report "the lists of --help are read" "options: $options actions: $actions"

# In mdoc "--name" is "Fl -name" and an action "Cm name".
page_options=$(grep -oE '^\.(It|Fl).*' man/cryptvol.8 | grep -oE '(Fl|,) -[a-z0-9_-]{2,}' | sed 's/^[^-]*-/--/' | sort -u)
page_words=$(grep -oE 'Cm [a-zA-Z]+' man/cryptvol.8 | cut -d' ' -f2 | sort -u)
old_spellings=$'--dump-master-key\n--master-key-file'

report "man page: options missing" "$(comm -23 <(echo "$options") <(echo "$page_options"))"
report "man page: options that aren't there" \
	"$(comm -13 <(echo "$options") <(echo "$page_options") | grep -vxF -e "$old_spellings")"
report "man page: actions missing" "$(comm -23 <(echo "$actions") <(echo "$page_words"))"
report "man page: older names missing" \
	"$(comm -23 <(grep -v '^plain' <<<"$aliases") <(echo "$page_words"))"

# shellcheck source=/dev/null
. tools/completion/cryptvol
words() {
	printf '%s\n' $1 | sort -u
}
completed=$(words "$_cryptvol_valued $_cryptvol_flags")
report "completion: options missing" "$(comm -23 <(echo "$options") <(echo "$completed"))"
report "completion: options that aren't there" \
	"$(comm -13 <(echo "$options") <(echo "$completed") | grep -vxF -e "$old_spellings")"
report "completion: actions missing" \
	"$(comm -23 <(printf '%s\n' $actions $(grep -v ^plain <<<"$aliases") | sort -u) <(words "$_cryptvol_actions"))"
report "completion: options with a value" \
	"$(diff <(grep -oE -e '--[a-z0-9_-]+=' <<<"$help" | tr -d = | sort -u) \
		<(words "$_cryptvol_valued" | grep -vxF -e "$old_spellings"))"

# The function itself.
complete_line() {
	read -ra COMP_WORDS <<<"$1"
	[ "${1: -1}" = " " ] && COMP_WORDS+=("")
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_cryptvol
	echo "${COMPREPLY[*]}"
}
report "completion: an action" "$(diff <(complete_line "cryptvol luksF") <(echo luksFormat))"
report "completion: a value" "$(diff <(complete_line "cryptvol open --priority pre") <(echo prefer))"

if command -v mandoc >/dev/null; then
	report "mandoc -T lint" "$(mandoc -T lint man/*.[1-9] 2>/dev/null | grep -vE 'referenced manual not found: Xr (lib)?cryptvol ')"
else
	echo "SKIP mandoc -T lint: there is no mandoc here"
fi
for verb in $actions; do
	"$CRYPTVOL" "$verb" --help | grep -q "^Usage: .* $verb" || report "$verb --help" "no usage line"
done
report "each action has its own --help" ""
exit $fails
