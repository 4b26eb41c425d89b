# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""The tables, as Markdown. Every number and every judgement is computed from the runs."""

import re

from arithmetic import error, interval, mean, paired, standing, verdict
from plan import BASELINES, HELD, MICRO_OFF, REWARD, TAIL

HARMLESS = -0.003  # the lower end of an interval that MicroLoRA may not fall below


def values(runner, runs, field):
    """One field of each run; None when a run has none."""
    found = []
    for run in runs:
        value = runner.get(run)
        for name in field.split("."):
            value = value.get(name) if value is not None else None
        found.append(value)
    return None if any(value is None for value in found) else found


def number(value, sign=False):
    """".1234", "−.0012", "1.0000"; with a sign "+.0012"."""
    text = "%.4f" % abs(value)
    minus = value < 0 and float(text) != 0
    return ("\N{MINUS SIGN}" if minus else "+" if sign else "") + re.sub("^0", "", text)


def figure(numbers, bold=False):
    if numbers is None:
        return "–"
    text = "%s ± %s" % (number(mean(numbers)), number(error(numbers)))
    return "**%s**" % text if bold else text


def table(head, rows):
    lines = ["| %s |" % " | ".join(head), "|" + "---|" * len(head)]
    return "\n".join(lines + ["| %s |" % " | ".join(row) for row in rows])


def best_of(runner, plan, stream, field, more):
    """{learner: values}, and the name of the best baseline by its mean over the seeds."""
    found = {name: values(runner, plan.theirs(stream, name), field) for name in BASELINES}
    known = [name for name in found if found[name] is not None]
    pick = max if more else min
    return found, pick(known, key=lambda name: mean(found[name])) if known else None


def against(ours, theirs):
    centre, spread = paired(ours, theirs)
    return "%s ± %s" % (number(centre, True), number(spread))


def main_table(runner, plan, metric):
    field, _, more = metric
    rows, counts = [], {"at or above": 0, "beside": 0, "below": 0}
    for stream in plan.main:
        ours = values(runner, plan.ours(stream, plan.seeds), field)
        theirs, best = best_of(runner, plan, stream, field, more)
        centre, spread = paired(ours, theirs[best])
        counts[standing(centre, spread)] += 1
        rate = stream.options[stream.options.index("--lambda") + 1]
        rows.append([stream.data, rate.replace("0.", "."), figure(ours, True),
                     *(figure(theirs[name], name == best) for name in BASELINES),
                     against(ours, theirs[best]), standing(centre, spread)])
    text = table(["data set", "lambda", "SONA", *BASELINES.values(), "SONA − best", ""], rows)
    return text + "\n\n%d rows at or above the best baseline, %d beside it, %d below.\n" % (
        counts["at or above"], counts["beside"], counts["below"])


def oracle_table(runner, plan):
    """The baselines with the configuration tuned for each row: nobody could have known it."""
    rows = []
    for stream in plan.main:
        tuned = {name: plan.oracle(stream, name) for name in BASELINES}
        if not all(tuned.values()):
            continue
        ours = values(runner, plan.ours(stream, plan.seeds), "mean_reward")
        theirs = {name: values(runner, runs, "mean_reward") for name, runs in tuned.items()}
        best = max(theirs, key=lambda name, found=theirs: mean(found[name]))
        rows.append([stream.title, figure(ours, True),
                     *(figure(theirs[name], name == best) for name in BASELINES),
                     against(ours, theirs[best])])
    return table(["row", "SONA", *BASELINES.values(), "SONA − best"], rows)


def yardsticks(runner, plan):
    rows = []
    for stream in plan.main:
        runs = plan.ours(stream, plan.seeds)
        rows.append([stream.title, *(figure(values(runner, runs, field)) for field in
                                     ("mean_reward", "best_fixed", "random", "oracle"))])
    return table(["row", "SONA", "best single route", "random", "oracle"], rows)


def tuning_table(plan):
    rows = []
    for name, title in BASELINES.items():
        tuned = plan.tuned[name]
        rows.append([title, str(tuned["settings"]), "`%s`" % tuned["one"],
                     "%.1f of %d" % (tuned["rank"], tuned["of"]), number(tuned["shortfall"])])
    return table(["baseline", "settings tried", "the one used", "its mean rank in the second round",
                  "its worst shortfall to its own best of a row"], rows)


def learning(runner, plan, about):
    parts = ["# Learning\n", about, "Mean reward over the stream, exploration included, and its "
             "standard error over seeds. Bold: SONA, and the best baseline of the row. *SONA − "
             "best* is paired, seed by seed. The best baseline is picked after the fact, by the "
             "very seeds it is compared on, which favours it. *Beside* means: at most .003 plus one "
             "standard error below.\n", "## Mean reward\n", main_table(runner, plan, REWARD),
             "## Mean reward of the last 20 %\n", main_table(runner, plan, TAIL),
             "## Greedy policy on held-out rows, at the end\n", main_table(runner, plan, HELD),
             "## Curves\n", *(picture(stream) for stream in plan.main),
             "## What is in the data\n", yardsticks(runner, plan),
             "\n## How the baselines are set\n",
             "One configuration each for everything, tuned by `perf/learning/tune` on other seeds "
             "of mmlupro8, routellm2 and desk12. The -use512 sets were never tuned on.\n",
             tuning_table(plan), "\n## Tuned for each row\n",
             "The same baselines with the configuration that was best on that very row while "
             "tuning. Nobody could have known which: an upper line, not a competitor.\n",
             oracle_table(runner, plan), ""]
    return "\n".join(parts)


def drawn(stream):
    """APGR is one number, not a curve."""
    return stream.name != "apgr"


def picture(stream):
    return "![Learning curves: %s](curve-%s.svg)\n" % (stream.title, stream.name)


def stream_table(runner, plan, stream):
    metrics = list(stream.metrics)
    ours = {m[0]: values(runner, plan.ours(stream, plan.seeds), m[0]) for m in metrics}
    theirs = {m[0]: best_of(runner, plan, stream, m[0], m[2]) for m in metrics}
    rows = [["**SONA**", *(figure(ours[m[0]], True) for m in metrics)]]
    for name, title in BASELINES.items():
        rows.append([title, *(figure(theirs[m[0]][0][name], theirs[m[0]][1] == name)
                              for m in metrics)])
    rows.append(["SONA − best", *(against(ours[m[0]], theirs[m[0]][0][theirs[m[0]][1]])
                                  if ours[m[0]] and theirs[m[0]][1] else "–" for m in metrics)])
    return table(["", *(m[1] + ("" if m[2] else " (less is better)") for m in metrics)], rows)


def streams(runner, plan, about):
    parts = ["# Other streams\n", about, "Bold: SONA, and the best baseline of the column. "
             "*SONA − best* is paired, seed by seed.\n"]
    for stream in plan.others:
        line = "`sona-replay --data routing_%s.bin --embedded %s`\n" % (
            stream.data, " ".join([*stream.options, *stream.own]))
        parts += ["## %s\n" % stream.title, line]
        parts += [stream.note + "\n"] if stream.note else []
        parts += [stream_table(runner, plan, stream), ""]
        parts += [picture(stream)] if drawn(stream) else []
    return "\n".join(parts)


def effect(runner, plan, stream, part, field):
    """(with, without) over the seeds of the ablation; None where there is nothing to compare."""
    whole = values(runner, plan.ours(stream, plan.ablation_seeds), field)
    without = values(runner, plan.without(stream, part), field)
    return None if whole is None or without is None else (whole, without)


def ablation_rows(plan):
    """(title, stream, field): the reward everywhere, and what is left at the end of tasks."""
    for stream in plan.streams:
        yield stream.name, stream, "mean_reward"
        if any(metric[0] == "end" for metric in stream.metrics):
            yield stream.name + ", at the end", stream, "end"


def effects(runner, plan):
    """{part: {row title: (with, without)}}"""
    found = {part: {} for part in plan.parts}
    for title, stream, field in ablation_rows(plan):
        for part in plan.parts:
            pair = effect(runner, plan, stream, part, field) if plan.tells(stream, part) else None
            if pair is not None:
                found[part][title] = pair
    return found


def sentence(part, rows):
    """What the intervals allow to say of a part, over all rows."""
    said = {title: verdict(*interval(*pair)) for title, pair in rows.items()}
    helps = [title for title in said if said[title] == "helps"]
    harms = [title for title in said if said[title] == "harms"]
    text = "**%s** " % part
    if helps:
        text += "helps on %s" % "; ".join(helps)
    if harms:
        text += "%sharms on %s" % (", and " if helps else "", "; ".join(harms))
    if not helps and not harms:
        return text + "does not help on any of the %d rows." % len(said)
    rest = len(said) - len(helps) - len(harms)
    return text + (". On the other %d rows it does not help." % rest if rest else ".")


def harmless(runner, plan):
    """MicroLoRA over more seeds, because what is asked of it is finer than 20 can show."""
    rows, good = [], 0
    for stream in plan.main:
        whole = values(runner, plan.ours(stream, plan.micro_seeds), "mean_reward")
        without = values(runner, plan.ours(stream, plan.micro_seeds, *MICRO_OFF), "mean_reward")
        low, high = interval(whole, without)
        good += low >= HARMLESS
        rows.append([stream.title, against(whole, without),
                     "%s to %s" % (number(low, True), number(high, True)), verdict(low, high),
                     "yes" if low >= HARMLESS else "no"])
    return table(["row", "with − without", "95 % interval", "it", "lower end at least %s"
                  % number(HARMLESS, True)], rows) + "\n\n%d of %d rows.\n" % (good, len(rows))


def ewc(runner, plan):
    rows = []
    for (gate, on), runs in plan.ewc_table().items():
        rows.append(["on" if gate else "off", "on" if on else "off",
                     *(figure(values(runner, runs, field)) for field in
                       ("mean_reward", "after", "end", "forgetting"))])
    return table(["gate", "EWC penalty", "mean reward", "right after its turn", "at the end",
                  "forgetting (less is better)"], rows)


def ablations(runner, plan, about):
    found = effects(runner, plan)
    titles = [title for title, _, _ in ablation_rows(plan)]
    rows = []
    for title in titles:
        cells = []
        for part in plan.parts:
            pair = found[part].get(title)
            text = against(*pair) if pair else "–"
            said = verdict(*interval(*pair)) if pair else "does not help"
            cells.append(text if said == "does not help" else "**%s**" % text)
        rows.append([title, *cells])
    count = sum(len(found[part]) for part in plan.parts)
    parts = ["# Ablations\n", about, "Mean reward with everything on, less mean reward without the "
             "part, paired over %d seeds, ± the standard error. Bold: the 95 %% interval "
             "(Student's t) does not hold zero. Of %d such intervals about %d would miss zero if "
             "no part did anything.\n" % (len(plan.ablation_seeds), count, round(count / 20)),
             table(["stream", *plan.parts], rows),
             "\n![Effects with their intervals](ablations.svg)\n", "## What the intervals say\n"]
    parts += ["* " + sentence(part, found[part]) for part in plan.parts if found[part]]
    if "micro" in plan.parts:
        parts += ["\n## MicroLoRA, over %d seeds\n" % len(plan.micro_seeds), harmless(runner, plan)]
    if plan.ewc_table():
        parts += ["\n## Gate and EWC on the tasks\n", ewc(runner, plan)]
    return "\n".join([*parts, ""])
