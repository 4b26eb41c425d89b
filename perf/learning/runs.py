# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""Runs of sona-replay and learning-baseline: in parallel, each kept, none done twice.

A run is one line of JSON for one seed. It is kept in a file of such lines under a key that names
everything it depends on: the program's arguments, the data, and the learner. For SONA the learner
is the bytes of sona-replay; for a baseline it is the sources of the baselines, so that a change of
SONA leaves their runs alone. That both met the same stream is checked when they are paired
(`stream`).
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed

# What is kept of a run's line.
FIELDS = {"mean_reward", "tail_reward", "best_fixed", "random", "oracle", "policy_at", "curve",
          "before", "d0_200", "d200_500", "d500_1000", "after", "end", "forgetting", "apgr",
          "r0_50", "r50_200", "tested_before", "tested_50", "tested_after"}

HERE = os.path.dirname(os.path.abspath(__file__))


class Run:
    """One seed of one learner on one stream. `learner` None: SONA."""

    def __init__(self, data, seed, learner=None, options=()):
        self.data, self.seed, self.learner, self.options = data, seed, learner, tuple(options)

    def arguments(self, folder):
        path = os.path.join(folder, "routing_%s.bin" % self.data)
        return ["--data", path, "--seed", str(self.seed), "--seeds", "1", "--embedded", "--json",
                *self.options]

    def name(self):
        return " ".join([self.learner or "sona", self.data, str(self.seed), *self.options])


def stream(result):
    """What only the stream decides. Equal: both learners met the same queries."""
    return tuple(result[key] for key in ("best_fixed", "random", "oracle"))


def _sources():
    digest = hashlib.sha256()
    folder = os.path.join(HERE, "baselines")
    for name in sorted(os.listdir(folder)):
        if name.endswith((".c", ".h")):
            with open(os.path.join(folder, name), "rb") as file:
                digest.update(file.read())
    return digest.hexdigest()[:16]


def _bytes(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


class Progress:
    """One line on a terminal, a line now and then elsewhere."""

    def __init__(self, label, total):
        self.label, self.total, self.done = label, total, 0
        self.start = self.drawn = time.monotonic()
        self.tty = sys.stderr.isatty()

    def step(self):
        self.done += 1
        now = time.monotonic()
        if self.done < self.total and now - self.drawn < (0.1 if self.tty else 30):
            return
        self.drawn = now
        left = (now - self.start) / self.done * (self.total - self.done)
        share = self.done / self.total
        bar = "#" * int(24 * share) + "." * (24 - int(24 * share))
        text = "%s [%s] %d of %d, %d:%02d left" % (self.label, bar, self.done, self.total,
                                                  left // 60, left % 60)
        end = "\r" if self.tty and self.done < self.total else "\n"
        print(("\033[2K" if self.tty else "") + text, end=end, file=sys.stderr, flush=True)


class Runner:
    """Does runs with the programs of a build, and keeps them in `kept` (JSON lines)."""

    def __init__(self, build, data, kept, jobs=None):
        self.replay = os.path.join(build, "tools", "sona-replay")
        self.baseline = os.path.join(build, "perf", "learning", "baselines", "learning-baseline")
        for program in (self.replay, self.baseline):
            if not os.access(program, os.X_OK):
                sys.exit("figures: %s is not there; build it first: ninja -C %s" % (program, build))
        self.data, self.kept = data, kept
        self.jobs = jobs or len(os.sched_getaffinity(0))
        self.version = {True: _bytes(self.replay), False: _sources()}
        self.crc, self.results = {}, {}
        os.makedirs(os.path.dirname(kept) or ".", exist_ok=True)
        if os.path.exists(kept):
            with open(kept, encoding="utf-8") as file:
                for line in file:
                    try:
                        entry = json.loads(line)
                        self.results[entry["key"]] = entry["result"]
                    except (ValueError, KeyError):
                        continue  # the last line of a run that was interrupted
        self.file = open(kept, "a", encoding="utf-8")

    def key(self, run):
        if run.data not in self.crc:
            path = os.path.join(self.data, "routing_%s.bin" % run.data)
            if not os.path.exists(path):
                sys.exit("figures: no data set %s" % path)
            with open(path, "rb") as file:
                self.crc[run.data] = "%08x" % zlib.crc32(file.read())
        return " ".join([self.version[run.learner is None], self.crc[run.data], run.name()])

    def _do(self, run):
        program = [self.replay] if run.learner is None else [self.baseline, run.learner]
        done = subprocess.run(program + run.arguments(self.data), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, text=True)
        if done.returncode != 0:
            raise RuntimeError("%s: exit code %d: %s" % (run.name(), done.returncode,
                                                         done.stderr.strip()))
        result = json.loads(done.stdout)
        return {name: result[name] for name in result if name in FIELDS}

    def do(self, runs, label):
        """Do those that are not kept yet."""
        todo = {self.key(run): run for run in runs if self.key(run) not in self.results}
        if not todo:
            return
        progress = Progress(label, len(todo))
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = {pool.submit(self._do, run): key for key, run in todo.items()}
            try:
                for future in as_completed(waiting):
                    self._keep(waiting[future], future.result())
                    progress.step()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _keep(self, key, result):
        self.results[key] = result
        self.file.write(json.dumps({"key": key, "result": result}) + "\n")
        self.file.flush()

    def has(self, run):
        return self.key(run) in self.results

    def get(self, run):
        return self.results[self.key(run)]

    def forget(self, run):
        """A baseline's run that met another stream than SONA's does now: it must be done again."""
        self.results.pop(self.key(run), None)

    def prune(self, runs):
        """Keep of these what is there, in this order, and no others."""
        self.file.close()
        keys = [key for key in dict.fromkeys(map(self.key, runs)) if key in self.results]
        with open(self.kept + ".new", "w", encoding="utf-8") as file:
            for key in keys:
                file.write(json.dumps({"key": key, "result": self.results[key]}) + "\n")
        os.replace(self.kept + ".new", self.kept)
        self.file = open(self.kept, "a", encoding="utf-8")


def stop_quietly():
    """Ctrl-C: the runs in flight end, those done are kept, and no traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
