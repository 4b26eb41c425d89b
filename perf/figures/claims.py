# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""The performance claims of the system that came before, each held against what was measured."""

from rows import duration, grouped, times

HEAD = "| claim | claimed | ours | its package, through Node | |\n|---|---|---|---|---|"


def latency(rows, claim, claimed_ns, name, field="p50", peer=None):
    ours = rows[name][field]
    theirs = rows[peer]["p50"] if peer and rows.has(peer) else None
    verdict = "confirmed" if ours <= claimed_ns else "**not confirmed**"
    factor = claimed_ns / ours
    return (claim, duration(claimed_ns), "%s%s (`%s`)" % (
        duration(ours), "" if field == "p50" else " " + field, name),
            duration(theirs) if theirs else "",
            "%s: %s times %s" % (verdict, times(factor if factor >= 1 else 1 / factor),
                                 "faster" if factor >= 1 else "slower"))


def rate(rows, claim, per_s, name, field="p50"):
    ours = 1e9 / rows[name][field]
    return (claim, "%s a second" % grouped(per_s), "%s a second (`%s`)" % (grouped(ours), name), "",
            "confirmed: %s times" % times(ours / per_s) if ours >= per_s else
            "**not confirmed**")


def relation(rows, claim, claimed, name, faster, text):
    """`faster`: how much faster ours is, measured in turns; `claimed` the same number."""
    row = rows[name]
    holds = faster(row) >= claimed
    return (claim, "%.2f" % claimed, "%.2f (`%s`: %s)" % (faster(row), name, text), "",
            "confirmed" if holds else "**not confirmed**")


def found(rows, learning):
    inverse = lambda row: 1 / row["ratio"]  # noqa: E731
    ns, us, ms = 1, 1e3, 1e6
    lines = [
        latency(rows, "MicroLoRA forward, 256", 45 * us, "apply/micro/256", peer="peer/micro/256"),
        latency(rows, "the same, target", 100 * us, "apply/micro/256", "p99"),
        latency(rows, "apply_lora, both tiers", 45 * us, "apply/both/256"),
        latency(rows, "apply_base_lora", 25 * us, "apply/base/256", peer="peer/base/256"),
        latency(rows, "trajectory recording (a step)", 112 * ns, "record/step/256"),
        latency(rows, "begin_trajectory", 50 * ns, "record/begin/256"),
        latency(rows, "end_trajectory", 100 * ns, "record/end/256"),
        latency(rows, "recording, target", 1 * us, "trajectory/256", peer="peer/trajectory/256"),
        latency(rows, "instant learning cycle", 34 * us, "update/256/9"),
        latency(rows, "learn_from_feedback", 500 * us, "visible/active"),
        latency(rows, "pattern search, 100 clusters", 1.3 * ms, "patterns/100/256",
                peer="peer/patterns/100/256"),
        latency(rows, "find_patterns, API table", 100 * us, "patterns/100/256"),
        latency(rows, "background learning; extraction from 1,000 trajectories", 5 * ms,
                "background/1000", peer="peer/background/1000/256"),
        latency(rows, "tick", 34 * us, "engine/tick"),
        latency(rows, "flush", 10 * us, "engine/flush"),
        latency(rows, "get_stats", 1 * us, "engine/stats"),
        latency(rows, "is_enabled", 1 * ns, "engine/enabled"),
        rate(rows, "MicroLoRA rank 2 (SIMD)", 2211, "apply/micro/256"),
        rate(rows, "MicroLoRA rank 1", 2100, "apply/micro/256/r1"),
        rate(rows, "pattern search, k = 5", 770, "patterns/100/256"),
    ]
    batch = rows["apply/batch32/256"]
    lines.append(("batch of 32", "2,236 vectors a second, p99 0.45 ms a vector",
                  "%s a second, p99 %s a vector (`apply/batch32/256`)" % (
                      grouped(32e9 / batch["p50"]), duration(batch["p99"] / 32)), "",
                  "confirmed" if 32e9 / batch["p50"] >= 2236 and batch["p99"] / 32 <= 0.45 * ms
                  else "**not confirmed**"))
    lines += [
        relation(rows, "tip: batches of 32 are faster than calls one by one", 1.0,
                 "apply/batch32/256", inverse, "32 calls take so many times one of 32"),
        relation(rows, "tip: rank 2 is 5 % faster than rank 1", 1.05, "claim/rank/256", inverse,
                 "rank 1's time over rank 2's; rank 2 does twice the work"),
        relation(rows, "tip: SIMD is 10 % faster", 1.10, "claim/simd/256", inverse,
                 "the C row's time over the row's in use"),
        relation(rows, "tip: 100 clusters are searched 2.3 times as fast as 50", 2.3,
                 "claim/clusters/256", inverse, "50 patterns' time over 100's: more is more"),
    ]
    waiting, edge = rows["memory/trajectory/256"], rows["memory/preset/edge_deployment"]
    preset = rows["memory/preset/default"]
    lines += [
        ("memory per trajectory", "about 800 bytes, under 1 KB", "%s bytes: %s" % (
            grouped(waiting["p50"]), waiting["note"]), "",
         "**not confirmed**: an embedding of 256 floats alone is 1,024 bytes"),
        ("edge_deployment", "under 5 MB", "%.1f MB private, of its sidecar" % (edge["p50"] / 1e6),
         "", "confirmed" if edge["p50"] < 5e6 else "**not confirmed**"),
        ("memory overhead in all", "under 1 MB", "%.1f MB private (default), %.1f MB "
         "(edge_deployment)" % (preset["p50"] / 1e6, edge["p50"] / 1e6), "",
         "**not confirmed**: 10,000 waiting embeddings of 256 floats alone are 10 MB"),
    ]
    total = sum(rows.p50(name) for name in ("decide/256/9", "outcome/256", "apply/both/256"))
    lines.append(("overhead of a request", "under 1 ms", "%s: decide, apply, outcome"
                  % duration(total), "", "confirmed" if total < 1e6 else "**not confirmed**"))
    if learning:
        lines.append(("micro_lora_lr .002 gives 55 % more quality than .001", "+55 %",
                      "%+.4f ± %.4f of %.4f (%s)" % learning["effect"], "",
                      "**not confirmed**" if learning["effect"][0] < 0.55 * learning["effect"][2]
                      else "confirmed"))
    return lines


def page(rows, learning):
    lines = found(rows, learning)
    good = sum("**" not in one[4] for one in lines)
    text = ["%d of %d claims confirmed." % (good, len(lines)), "", HEAD]
    text += ["| %s |" % " | ".join(one) for one in lines]
    return "\n".join(text) + "\n"
