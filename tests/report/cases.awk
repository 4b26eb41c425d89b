# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
#
# Count test cases in meson's testlog.txt: "PASSED FAILED". A Criterion program counts by its
# synthesis, a TAP program by its lines, any other by its exit status; a program that failed counts at
# least one failure, whatever it printed.
function finish() {
    if (!open)
        return
    if (!ok && bad == 0)
        bad = 1
    if (good == 0 && bad == 0 && !skipped)
        good = 1
    passed += good
    failed += bad
    open = 0
}
{ gsub(/\033\[[0-9;]*m/, "") }
/^=+ [0-9]+\/[0-9]+ =+$/ { finish(); open = 1; ok = 1; good = bad = skipped = 0 }
/^result:/ { ok = ($0 ~ /exit status (0|77)$/ || $0 ~ /OK|SKIP/); skipped = ($0 ~ /exit status 77|SKIP/) }
/^(not )?ok [0-9]+/ { if ($1 == "ok") good++; else bad++ }
/Synthesis: Tested:/ {
    for (i = 1; i < NF; i++) {
        if ($i == "Passing:") good += $(i + 1)
        if ($i == "Failing:") bad += $(i + 1)
        if ($i == "Crashing:") bad += $(i + 1)
    }
}
/^Summary of Failures:|^Ok:/ { finish() }
END {
    finish()
    if (passed + failed == 0)
        exit 1
    print passed + 0, failed + 0
}
