# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
#
# The manual page of a program out of its --help, so that neither says what the other does not.
# usage: PROGRAM --help | awk -v program=NAME -v summary=TEXT -v version=0.1.0 -f program.awk

function troff(text) {
    sub(/^ +/, "", text)
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/)
        text = "\\&" text
    return text
}

function section(name) {
    if (table)
        print ".EE"
    print ".SH " name
    table = paragraph = 0
    described = 1
}

# Something of a table: as it stands, words at the left in columns.
function row(line) {
    gsub(/\\/, "\\e", line)
    gsub(/-/, "\\-", line)
    print line
}

BEGIN {
    print ".\\\" SPDX-License-Identifier: MIT OR Apache-2.0"
    print ".\\\" Copyright (c) 2026 The SONA authors"
    print ".TH " toupper(troff(program)) " 1 \"\" \"sona " version "\" \"User Commands\""
    print ".nh\n.ad l"
    print ".SH NAME\n" troff(program) " \\- " summary
}

/^usage: / {
    sub(/^usage: /, "")
    print ".SH SYNOPSIS\n.B " troff($0)
    usage = 1
    next
}

# More ways to call it.
usage && /^ +sona-/ {
    print ".br\n.B " troff($0)
    next
}

usage { print ".SH DESCRIPTION"; usage = 0 }

/^ *$/ { paragraph = 1; if (table) print ""; next }

/^Columns: /              { section("OUTPUT"); sub(/^Columns: t/, "T") }
/^SONA_SIMD=/             { section("ENVIRONMENT") }
/^Exit codes: /           { section("EXIT STATUS"); sub(/^Exit codes: /, "") }
/^Presets:$/              { section("PRESETS"); print ".EX"; table = 1; next }
/^Configuration keys/     { section("CONFIGURATION KEYS"); print "Defaults are in brackets.\n.EX"; table = 1; next }

table { row($0); next }

# "  --name VALUE  what it does", and what goes on far to the right.
/^  --/ {
    if (!options++)
        print ".SH OPTIONS"
    gap = match(substr($0, 3), /  +/)
    words = gap ? substr($0, 3, gap - 1) : substr($0, 3)
    print ".TP\n\\fB" troff(words) "\\fR"
    if (gap) {
        print troff(substr($0, gap + 2))
        column = gap + 2 + RLENGTH
    }
    paragraph = deeper = 0
    next
}

# A choice of an option, with words of its own; and what is said of all of them.
options && /^ / {
    at = match($0, /[^ ]/)
    if (at == column && (deeper || /^ +[a-z]+\[/ || /[^ ]   *[^ ]/))
        print ".br"
    deeper = at > column
}

# An example is a line by itself.
/^  [{]/ { print ".br\n" troff($0); example = 1; next }

example { print ".br"; example = 0 }

{
    if (paragraph && (options || described))
        print ".PP"
    paragraph = 0
    described = 1
    print troff($0)
}

END {
    if (table)
        print ".EE"
    if (program == "sona-bench") {
        print ".SH EXAMPLES\n.TP\n.B sona\\-bench \\-\\-filter 'decide/*' \\-\\-ms 2000"
        print "Decisions, two seconds for each row."
        print ".TP\n.B make bench\nAll of it, the peer beside us, and the pages of docs/figures."
    }
    print ".SH SEE ALSO\n.BR sonactl (1),\n.BR sona\\-sidecar (8),\n.BR sona_client (3)"
}
