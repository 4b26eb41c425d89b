# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""What was asked of each operation, and what was measured: a row each, whatever comes out."""

from rows import duration, grouped, ratio_of, times


def line(what, asked, measured, ratio, reached, why=""):
    return {"what": what, "asked": asked, "measured": measured, "ratio": ratio,
            "reached": reached, "why": why}


def beside(rows, name, what, asked, most, why=""):
    """A row that may take `most` times its floor."""
    row = rows[name]
    text = "%s; floor %s" % (duration(row["p50"]), duration(row["floor"]["p50"]))
    return line(what, asked, text, ratio_of(row), row["ratio"] <= most,
                "" if row["ratio"] <= most else why)


def within(rows, name, what, most_ns, field="p50", why=""):
    row = rows[name]
    floor = row.get("floor")
    reached = row[field] <= most_ns
    return line(what, "%s %s" % ("median" if field == "p50" else field, duration(most_ns)),
                "%s; least %s" % (duration(row[field]), duration(row["min"])),
                "floor %s" % duration(floor["p50"]) if floor else "", reached,
                "" if reached else why)


def kernels(rows):
    found = []
    for dim in (256, 768, 1536, 4096):
        row = rows["kernel/micro/r2/%d" % dim]
        fraction = 1 / row["ratio"]
        found.append(line(
            "MicroLoRA kernel, rank 2, %d" % dim, "0.85 of the roofline",
            "%s; roofline %s" % (duration(row["p50"]), duration(row["floor"]["p50"])),
            "%.2f" % fraction, fraction >= 0.85,
            "" if fraction >= 0.85 else "the limit is %s (%s); two passes with a dependence between "
            "them, and the ends of short loops" % (duration(row["floor"]["min"]),
                                                   row["floor"]["what"])))
    for dim in (256, 768, 1536, 4096):
        most = 1.15 if dim == 256 else 1.05
        kernel = rows["apply/micro/%d" % dim]
        extra = kernel["p50"] - kernel["floor"]["p50"]
        found.append(beside(
            rows, "apply/micro/%d" % dim, "sona_apply_micro, %d" % dim, "%.2f of its kernel" % most,
            most, "%s beside the kernel: pin, check, validation" % duration(extra)))
    found.append(beside(rows, "kernel/base/r8/768", "BaseLoRA kernel, rank 8, 768",
                        "1.15 of its roofline", 1.15,
                        "as for MicroLoRA"))
    found.append(beside(rows, "apply/base/768", "sona_apply_base, rank 8, 768",
                        "(1.15 of its kernel)", 1.15, "what a call adds, as for MicroLoRA"))
    return found


def readers(rows):
    found = []
    for name, what in (("trace/apply/micro/256", "sona_apply_micro"),
                       ("trace/decide/256/9", "sona_decide"),
                       ("trace/outcome/256", "sona_outcome")):
        if not rows.has(name):
            continue
        row = rows[name]
        found.append(line("locked instructions of %s" % what, "0",
                          "%s instructions: %s" % (grouped(row["p50"]), row["note"]), "",
                          row["note"].startswith("0 of them")))
    for n in (2, 4, 8):
        found.append(beside(rows, "readers/%d" % n, "%d readers, processor time of a call" % n,
                            "1.1 of one reader", 1.1,
                            "median of %s against %s; others use this machine"
                            % (duration(rows["readers/%d" % n]["p50"]),
                               duration(rows["readers/%d" % n]["floor"]["p50"]))))
    return found


def routing(rows):
    decide = rows["decide/256/9"]
    traj = rows["trajectory/256"]
    return [
        beside(rows, "decide/256/9", "sona_decide, 256, 9 routes", "1.5 of its floor", 1.5,
               "the floor moves bytes and computes nothing; kernels on the same bytes and the "
               "scalar stack of four terms and widths take as long again each, and wait for one "
               "another (ADR 0038)"),
        within(rows, "decide/256/9", "sona_decide, 256, 9 routes", 1500,
               why="least %s; its floor and the arithmetic behind it are above that together"
               % duration(decide["min"])),
        beside(rows, "outcome/256/undrained", "sona_outcome, nobody drains",
               "1.5 of its record copied", 1.5, "checks, counters and the ring's fence"),
        within(rows, "outcome/256", "sona_outcome, a live consumer", 150),
        line("begin + step + end, 256 + 64 floats", "150 to 214 ns (a fifth of the peer's native)",
             "%s; its three records copied: %s" % (duration(traj["p50"]),
                                                   duration(traj["floor"]["p50"])),
             ratio_of(traj), traj["p50"] <= 214,
             "" if traj["p50"] <= 214 else "2.3 KiB are written to memory that another process "
             "reads: the copies alone take %s here" % duration(traj["floor"]["p50"])),
    ]


def recall(rows):
    """What the short list of a large bank loses against a scan."""
    return [line("the same, found of the 5 nearest, %s" % row["name"][len("recall/"):], "0.99",
                 "%.4f of %s patterns; worst query %.1f"
                 % (row["recall"], grouped(row["patterns"]), row["worst"]),
                 "%.1f times as fast as a scan" % row["ratio"], row["recall"] >= 0.99,
                 "" if row["recall"] >= 0.99 else "features that are nearly orthogonal: the fifth "
                 "nearest is hardly nearer than hundreds of others (ADR 0036)")
            for row in rows.under("recall/")]


def patterns(rows):
    far = rows["bank/10000/256"]
    idle, busy = rows["tail/cycles/patterns/without"], rows["tail/cycles/patterns"]
    cycle = rows["background/1000"]
    found = [
        within(rows, "patterns/100/256", "sona_find_patterns, 5 of 100, 256", 3000,
               why="one stream over what it reads takes %s, the bare look-up %s"
               % (duration(rows["patterns/100/256"]["floor"]["p50"]),
                  duration(rows["bank/100/256"]["p50"]))),
        within(rows, "bank/10000/256", "the same, of 10,000", 60000,
               why="one stream over the signatures and the short list takes %s on this machine"
               % duration(far["floor"]["p50"])),
        *recall(rows),
        within(rows, "background/1000", "background cycle, 1,000 new of 5,000, 256", 25e6,
               why="its 21 streams over the replay take %s; the rest is arithmetic"
               % duration(cycle["floor"]["p50"])),
    ]
    for name, history in (("background/1000/20k", "20,000"), ("background/1000/100k", "100,000")):
        if rows.has(name):
            grown = rows[name]["p50"] / cycle["p50"]
            found.append(line("the same after a history of %s" % history, "independent",
                              duration(rows[name]["p50"]), "%.2f of that after 5,000" % grown,
                              grown < 1.25))
    found.append(line("find_patterns during cycles, p99.9", "2 times of idle",
                      "%s; idle %s" % (duration(busy["p999"]), duration(idle["p999"])),
                      times(busy["p999"] / idle["p999"]), busy["p999"] <= 2 * idle["p999"],
                      "" if busy["p999"] <= 2 * idle["p999"] else "no reader waits (p50 %s against "
                      "%s): the processor is shared with the cycle" % (duration(busy["p50"]),
                                                                       duration(idle["p50"]))))
    return found


def sidecar(rows):
    active, idle = rows["visible/active"], rows["visible/idle"]
    ping, nap = rows["visible/null/pingpong"], rows["visible/null/sleep"]
    cpu = rows["idle/1000us"]["p50"]
    publish = rows["publish/64k"]
    return [
        line("publish 64 KiB, p99", "50 us", "%s; the copy alone %s" % (
            duration(publish["p99"]), duration(publish["floor"]["p50"])), ratio_of(publish),
            publish["p99"] <= 50e3, "" if publish["p99"] <= 50e3 else
            "nothing waits in it: median %s, and who has the processor meanwhile"
            % duration(publish["p50"])),
        line("feedback to visible, active, p99", "200 us", "%s; p50 %s" % (
            duration(active["p99"]), duration(active["p50"])),
            "bare ping-pong: p99 %s, p50 %s" % (duration(ping["p99"]), duration(ping["p50"])),
            active["p99"] <= 200e3, "" if active["p99"] <= 200e3 else
            "a bare ping-pong has a p99 of %s in the same turns" % duration(ping["p99"])),
        line("feedback to visible, from idle, p99", "1.2 ms", "%s; p50 %s" % (
            duration(idle["p99"]), duration(idle["p50"])),
            "bare sleep of 1 ms: p99 %s" % duration(nap["p99"]), idle["p99"] <= 1.2e6,
            "" if idle["p99"] <= 1.2e6 else "a bare sleep of 1 ms has a p99 of %s in the same "
            "turns; the rest is the kernel, which lets the observer finish its slice (ADR 41)"
            % duration(nap["p99"])),
        line("idle sidecar, naps of 1 ms at most", "2.5 %", "%.2f %%" % cpu,
             "100 us: %.1f %%, 10 ms: %.2f %%" % (rows["idle/100us"]["p50"],
                                                   rows["idle/10000us"]["p50"]), cpu <= 2.5),
    ]


def memory(rows):
    waiting = rows["memory/trajectory/256"]
    edge = rows["memory/preset/edge_deployment"]
    return [
        line("shared memory of a lane", "documented", "%s bytes at 256, %s at 1,536 dimensions" % (
            grouped(rows["memory/lane/256"]["p50"]), grouped(rows["memory/lane/1536"]["p50"])),
            "", True),
        line("a trajectory that waits", "1 KiB + payload", "%s bytes, %s" % (
            grouped(waiting["p50"]), waiting["note"]), "", waiting["p50"] <= 2048),
        line("sidecar of edge_deployment, private", "5 MB", "%.1f MB %s" % (
            edge["p50"] / 1e6, edge["note"]), "", edge["p50"] < 5e6),
    ]


def whole(rows):
    router, learned = rows["e2e/router"], rows["e2e/learned"]
    own = rows["e2e/router/cpu"]
    core, drops = rows["e2e/learned/core"], rows["e2e/paced/drops"]
    return [
        line("one router thread, decide + outcome", "500,000 a second",
             "%s a second; %s" % (grouped(router["p50"]), router["note"]), "",
             router["p50"] >= 500000,
             "" if router["p50"] >= 500000 else "a decision takes %s and an outcome %s: %s a second "
             "of the calls alone" % (duration(rows["decide/256/9"]["p50"]),
                                     duration(rows["outcome/256"]["p50"]),
                                     grouped(1e9 / (rows["decide/256/9"]["p50"] +
                                                    rows["outcome/256"]["p50"])))),
        line("the same for a second of its processor time", "500,000", "%s" % grouped(own["p50"]),
             "", own["p50"] >= 500000, "" if own["p50"] >= 500000 else
             "reading the clock, %s, is in it" % duration(rows["clock/read"]["p50"])),
        line("what the sidecar learns of it", "stated", "%s a second; %s" % (
            grouped(learned["p50"]), learned["note"]), "", True),
        line("the same for a second of its processor time", "stated",
             "%s a second; bound by the update (%s alone)" % (
                 grouped(core["p50"]), duration(rows["update/256/9"]["p50"])), "", True),
        line("drops at half of that rate", "0", "%s; %s" % (grouped(drops["p50"]), drops["note"]),
             "", drops["p50"] == 0),
    ]


SECTIONS = [("Kernels and adapters", kernels), ("Readers", readers), ("Routing", routing),
            ("Patterns and background", patterns), ("Sidecar", sidecar), ("Memory", memory),
            ("End to end", whole)]


def table(found):
    text = ["| | asked | measured | ratio | |", "|---|---|---|---|---|"]
    for one in found:
        mark = "reached" if one["reached"] else "**not reached**"
        text.append("| %s | %s | %s | %s | %s%s |" % (
            one["what"], one["asked"], one["measured"], one["ratio"], mark,
            ": " + one["why"] if one["why"] else ""))
    return "\n".join(text) + "\n"


def page(rows):
    parts, reached, total = [], 0, 0
    for title, section in SECTIONS:
        found = section(rows)
        reached += sum(one["reached"] for one in found)
        total += len(found)
        parts.append("## %s\n\n%s" % (title, table(found)))
    return "%d of %d rows reached.\n\n%s" % (reached, total, "\n".join(parts))
