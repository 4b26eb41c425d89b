#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""
Branch coverage of what must not fail in silence, from gcovr's JSON, with the exceptions that are
written down. Prints a table; status 1 when there is less than PERCENT, or an exception that is none.
usage: judge.py ROOT REPORT.json EXCEPTIONS PERCENT [missing]   missing: also each branch not taken

An exception is a line "file | branches | text of the source line | reason": so many branches of that
line cannot be taken by a test. It is wrong when the file has no such line, or when fewer are left.
Branches of assert() are left out.
"""
import collections
import json
import re
import sys

ROOT, REPORT, EXCEPTIONS = sys.argv[1:4]
PERCENT = float(sys.argv[4])
MISSING = len(sys.argv) > 5

ASSERT = re.compile(r"\bassert\(")


class File:
    def __init__(self, name, lines):
        with open(f"{ROOT}/{name}", encoding="utf-8") as source:
            self.source = [line.strip() for line in source]
        self.name, self.branches, self.taken, self.excepted = name, 0, 0, 0
        self.missing = collections.OrderedDict()  # line number: branches not taken
        for line in lines:
            text = self.source[line["line_number"] - 1]
            if ASSERT.search(text):
                continue
            counts = [branch["count"] for branch in line["branches"]]
            self.branches += len(counts)
            self.taken += sum(count > 0 for count in counts)
            if 0 in counts:
                n = self.missing.get(line["line_number"], 0)
                self.missing[line["line_number"]] = n + counts.count(0)

    def excuse(self, branches, text):
        """Take the exception off what is missing; what is wrong with it, or None."""
        lines = [n for n, line in enumerate(self.source, 1) if line == text]
        if not lines:
            return "no such line"
        for n in lines:
            if self.missing.get(n, 0) >= branches:
                self.missing[n] -= branches
                self.excepted += branches
                if self.missing[n] == 0:
                    del self.missing[n]
                return None
        return "its branches are taken"

    def percent(self):
        whole = self.branches - self.excepted
        return 100 * self.taken / whole if whole else 100.0


def read_exceptions():
    with open(EXCEPTIONS, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                fields = line.rstrip("\n").split(" | ")
                assert len(fields) == 4 and len(fields[3]) > 10, f"{EXCEPTIONS}:{number}: not four fields"
                yield number, fields[0], int(fields[1]), fields[2].strip()


def main():
    with open(REPORT, encoding="utf-8") as report:
        files = {f["file"]: File(f["file"], f["lines"]) for f in json.load(report)["files"]}
    failed = False
    for number, name, branches, text in read_exceptions():
        wrong = files[name].excuse(branches, text) if name in files else "no such file was measured"
        if wrong:
            print(f"{EXCEPTIONS}:{number}: {wrong}: {name}: {text}")
            failed = True
    print(f"{'file':<34} {'branches':>8} {'taken':>6} {'excepted':>8} {'':>8}")
    whole = collections.Counter()
    for name, f in sorted(files.items()):
        if f.branches:
            print(f"{name:<34} {f.branches:>8} {f.taken:>6} {f.excepted:>8} {f.percent():>7.1f} %")
        whole.update(branches=f.branches, taken=f.taken, excepted=f.excepted)
        for n, count in f.missing.items() if MISSING else ():
            print(f"    {name}:{n}: {count} of {f.source[n - 1]}")
    percent = 100 * whole["taken"] / (whole["branches"] - whole["excepted"])
    print(f"{'all':<34} {whole['branches']:>8} {whole['taken']:>6} {whole['excepted']:>8} {percent:>7.1f} %"
          f"   (required: {PERCENT:g})")
    return 1 if failed or percent < PERCENT else 0


if __name__ == "__main__":
    sys.exit(main())
