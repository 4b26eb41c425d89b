# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
#
# sonactl(1) out of its --help, which is made of the tables of commands and options.
# usage: sonactl --help | awk -v version=0.1.0 -f manual.awk

function troff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/)
        text = "\\&" text
    return text
}

# "  words    what it does": two of them make an entry; a line far to the right goes on with it.
function entry(line,    at, words) {
    sub(/^ +/, "", line)
    at = match(line, /  +/)
    words = at ? substr(line, 1, at - 1) : line
    print ".TP\n\\fB" troff(words) "\\fR"
    if (at)
        print troff(substr(line, at + RLENGTH))
}

BEGIN {
    print ".\\\" SPDX-License-Identifier: MIT OR Apache-2.0"
    print ".\\\" Copyright (c) 2026 The SONA authors"
    print ".TH SONACTL 1 \"\" \"sona " version "\" \"User Commands\""
    print ".nh\n.ad l"
    print ".SH NAME\nsonactl \\- ask a sidecar how it is, change it, look after its store"
}

/^Usage: / {
    sub(/^Usage: /, "")
    print ".SH SYNOPSIS\n.B " troff($0) "\n.SH DESCRIPTION"
    next
}

# A table begins.
/^[A-Z].*:$/ {
    sub(/:$/, "")
    print ".SH " toupper(troff($0))
    table = 1
    next
}

# The options follow the last table without a word.
/^ +(-.,|--)/ && !options {
    print ".SH OPTIONS"
    options = table = 1
}

/^Exit status: / {
    sub(/^Exit status: /, "")
    print ".SH EXIT STATUS"
    table = 0
}

/^ *$/ { next }

# Far to the right: the entry goes on.
table && match($0, /[^ ]/) > 10 { sub(/^ +/, ""); print troff($0); next }
table && /^ /                   { entry($0); next }

{ sub(/^ +/, ""); print troff($0) }

END {
    print ".SH SEE ALSO\n.BR sona\\-sidecar (8),\n.BR sona_client (3),\n.BR sona\\-segment (7)"
}
