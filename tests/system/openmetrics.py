# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""
A strict parser of OpenMetrics text 1.0: whatever the specification says a page MUST be, and a few
things that it says a page SHOULD be. parse(text) returns {family: Family}, or raises Mistake with
the line. Written from the specification's ABNF; nothing is forgiven.
"""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN")
TYPES = {
    "counter": {"_total", "_created"},
    "gauge": {""},
    "histogram": {"_bucket", "_count", "_sum", "_created"},
    "info": {"_info"},
    "stateset": {""},
    "summary": {"", "_count", "_sum", "_created"},
    "unknown": {""},
}


class Mistake(Exception):
    pass


class Family:
    def __init__(self, name):
        self.name, self.type, self.unit, self.help = name, None, None, None
        self.samples = []  # (name, labels as a tuple of pairs, value)


def labels_of(text, line):
    """The pairs of '{...}', in order, and where the text goes on behind them."""
    pairs, at = [], 1
    while text[at : at + 1] != "}":
        if pairs:
            if text[at] != ",":
                raise Mistake(f"no comma between labels: {line}")
            at += 1
        found = LABEL.match(text, at)
        if not found:
            raise Mistake(f"a label makes no sense: {line}")
        pairs.append((found[1], re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], found[2])))
        at = found.end()
    if len({key for key, _ in pairs}) != len(pairs):
        raise Mistake(f"a label twice: {line}")
    return tuple(pairs), at + 1


def sample_of(line):
    found = re.match(NAME, line)
    if not found:
        raise Mistake(f"no name: {line}")
    rest, labels = line[found.end() :], ()
    if rest.startswith("{"):
        labels, at = labels_of(rest, line)
        rest = rest[at:]
    if not rest.startswith(" ") or not NUMBER.fullmatch(rest[1:]):
        raise Mistake(f"no value behind one space: {line}")
    return found[0], labels, float(rest[1:])


def check_escapes(text, line):
    if re.search(r'\\(?![\\"n])|(?<!\\)(?:\\\\)*"', text):
        raise Mistake(f"a help is not escaped: {line}")


def take_comment(line, families, current):
    found = re.fullmatch(rf"# (TYPE|UNIT|HELP) ({NAME}) (.*)", line)
    if not found:
        raise Mistake(f"a comment that is none of TYPE, UNIT and HELP: {line}")
    word, name, text = found.groups()
    if current is None or current.name != name:
        if name in families:
            raise Mistake(f"a family in two places: {line}")
        current = families[name] = Family(name)
    if current.samples:
        raise Mistake(f"metadata behind samples: {line}")
    if getattr(current, word.lower()) is not None:
        raise Mistake(f"twice: {line}")
    setattr(current, word.lower(), text)
    if word == "TYPE" and text not in TYPES:
        raise Mistake(f"no such type: {line}")
    if word == "UNIT" and not name.endswith("_" + text):
        raise Mistake(f"the name does not end with the unit: {line}")
    if word == "HELP":
        check_escapes(text, line)
    return current


def without(labels, key):
    return tuple(pair for pair in labels if pair[0] != key)


def check_histogram(family):
    series = {}
    for name, labels, value in family.samples:
        series.setdefault(without(labels, "le"), []).append((name, dict(labels).get("le"), value))
    for labels, rows in series.items():
        buckets = [(float(le), le, v) for name, le, v in rows if name.endswith("_bucket")]
        counts = [v for name, _, v in rows if name.endswith("_count")]
        sums = [v for name, _, v in rows if name.endswith("_sum")]
        if [b[0] for b in buckets] != sorted({b[0] for b in buckets}):
            raise Mistake(f"{family.name}{labels}: bounds out of order, or twice")
        if not buckets or buckets[-1][1] != "+Inf":
            raise Mistake(f"{family.name}{labels}: no bucket +Inf at the end")
        if any(a[2] > b[2] for a, b in zip(buckets, buckets[1:])):
            raise Mistake(f"{family.name}{labels}: buckets that go down")
        if counts != [buckets[-1][2]] or len(sums) != 1 or not sums[0] >= 0:
            raise Mistake(f"{family.name}{labels}: count, sum and buckets do not agree")
        for number, text, _ in buckets[:-1]:
            if repr(number) != text:
                raise Mistake(f"{family.name}{labels}: le={text} is not canonical")


def check_family(family):
    if family.type is None or family.help is None:
        raise Mistake(f"{family.name}: no TYPE, or no HELP")
    seen = set()
    for name, labels, value in family.samples:
        suffix = name[len(family.name) :]
        if not name.startswith(family.name) or suffix not in TYPES[family.type]:
            raise Mistake(f"{name} is no sample of the {family.type} {family.name}")
        if (name, frozenset(labels)) in seen:
            raise Mistake(f"{name}{labels}: twice")
        seen.add((name, frozenset(labels)))
        if family.type == "counter" and not 0 <= value < float("inf"):
            raise Mistake(f"{name}: a counter of {value}")
        if family.type == "info" and value != 1:
            raise Mistake(f"{name}: an info of {value}")
        if family.type == "stateset" and (value not in (0, 1) or family.name not in dict(labels)):
            raise Mistake(f"{name}: a stateset of {value}, or without its label")
    if family.type in ("counter", "info") and family.name.endswith(("_total", "_info")):
        raise Mistake(f"{family.name}: the end belongs to the samples")
    if family.type == "histogram":
        check_histogram(family)


def parse(text):
    if not text.endswith("# EOF\n"):
        raise Mistake("the end is not '# EOF' and a newline")
    if "\r" in text or "\t" in text:
        raise Mistake("a carriage return or a tab")
    families, current = {}, None
    for line in text[: -len("# EOF\n")].split("\n")[:-1]:
        if line.startswith("#"):
            current = take_comment(line, families, current)
            continue
        name, labels, value = sample_of(line)
        if current is None or not name.startswith(current.name):
            raise Mistake(f"a sample of another family: {line}")
        current.samples.append((name, labels, value))
    for family in families.values():
        check_family(family)
    names = sorted(families)
    for family in families.values():
        for suffix in TYPES[family.type]:
            if suffix and family.name + suffix in names:
                raise Mistake(f"{family.name}{suffix} is a family, too")
    return families


def series(families):
    return {(name, labels) for f in families.values() for name, labels, _ in f.samples}
