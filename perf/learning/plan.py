# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""What is run: sets, streams, learners, seeds. The seeds were named before anything was tuned."""

import json
import os
import re
import subprocess

from runs import HERE, Run

SETS = ["mmlupro8", "routellm2", "desk12", "mmlupro8-use512", "routellm2-use512"]
SEEDS = range(1, 11)
ABLATION_SEEDS = range(1, 21)
MICRO_SEEDS = range(1, 41)
MICRO_OFF = ("--without", "micro")
BASELINES = {"mean": "mean", "adagrad": "AdaGrad", "linucb": "LinUCB", "lints": "LinTS",
             "knn": "kNN"}
MEMORY = "The memory of 300 binds SONA alone; the baselines keep all they were told."
TENANTS = "SONA is told whose query it is. The baselines have no place for that and are not told."
SPARSE = ["--feedback", "0.05", "--delay", "200"]

# What a stream reports beside the mean reward: field, heading, and whether more is better.
REWARD = ("mean_reward", "mean reward", True)
TAIL = ("tail_reward", "last 20 %", True)
HELD = ("policy_at.end", "held-out policy", True)
DRIFT = [REWARD, ("before", "500 before", True), ("d0_200", "0 to 200 after", True),
         ("d200_500", "200 to 500", True), ("d500_1000", "500 to 1,000", True), TAIL]
PHASES = [REWARD, ("after", "right after its turn", True), ("end", "at the end", True),
          ("forgetting", "forgetting", False)]

RETURNING = [REWARD, ("forgetting", "forgetting", False), ("before", "first turn, last 200", True),
             ("r0_50", "first 50 of the return", True), ("r50_200", "50 to 200 of it", True),
             ("tested_before", "tested after the first turn", True),
             ("tested_50", "tested after 50 of the return", True),
             ("tested_after", "tested at its end", True)]
PHASED = (PHASES, RETURNING)


class Stream:
    """A data set in an order. `own`: options only SONA knows; `note`: what is unequal."""

    def __init__(self, name, title, data, options, metrics=(REWARD, TAIL, HELD), own=(), needs="",
                 note=""):
        self.note = note
        self.name, self.title, self.data = name, title, data
        self.options, self.metrics, self.own, self.needs = options, metrics, list(own), needs


def main_streams():
    """Every set, shuffled; every route of desk12 costs the same, so that lambda changes nothing."""
    return [Stream("%s-%s" % (data, rate), "%s, lambda %s" % (data, rate), data,
                   ["--rows", "5000", "--lambda", rate])
            for data in SETS for rate in ("0", "0.1") if (data, rate) != ("desk12", "0.1")]


def other_streams():
    tasks = ["--rows", "1200", "--order"]
    small = ["--set", "replay_capacity=300"]
    streams = [
        Stream("drift", "mmlupro8, drift: from the middle on the best route is worth 0.3 of itself",
               "mmlupro8", ["--rows", "5000", "--order", "drift"], DRIFT),
        Stream("blocks-mmlupro8", "mmlupro8, blocks: one subject after another", "mmlupro8",
               ["--rows", "5000", "--order", "blocks"], PHASES),
        Stream("blocks-desk12", "desk12, blocks: one desk after another", "desk12",
               ["--rows", "5000", "--order", "blocks"], PHASES),
        Stream("tasks", "desk12, 5 conflicting tasks of 1,200 queries, memory of 300", "desk12",
               [*tasks, "tasks"], PHASES, small, note=MEMORY),
        Stream("returning", "desk12, the 5 tasks, then the first again, memory of 300", "desk12",
               [*tasks, "returning"], RETURNING, small, needs="returning",
               note=MEMORY),
    ]
    for data in ("mmlupro8", "routellm2", "desk12"):
        streams.append(Stream("sparse-" + data, data + ", 5 % of the outcomes, 200 decisions late",
                              data, ["--rows", "5000", *SPARSE]))
    for data in ("mmlupro8", "desk12"):
        streams.append(Stream("tenants-" + data, data + ", 50 tenants who disagree", data,
                              ["--rows", "5000", "--tenants", "50"], (REWARD, TAIL),
                              needs="--tenants", note=TENANTS))
    streams.append(Stream("apgr", "routellm2, lambda 0.13: a strong and a weak model", "routellm2",
                          ["--rows", "5000", "--lambda", "0.13"],
                          (("apgr", "APGR", True), REWARD, HELD)))
    return streams


def shrunk(stream):
    """The same on few rows, to see that everything works."""
    options = list(stream.options)
    options[options.index("--rows") + 1] = "60" if stream.metrics in PHASED else "300"
    stream.options = [*options, "--test", "50"]
    return stream


class Plan:
    def __init__(self, replay, quick=False, sets=None):
        text = subprocess.run([replay, "--help"], stdout=subprocess.PIPE, check=True,
                              text=True).stdout
        known = [one for one in main_streams() + other_streams()
                 if one.needs in text and one.data in (sets or SETS)]
        self.quick, self.whole = quick, not sets
        self.curve = "20" if quick else "100"
        self.seeds = range(1, 3) if quick else SEEDS
        self.ablation_seeds = range(1, 3) if quick else ABLATION_SEEDS
        self.micro_seeds = range(1, 4) if quick else MICRO_SEEDS
        self.streams = [shrunk(one) for one in known] if quick else known
        self.main = [one for one in self.streams if one.name in {s.name for s in main_streams()}]
        self.others = [one for one in self.streams if one not in self.main]
        # "--without LIST   switch parts off: a,b,c" and on the lines that follow, indented
        parts = re.search(r"switch parts off:((?:[ \n]*[a-z]+,?)+)", text)
        self.parts = re.findall(r"[a-z]+", parts.group(1)) if parts else []
        self.ewc = "gate" in self.parts and "ewc" in self.parts
        with open(os.path.join(HERE, "configurations.json"), encoding="utf-8") as file:
            self.tuned = json.load(file)

    def options(self, stream):
        return [*stream.options, "--curve", self.curve]

    def ours(self, stream, seeds, *extra):
        return [Run(stream.data, seed, None, [*self.options(stream), *stream.own, *extra])
                for seed in seeds]

    def theirs(self, stream, learner):
        """One configuration for everything."""
        return [Run(stream.data, seed, self.tuned[learner]["one"], self.options(stream))
                for seed in self.seeds]

    def oracle(self, stream, learner):
        """The configuration that was best on this set and lambda; None where none was tuned."""
        text = self.tuned[learner]["rows"].get(stream.name)
        return text and [Run(stream.data, seed, text, self.options(stream)) for seed in self.seeds]

    def without(self, stream, part):
        return self.ours(stream, self.ablation_seeds, "--without", part)

    def ewc_table(self):
        """{(gate, ewc): runs} on the tasks."""
        tasks = next((one for one in self.streams if one.name == "tasks"), None)
        return {(gate, ewc): self.ours(tasks, self.ablation_seeds, "--set", "gate=%d" % gate,
                                       "--set", "ewc=%d" % ewc)
                for gate in (0, 1) for ewc in (0, 1)} if tasks and self.ewc else {}

    def tells(self, stream, part):
        """Tenants matter only where there are some."""
        return part != "tenants" or stream.needs == "--tenants"

    def all_ours(self, streams):
        for stream in streams:
            yield from self.ours(stream, self.seeds)

    def all_theirs(self, streams):
        for stream in streams:
            for learner in BASELINES:
                yield from self.theirs(stream, learner)
        for stream in streams:
            for learner in BASELINES:
                yield from self.oracle(stream, learner) or ()

    def all_ablations(self):
        for stream in self.streams:
            yield from self.ours(stream, self.ablation_seeds)
            for part in self.parts:
                if self.tells(stream, part):
                    yield from self.without(stream, part)
        for stream in self.main if "micro" in self.parts else []:
            yield from self.ours(stream, self.micro_seeds)
            yield from self.ours(stream, self.micro_seeds, *MICRO_OFF)
        for runs in self.ewc_table().values():
            yield from runs
