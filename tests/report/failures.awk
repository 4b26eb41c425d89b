# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
#
# What the failed tests of meson's testlog.txt printed, each with its name, at most `most` lines (60)
# of each, the last ones.
function finish() {
    if (open && !ok) {
        print name
        for (i = (n > most ? n - most : 0); i < n; i++)
            print "    " line[i]
    }
    open = 0
}
BEGIN { if (!most) most = 60 }
{ gsub(/\033\[[0-9;]*m/, "") }
/^=+ [0-9]+\/[0-9]+ =+$/ { finish(); open = head = ok = 1; n = 0; next }
/^Summary of Failures:|^Ok:/ { finish() }
head && /^test:/ { name = $0; sub(/^test: */, "", name); next }
head && /^result:/ {
    ok = ($0 ~ /exit status (0|77)$/ || $0 ~ /OK|SKIP/)
    sub(/^result: */, "")
    name = name ": " $0
    next
}
# The command ends what is meson's own.
head { head = ($0 !~ /^command:/); next }
/^-+ (stdout|stderr) -+$|^=+$/ { next }
/^not ok/ { ok = 0 }
open && NF { line[n++] = $0 }
END { finish() }
