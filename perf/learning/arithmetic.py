# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""Means, standard errors, paired differences and what they allow to say. Plain lists of numbers,
one for each seed, the same seeds in the same order wherever two lists meet."""

from math import sqrt

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
T975 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042]

NEAR = 0.003  # what "beside the best" may miss, plus one standard error


def mean(values):
    return sum(values) / len(values)


def error(values):
    """Standard error of the mean; one value has none."""
    n = len(values)
    if n < 2:
        return 0.0
    centre = mean(values)
    return sqrt(sum((value - centre) ** 2 for value in values) / (n - 1) / n)


def quantile(freedom):
    """97.5 % of Student's t; beyond the table by the first term of its expansion."""
    return T975[freedom - 1] if freedom <= len(T975) else 1.95996 + 2.3722 / freedom


def paired(ours, theirs):
    """Mean and standard error of ours - theirs, seed by seed."""
    if len(ours) != len(theirs):
        raise ValueError("%d seeds against %d" % (len(ours), len(theirs)))
    differences = [a - b for a, b in zip(ours, theirs)]
    return mean(differences), error(differences)


def interval(ours, theirs):
    """The 95 % interval of ours - theirs; without a limit when there is one seed."""
    centre, spread = paired(ours, theirs)
    if len(ours) < 2:
        return float("-inf"), float("inf")
    reach = quantile(len(ours) - 1) * spread
    return centre - reach, centre + reach


def verdict(low, high):
    """What the interval of "with - without" says of a part."""
    if low > 0:
        return "helps"
    if high < 0:
        return "harms"
    return "does not help"


def standing(difference, spread):
    """What a paired difference to the best baseline says of a row."""
    if difference >= 0:
        return "at or above"
    return "beside" if difference >= -(NEAR + spread) else "below"


def smooth(values, window):
    """Means of `window` neighbours, one for each place where the window fits whole."""
    return [mean(values[i:i + window]) for i in range(len(values) - window + 1)]
