# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""How cost grows: exponents by a fit over the logarithms of medians, and a plot."""

from plots import GREY, block, draw
from rows import duration, fit, steps

# What grows, by which, and the sidecar's part of it in a note.
FAMILIES = [("micro", "dim", "MicroLoRA kernel"), ("decide", "dim", "decision"),
            ("update", "dim", "update"), ("cycle", "dim", "background cycle"),
            ("decide", "routes", "decision"), ("update", "routes", "update"),
            ("find", "patterns", "find 5 patterns"), ("visible", "clients", "feedback to visible"),
            ("restart", "journal", "restart")]
NAMES = {"dim": "dimensions", "routes": "routes", "patterns": "patterns", "clients": "clients",
         "journal": "outcomes in the journal"}
COLOURS = ["#e5534b", "#3a8bd6", "#57a55a", "#c69026"]


def points(rows, what, by):
    """[(size, median ns)] in the order of size."""
    prefix = "growth/%s/%s/" % (what, by)
    return sorted((int(row["name"][len(prefix):]), row["p50"]) for row in rows.under(prefix))


def table(rows):
    text = ["| | against | from | to | exponent | from point to point |", "|---|---|---|---|---|---|"]
    for what, by, name in FAMILIES:
        found = points(rows, what, by)
        if len(found) < 2:
            raise KeyError("growth/%s/%s was not measured" % (what, by))
        slope, error = fit(found)
        text.append("| %s | %s | %d: %s | %d: %s | %.2f ± %.2f | %s |" % (
            name, NAMES[by], found[0][0], duration(found[0][1]), found[-1][0],
            duration(found[-1][1]), slope, error,
            ", ".join("%.2f" % step for step in steps(found))))
    return "\n".join(text) + "\n"


def plot(rows, by):
    """Cost against one size, both axes logarithmic."""
    families = [(what, name) for what, size, name in FAMILIES if size == by]
    script, drawn, spoken = "", [], []
    for at, (what, name) in enumerate(families):
        found = points(rows, what, by)
        slope, error = fit(found)
        script += block(what, [(x, y / 1e3) for x, y in found])
        drawn.append('$%s using 1:2 with linespoints pointtype 7 pointsize 0.5 linewidth 1.5 '
                     'linecolor rgb "%s" title "%s"' % (what, COLOURS[at], name))
        spoken.append("%s: exponent %.2f ± %.2f" % (name, slope, error))
    script += 'set logscale xy\nset xlabel "%s"\nset ylabel "median, us"\n' % NAMES[by]
    script += "set format x \"%%.0f\"\nset grid linecolor rgb \"%s\" linewidth 0.3\n" % GREY
    script += "plot " + ", \\\n  ".join(drawn) + "\n"
    return draw(script, 640, 320, "Cost against %s" % NAMES[by], "; ".join(spoken) + ".")


def plots(rows):
    return {"growth-%s.svg" % by: plot(rows, by)
            for by in ("dim", "routes", "patterns", "clients", "journal")}


def tails(rows):
    """Percentiles of calls under strain, and without it in the same turns."""
    names = ["publishing", "cycles", "neighbour", "stopped", "killed", "restarted"]
    text = ["| while | call | p50 | p90 | p99 | p99.9 | p99.99 | without: p50 | p99.9 | p99.99 |",
            "|---|---|---|---|---|---|---|---|---|---|"]
    for name in names:
        for call in ("apply", "decide", "patterns"):
            row = rows["tail/%s/%s" % (name, call)]
            calm = rows["tail/%s/%s/without" % (name, call)]
            text.append("| %s | %s | %s |" % (name, call, " | ".join(
                duration(value) for value in [row[p] for p in ("p50", "p90", "p99", "p999",
                                                               "p9999")] +
                [calm[p] for p in ("p50", "p999", "p9999")])))
    return "\n".join(text) + "\n"
