# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
#
# The rules of the house that a machine can check, over files named relative to the root: walls
# between the rooms, licence headers, sizes, paths of somebody's machine. Prints "file:line: what" and
# exits with 1 when there is anything to print.

BEGIN {
    LINES_MAX = 600
    COLUMNS_MAX = 100
    FUNCTION_LINES_MAX = 70

    # What a room may include beside the system's headers, as prefixes; "sona/" is <sona/...>.
    # The first room whose name begins the file's path counts.
    rooms = 0
    room("include/sona/", "sona/")
    room("engine/kernels/", "engine/kernels/")
    room("engine/model/", "sona/ engine/model/ engine/kernels/")
    room("engine/", "sona/ engine/")
    room("shm/", "sona/ shm/")
    room("client/", "sona/ client/ shm/ engine/model/ engine/kernels/")
    room("sidecar/store/", "sona/ sidecar/store/ sidecar/clock.h shm/diag.h shm/fault.h")
    room("sidecar/", "sona/ sidecar/ engine/ shm/")
    # sonactl asks a sidecar over its control socket, hence the two headers of shm.
    room("tools/", "sona/ tools/ client/ engine/ shm/control.h shm/wire.h sidecar/store/ sidecar/verify.h")
    room("bindings/", "sona/ bindings/")
    room("examples/", "sona/")
    room("tests/", "*")
    room("perf/", "*")

    # Headers of others that have one home. The tests may look into the sidecar's.
    homes = 0
    home("^ck_ring\\.h$", "^shm/ring\\.c$", "shm/ring.c")
    home("^urcu", "^(sidecar|tests)/", "sidecar/")
    home("^jemalloc/", "^sidecar/", "sidecar/")
    home("^seccomp\\.h$", "^sidecar/", "sidecar/")
    home("^libfyaml", "^(sidecar/config|tests)/", "sidecar/config/")
    home("^sqlite3", "^(sidecar/store|tests|perf)/", "sidecar/store/")
}

function room(prefix, allowed) {
    room_prefix[++rooms] = prefix
    room_allows[rooms] = allowed
}

function home(header, where, words) {
    home_header[++homes] = header
    home_where[homes] = where
    home_words[homes] = words
}

function complain(line, what) {
    print name ":" line ": " what
    bad = 1
}

function begins(text, prefix) {
    return substr(text, 1, length(prefix)) == prefix
}

# An #include line: `open` is < or ".
function check_include(open, header,    i, n, allowed, ours) {
    for (i = 1; i <= homes; i++)
        if (header ~ home_header[i] && name !~ home_where[i])
            complain(FNR, "<" header "> belongs to " home_words[i] " alone")
    for (i = 1; i <= rooms && !begins(name, room_prefix[i]); i++)
        ;
    if (i > rooms) {
        complain(FNR, "a source file in no room: add the room to tests/lint/lint.awk")
        return
    }
    if (room_allows[i] == "*")
        return
    if (open == "<" && !begins(header, "sona/"))
        return
    if (header ~ /\.\./)
        complain(FNR, "include \"" header "\" by its path from the root")
    if (open == "\"" && begins(header, "sona/"))
        complain(FNR, "public headers are included as <" header ">")
    if (open == "\"" && header !~ /\//)
        return # beside the file itself
    n = split(room_allows[i], allowed, " ")
    for (; n > 0; n--)
        if (begins(header, allowed[n]))
            return
    complain(FNR, room_prefix[i] " may not include " header)
}

# Everything that is known only at the end of a file.
function finish() {
    if (name == "")
        return
    if (wants_spdx && spdx < 2)
        complain(1, "the SPDX line and the copyright line are missing at the top")
    if (is_c && lines > LINES_MAX)
        complain(lines, "more than " LINES_MAX " lines")
}

FNR == 1 {
    finish()
    name = FILENAME
    sub(/^\.\//, "", name)
    is_c = name ~ /\.[ch]$/
    is_script = $0 ~ /^#!/
    is_meson = name ~ /(^|\/)meson(\.build|_options\.txt)$/
    wants_spdx = is_c || is_meson || is_script || name ~ /\.(awk|ini|sh)$/
    spdx = 0
    body = 0
}

{
    lines = FNR
    if (FNR <= 3 && /SPDX-License-Identifier: MIT OR Apache-2\.0/)
        spdx++
    if (FNR <= 4 && /Copyright \(c\) [0-9]+ The SONA authors/)
        spdx++
    # A path below these is one machine's; "$dir/root" and words with a slash are not.
    if ((" " $0 " ") ~ /[^A-Za-z0-9_.})~*-]\/(home|root|work)[\/ "'`),;:]/)
        complain(FNR, "a path of one machine")
}

is_meson && /deps\[.jemalloc.\]/ && name != "sidecar/meson.build" {
    complain(FNR, "jemalloc is linked with the sidecar alone")
}

is_c {
    text = $0
    gsub(/[\200-\277]/, "", text) # one character of UTF-8 counts once
    if (length(text) > COLUMNS_MAX)
        complain(FNR, "longer than " COLUMNS_MAX " columns")
    if (text ~ /[ \t]$/)
        complain(FNR, "white space at the end of the line")
    if (text ~ /^{/)
        body = FNR
    if (text ~ /^}/ && body > 0) {
        if (FNR - body - 1 > FUNCTION_LINES_MAX)
            complain(body, "a function of more than " FUNCTION_LINES_MAX " lines")
        body = 0
    }
    if (text ~ /^[ \t]*#[ \t]*include[ \t]*[<"]/) {
        sub(/^[ \t]*#[ \t]*include[ \t]*/, "", text)
        header = substr(text, 2)
        sub(/[>"].*/, "", header)
        check_include(substr(text, 1, 1), header)
    }
}

END {
    finish()
    exit bad
}
