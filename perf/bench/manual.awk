# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
#
# sona-bench(1) out of its --help, so that neither says what the other does not.
# usage: sona-bench --help | awk -v version=0.1.0 -f manual.awk

function troff(text) {
    sub(/^ +/, "", text)
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/)
        text = "\\&" text
    return text
}

BEGIN {
    print ".\\\" SPDX-License-Identifier: MIT OR Apache-2.0"
    print ".\\\" Copyright (c) 2026 The SONA authors"
    print ".TH SONA\\-BENCH 1 \"\" \"sona " version "\" \"User Commands\""
    print ".nh\n.ad l"
    print ".SH NAME\nsona\\-bench \\- measure every operation beside the least that it must take"
}

/^usage: / {
    sub(/^usage: /, "")
    print ".SH SYNOPSIS\n.B " troff($0) "\n.SH DESCRIPTION"
    next
}

/^ *$/ { paragraph = 1; next }

# "  --name VALUE  what it does", and what goes on far to the right.
/^  --/ {
    if (!options++)
        print ".SH OPTIONS"
    words = substr($0, 3, match(substr($0, 3), /  +/) - 1)
    print ".TP\n\\fB" troff(words) "\\fR\n" troff(substr($0, 3 + length(words)))
    paragraph = 0
    next
}

/^Columns: /    { print ".SH OUTPUT";      sub(/^Columns: t/, "T"); paragraph = 0 }
/^SONA_SIMD=/   { print ".SH ENVIRONMENT"; paragraph = 0 }
/^Exit codes: / { print ".SH EXIT STATUS"; sub(/^Exit codes: /, ""); paragraph = 0 }

{
    if (paragraph && (options || described))
        print ".PP"
    paragraph = 0
    described = 1
    print troff($0)
}

END {
    print ".SH EXAMPLES\n.TP\n.B sona\\-bench \\-\\-filter 'decide/*' \\-\\-ms 2000"
    print "Decisions, two seconds for each row."
    print ".TP\n.B make bench\nAll of it, the peer beside us, and the pages of docs/figures."
    print ".SH SEE ALSO\n.BR sonactl (1),\n.BR sona\\-sidecar (8),\n.BR sona_client (3)"
}
