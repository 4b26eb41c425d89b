# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""Read exported adapters with nothing but the standard library, and apply them as their
__metadata__ says. usage: adapters.py FILE X...   prints y = x + micro(x) + base.0(x)"""
import json
import struct
import sys


def tensor(header, data, name):
    entry = header[name]
    begin, end = entry["data_offsets"]
    rows, columns = entry["shape"]
    assert entry["dtype"] == "F32" and end - begin == 4 * rows * columns, name
    flat = struct.unpack("<%df" % (rows * columns), data[begin:end])
    return [flat[row * columns:(row + 1) * columns] for row in range(rows)]


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix]


with open(sys.argv[1], "rb") as file:
    content = file.read()
length, = struct.unpack("<Q", content[:8])
header, data = json.loads(content[8:8 + length]), content[8 + length:]
metadata = header.pop("__metadata__")
assert metadata["format"] == "sona-adapters-1", metadata
assert max(entry["data_offsets"][1] for entry in header.values()) == len(data)
x = [float(word) for word in sys.argv[2:]]
y = list(x)
for name, scale in (("micro", float(metadata["micro_scale"])), ("base.0", 1.0)):
    inner = times(tensor(header, data, name + ".lora_A"), x)
    for i, more in enumerate(times(tensor(header, data, name + ".lora_B"), inner)):
        y[i] += scale * more
print(" ".join("%.9g" % value for value in y))
