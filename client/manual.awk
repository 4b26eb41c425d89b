# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
#
# sona_client(3) out of the headers, which are the manual: the words of the file, then every call with
# its prototype and what its comment says, then the errors.
# usage: awk -v version=0.1.0 -f manual.awk include/sona/client.h include/sona/error.h

# Text in troff: hyphens that are some, no line that begins with a request.
function troff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    sub(/^[.']/, "\\\\\\&&", text)
    return text
}

# The lines of a comment: tags become paragraphs of their own.
function say(n,    i, text, tag) {
    for (i = 1; i <= n; i++) {
        text = comment[i]
        sub(/^ +/, "", text)
        gsub(/@p /, "", text)
        if (text ~ /^@param/) {
            tag = text
            sub(/^@param +/, "", tag)
            text = tag
            sub(/ .*/, "", tag)
            sub(/^[^ ]+ */, "", text)
            print ".TP\n\\fI" troff(tag) "\\fR"
        }
        while (match(text, /@(return|threads|cost) */)) {
            if (RSTART > 1)
                print troff(substr(text, 1, RSTART - 1))
            tag = substr(text, RSTART + 1, RLENGTH - 1)
            text = substr(text, RSTART + RLENGTH)
            sub(/ *$/, "", tag)
            print ".TP\n" toupper(substr(tag, 1, 1)) substr(tag, 2)
        }
        if (text ~ /[^ ]/)
            print troff(text)
    }
}

BEGIN {
    print ".\\\" SPDX-License-Identifier: MIT OR Apache-2.0"
    print ".\\\" Copyright (c) 2026 The SONA authors"
    print ".TH SONA_CLIENT 3 \"\" \"sona " version "\" \"Library Functions\""
    print ".nh\n.ad l"
    print ".SH NAME\nsona_client \\- decide, report outcomes, apply what was learned"
    print ".SH LIBRARY\nlibsona\\-client (\\fBpkg\\-config \\-\\-cflags \\-\\-libs sona\\-client\\fR)"
    print ".SH SYNOPSIS\n.nf\n#include <sona/client.h>\n.fi"
}

FNR == 1 { file++ }

# ---- comments ----

/^\/\*\*/ {
    lines = 0
    open = 1
    sub(/^\/\*\* ?/, "")
    if ($0 == "")
        next
    $0 = " * " $0
}

open {
    closed = $0 ~ /\*\/$/
    sub(/ *\*\/$/, "")
    sub(/^ \* ? ?/, "")
    if ($0 ~ /[^ ]/)
        comment[++lines] = $0
    if (closed)
        open = 0
    if (closed && file == 1 && comment[1] ~ /^@file/) {
        comment[1] = ""
        print ".SH DESCRIPTION"
        say(lines)
        print ".SH CALLS"
    }
    next
}

# ---- calls ----

file == 1 && /^SONA_API/ { prototype = "" ; inside = 1 }

inside {
    line = $0
    sub(/^SONA_API /, "", line)
    prototype = prototype (prototype == "" ? "" : "\n") line
    if (line ~ /;$/) {
        inside = 0
        name = prototype
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        print ".SS " troff(name) "\n.nf\n\\fB" troff(prototype) "\\fR\n.fi" (lines > 0 ? "\n.PP" : "")
        say(lines)
        lines = 0
    }
}

# ---- errors ----

file == 2 && /^ *X\(E_/ { table = 1; row = "" }

table {
    line = $0
    gsub(/ *\\$/, "", line)
    gsub(/^ +/, "", line)
    row = row line
    if (line ~ /\)$/) {
        table = 0
        split(row, part, "\"")
        code = part[1]
        sub(/^X\(/, "", code)
        sub(/,.*/, "", code)
        errors = errors ".TP\n\\fBSONA_" code "\\fR\n" troff(part[2]) ": " troff(part[4]) ".\n"
    }
}

END {
    printf ".SH ERRORS\nEvery code has a text and a remedy, by sona_err_text() and sona_err_remedy().\n%s", errors
    print ".SH SEE ALSO\n.BR sona\\-sidecar (8),\n.BR sonactl (1),\n.BR sona\\-segment (7)"
}
