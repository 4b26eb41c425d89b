# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""The plots, as SVG by gnuplot. No background and greys of middle lightness, so that they can be
read on light and on dark pages; a title and a description in words for who cannot see them."""

import re
import shutil
import subprocess
from html import escape

from arithmetic import error, interval, mean, paired, smooth
from plan import BASELINES, REWARD
from tables import ablation_rows, best_of, drawn, effects, number, values

GREY = "#7d8590"
COLOURS = {"sona": "#e5534b", "mean": "#8b949e", "adagrad": "#c69026", "linucb": "#3a8bd6",
           "lints": "#57a55a", "knn": "#a371d6"}
WINDOW = 5  # points of a curve in the sliding mean

HEAD = """
set terminal svg size %d,%d dynamic font "sans-serif,13" linewidth 1
set encoding utf8
set border 3 linecolor rgb "%s"
set tics nomirror textcolor rgb "%s"
set xlabel textcolor rgb "%s"
set ylabel textcolor rgb "%s"
set title textcolor rgb "%s"
set key outside right top textcolor rgb "%s" samplen 1.5
set style fill transparent solid 0.15 noborder
"""


def gnuplot():
    return shutil.which("gnuplot")


def draw(script, width, height, title, description):
    """The SVG of a gnuplot script."""
    head = HEAD % ((width, height) + (GREY,) * 6)
    svg = subprocess.run([gnuplot()], input=head + script, stdout=subprocess.PIPE, check=True,
                         text=True).stdout
    svg = re.sub(r"<title>.*?</title>\s*<desc>.*?</desc>",
                 lambda _: '<title id="t">%s</title>\n<desc id="d">%s</desc>'
                 % (escape(title), escape(description)), svg, count=1, flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    return svg.replace("<svg ", '<svg role="img" aria-labelledby="t d" ', 1)


def block(name, rows):
    return "$%s << EOD\n%s\nEOD\n" % (name, "\n".join(" ".join("%.6g" % v for v in row)
                                                      for row in rows))


def band(runner, runs):
    """[queries, mean, mean - SE, mean + SE] of the sliding mean reward over the seeds."""
    curves = [runner.get(run)["curve"] for run in runs]
    width = curves[0]["width"]
    window = min(WINDOW, len(curves[0]["reward"]))
    slid = [smooth(curve["reward"], window) for curve in curves]
    rows = []
    for i in range(len(slid[0])):
        column = [curve[i] for curve in slid]
        centre, spread = mean(column), error(column)
        rows.append([(i + window) * width, centre, centre - spread, centre + spread])
    return rows


def curves(runner, plan, stream):
    """Ours and the baselines on one stream."""
    lines = {name: band(runner, plan.theirs(stream, name)) for name in BASELINES}
    lines["sona"] = band(runner, plan.ours(stream, plan.seeds))
    names = {**BASELINES, "sona": "SONA"}
    single = mean(values(runner, plan.ours(stream, plan.seeds), "best_fixed"))
    script = "".join(block(name, rows) for name, rows in lines.items())
    script += 'set xlabel "queries"\nset ylabel "mean reward of the last %d"\nset title "%s"\n' % (
        WINDOW * int(plan.curve), stream.title)
    script += 'set format x "%.0f"\nset xrange [0:*]\n'
    filled = ['$%s using 1:3:4 with filledcurves linecolor rgb "%s" notitle' % (name, COLOURS[name])
              for name in lines]
    drawn = ['$%s using 1:2 with lines linewidth %g linecolor rgb "%s" title "%s"'
             % (name, 3 if name == "sona" else 1.5, COLOURS[name], names[name])
             for name in ["sona", *BASELINES]]
    drawn.append('%g with lines dashtype 2 linecolor rgb "%s" title "best single"'
                 % (single, GREY))
    script += "plot " + ", \\\n  ".join(filled + drawn) + "\n"
    end = {name: rows[-1][1] for name, rows in lines.items()}
    found, best = best_of(runner, plan, stream, *REWARD[::2])
    centre, spread = paired(values(runner, plan.ours(stream, plan.seeds), "mean_reward"),
                            found[best])
    text = ("Mean reward of the last %d queries against queries, means and standard errors over %d "
            "seeds. At the end: %s. Over the whole stream SONA less the best baseline (%s): "
            "%s ± %s."
            % (WINDOW * int(plan.curve), len(plan.seeds),
               ", ".join("%s %s" % (names[name], number(end[name])) for name in end),
               BASELINES[best], number(centre, True), number(spread)))
    return draw(script, 760, 380, "Learning curves: " + stream.title, text)


def bars(runner, plan):
    """The effect of every part on every stream, with its 95 % interval; a panel for each part."""
    found = effects(runner, plan)
    titles = [title for title, _, _ in ablation_rows(plan)]
    rows, script, spoken, reaches = len(titles), "", [], []
    for at, part in enumerate(plan.parts):
        points = []
        for place, title in enumerate(titles):
            pair = found[part].get(title)
            if pair is not None:
                points.append([paired(*pair)[0], rows - place, *interval(*pair)])
        script += block("p%d" % at, points or [[0, -1, 0, 0]])
        reaches.append([limit for point in points for limit in point[2:]])
        low = min((point[2] for point in points), default=0)
        high = max((point[3] for point in points), default=0)
        spoken.append("%s: intervals from %s to %s" % (part, number(low, True), number(high, True)))
    left, panel = 210, 130
    width, height = left + panel * len(plan.parts) + 20, 70 + 19 * rows
    script += "set multiplot\nunset key\nset yrange [0.3:%g]\nset border 1\n" % (rows + 0.7)
    script += 'set arrow 1 from first 0, graph 0 to first 0, graph 1 nohead linecolor rgb "%s"\n' \
              % GREY
    script += "set tmargin at screen %g\nset bmargin at screen %g\n" % (
        1 - 30 / height, 35 / height)
    labels = ", ".join('"%s" %d' % (title, rows - place) for place, title in enumerate(titles))
    for at, part in enumerate(plan.parts):
        script += "set ytics (%s) scale 0\n" % labels if at == 0 else 'unset ytics\n'
        script += "set lmargin at screen %g\nset rmargin at screen %g\n" % (
            (left + panel * at) / width, (left + panel * (at + 1) - 14) / width)
        reach = max([abs(limit) for limit in reaches[at]] + [1e-4])
        tic = float("%.1g" % (reach / 2))
        script += 'set title "%s"\nset format x "%%+.2g"\n' % part
        script += "set xrange [%g:%g]\nset xtics (%g, 0, %g) scale 0.5\n" % (
            -1.1 * reach, 1.1 * reach, -tic, tic)
        script += ('plot $p%d using 1:2:3:4 with xerrorbars pointtype 7 pointsize 0.5 '
                   'linecolor rgb "%s"\n' % (at, COLOURS["linucb"]))
    script += "unset multiplot\n"
    return draw(script, width, height + 20, "Ablations: reward with everything less without a part",
                "For each part a panel with its effect on every stream and the 95 %% interval over "
                "%d paired seeds. %s." % (len(plan.ablation_seeds), "; ".join(spoken)))


def all_of(runner, plan, compared, with_ablations):
    """{file name: SVG}; `compared`: the streams that the baselines met, too."""
    found = {}
    for stream in compared:
        if drawn(stream):
            found["curve-%s.svg" % stream.name] = curves(runner, plan, stream)
    if with_ablations:
        found["ablations.svg"] = bars(runner, plan)
    return found
