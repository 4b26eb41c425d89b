# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""Rows of sona-bench and of perf/peer, by name; numbers for people."""

import json
import math


class Rows:
    """What was measured. A name that was not is an error: a page must not be written without it."""

    def __init__(self, lines):
        self.by_name = {}
        for line in lines:
            row = json.loads(line)
            self.by_name[row["name"]] = row

    def __getitem__(self, name):
        if name not in self.by_name:
            raise KeyError("%s was not measured" % name)
        return self.by_name[name]

    def has(self, name):
        return name in self.by_name

    def under(self, prefix):
        return [row for name, row in self.by_name.items() if name.startswith(prefix)]

    def p50(self, name):
        return self[name]["p50"]


def duration(ns):
    """ "45 ns", "1.2 us", "3.4 ms" """
    for unit, size in (("ns", 1), ("us", 1e3), ("ms", 1e6)):
        value = ns / size
        if value < 999.5 or unit == "ms":
            digits = 0 if value >= 100 or unit == "ns" and value >= 10 else 1 if value >= 10 else 2
            return "%.*f %s" % (digits, value, unit)
    return ""


def grouped(value):
    return "{:,.0f}".format(value)


def times(value):
    return "%.2f" % value if value < 100 else grouped(value)


def ratio_of(row):
    """ "1.23 (1.20 to 1.25)" """
    low, high = row["ratio_95"]
    return "%s (%s to %s)" % (times(row["ratio"]), times(low), times(high))


def median(values):
    """The median, and the interval that holds the true one 95 times of 100, by order statistics."""
    ordered = sorted(values)
    n = len(ordered)
    spread = 0.98 * math.sqrt(n)
    low, high = math.floor(n / 2 - spread), math.ceil(n / 2 + spread)
    middle = ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2
    return middle, ordered[max(0, low)], ordered[min(n - 1, high)]


def fit(points):
    """Exponent b of y = a x^b by least squares over the logarithms, and its standard error; NaN when
    two points leave nothing to judge by."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    n = len(logs)
    mx = sum(x for x, _ in logs) / n
    my = sum(y for _, y in logs) / n
    sxx = sum((x - mx) ** 2 for x, _ in logs)
    slope = sum((x - mx) * (y - my) for x, y in logs) / sxx
    rest = sum((y - my - slope * (x - mx)) ** 2 for x, y in logs)
    return slope, math.sqrt(rest / (n - 2) / sxx) if n > 2 else math.nan


def steps(points):
    """Exponents from each point to the next."""
    return [math.log(b[1] / a[1]) / math.log(b[0] / a[0]) for a, b in zip(points, points[1:])]
