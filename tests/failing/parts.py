#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""
Every kth allocation, every kth operation on files and the like, and every kth call of SQLite fails in
one life of what outlives the sidecar: store, with a journal and without, segment, ledger. It goes on,
or ends with status 1 and a sentence; and the next life goes on from what is there then, and lacks
nothing. Prints TAP. Standard library alone.
usage: parts.py SHIM PARTS [STRIDE [FIRST]]    STRIDE: as for sidecar.py
"""
import concurrent.futures
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile

SHIM, PARTS = (os.path.abspath(p) for p in sys.argv[1:3])
STRIDE = int(sys.argv[3]) if len(sys.argv) > 3 else 1
FIRST = int(sys.argv[4]) if len(sys.argv) > 4 else 1
LIMIT_S = 60
TELL_FD = 9


def live(part, place, fail=None):
    """Status (None: it hung), what it said, and what the shim told."""
    told, told_end = os.pipe()
    env = dict(os.environ)
    if fail:
        env.update(SONA_FAIL=fail, LD_PRELOAD=SHIM)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([PARTS, part, place], stderr=said, env=env, close_fds=False,
                                   preexec_fn=lambda: os.dup2(fcntl.fcntl(told_end, fcntl.F_DUPFD, 100), TELL_FD))
        os.close(told_end)
        try:
            status = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = None
        said.seek(0)
        text = said.read().decode(errors="replace")
    number = os.read(told, 32)
    os.close(told)
    return status, text, number


def judge(part, kind, k, anew):
    """What became of it, what is wrong with that, and how many there are, with k of 0."""
    place = tempfile.mkdtemp(prefix="sona-failing-", dir="/dev/shm")
    try:
        before, said, _ = (0, "", b"") if anew else live(part, place)
        assert before == 0, said
        status, said, number = live(part, place, f"{kind}:{k}")
        wrong = []
        if status not in (0, 1) or (status == 1 and len(said) < 20):
            wrong.append(f"status {status}: {said[-500:]}")
        following, after, _ = live(part, place)
        if following != 0:
            wrong.append(f"the next life: status {following}: {after[-500:]}, after: {said[-500:]}")
        return status, wrong, int(number) if k == 0 and number else 0
    finally:
        shutil.rmtree(place)


def main():
    case, failed = 0, 0
    for part in ("ledger", "segment", "store", "bare"):
        for kind in ("memory", "file", "database") if part in ("store", "bare") else ("memory", "file"):
            n = 0
            for anew in (True, False):
                status, wrong, asked = judge(part, kind, 0, anew)
                assert status == 0 and not wrong and asked > 0, wrong
                n = max(n, asked)
            wide = STRIDE * 8 if part == "bare" else STRIDE  # most of what it allocates, "store" does, too
            ks = range(FIRST, n + 1, 1 if part in ("ledger", "segment") else wide if n > 1000 else max(1, STRIDE // 32))
            # Half of them begin anew; SQLite is asked little enough for each to do both.
            lives = [(k, anew) for k in ks for anew in (True, False) if kind == "database" or anew != (k % 2)]
            fates, bad = {0: 0, 1: 0}, []
            with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
                for (k, _), (status, wrong, _) in zip(lives, pool.map(lambda at: judge(part, kind, *at), lives)):
                    fates[status] = fates.get(status, 0) + 1
                    if wrong:
                        bad.append(k)
                        print("\n# ".join(f"# {part} {kind} {k}: {'; '.join(wrong)}".splitlines()), flush=True)
            print(f"# {part}, {kind}: {len(lives)} lives, {len(ks)} of {n}; {fates[0]} went on, {fates[1]} said why")
            case += 1
            failed += bool(bad)
            print(f"{'not ' if bad else ''}ok {case} - {part}, {kind}: goes on or says why, and the next life lacks "
                  f"nothing{' but after ' + str(bad) if bad else ''}", flush=True)
    print(f"1..{case}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
