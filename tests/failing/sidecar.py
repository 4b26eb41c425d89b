#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""
Every kth allocation and every kth operation on files, sockets, maps and threads of a sidecar fails,
from its start over its first work (a client, a background cycle, a copy of the state) to its stop.
It goes on, or ends by itself with status 1 and a sentence; and the next start, with what is there
then, succeeds, serves and stops. Prints TAP. Standard library alone.
usage: sidecar.py SHIM CLIENT SIDECAR SONACTL [STRIDE [FIRST]]
    STRIDE: every so-manieth allocation, and every 32nd part of that of the rest, from FIRST on
"""
import concurrent.futures
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile

SHIM, CLIENT, SIDECAR, SONACTL = (os.path.abspath(p) for p in sys.argv[1:5])
STRIDE = int(sys.argv[5]) if len(sys.argv) > 5 else 1
FIRST = int(sys.argv[6]) if len(sys.argv) > 6 else 1
LIMIT_S = 60
TELL_FD = 9
ARGS = ["--isolated", "--routes=a,b", "--dim=16", "--set=hidden_dim=16", "--set=attention_dim=4",
        "--set=base_lora_layers=2", "--set=trajectory_capacity=64"]

# What ends by a signal all the same: the function of a library that does it, and why.
EXCEPTIONS = {
    # liburcu 0.13 allocates in rcu_barrier() and in its thread's making, and aborts when it cannot.
    # The first is once at the end of a stop, the second once at the first exchange of a version.
    "urcu_memb_barrier": signal.SIGABRT,
    "urcu_memb_call_rcu": signal.SIGABRT,
}


class Run:
    """One process of the sidecar: ready, or ended; or neither, within the limit, which is wrong."""

    def __init__(self, place, fail=None):
        self.name = place.name
        self.log = tempfile.TemporaryFile()
        ready, ready_end = os.pipe()
        told, told_end = os.pipe()
        env = dict(os.environ)
        if fail:
            env.update(SONA_FAIL=fail, LD_PRELOAD=SHIM)

        def descriptors():
            # Out of the way first: either end may have the other's number.
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (told_end, ready_end)]
            os.dup2(high[0], TELL_FD)
            os.dup2(high[1], 8)

        self.process = subprocess.Popen(
            [SIDECAR, "--instance", place.name, "--runtime-dir", place.run, "--state-dir", place.state,
             "--ready-fd=8", *ARGS], stderr=self.log, env=env, preexec_fn=descriptors, close_fds=False)
        os.close(ready_end)
        os.close(told_end)
        self.told_fd = told
        with os.fdopen(ready) as up:
            # Readable with a word, or at the end of the process.
            self.hung = not select.select([up], [], [], LIMIT_S)[0]
            self.ready = not self.hung and up.read(1) != ""

    def stop(self):
        """Status, as subprocess has it; None: it hung."""
        if self.hung:
            self.process.kill()
        elif self.process.poll() is None and self.ready:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = None
        self.told = os.read(self.told_fd, 4096).decode()
        os.close(self.told_fd)
        self.log.seek(0)
        self.said = self.log.read().decode(errors="replace")
        self.log.close()
        return status


class Place:
    """Directories and a name of its own; and what lies there that should not."""

    def __init__(self, number):
        self.name = f"failing-{os.getpid()}-{number}"
        self.dir = tempfile.mkdtemp(prefix="sona-failing-", dir="/dev/shm")
        self.run, self.state = f"{self.dir}/run", f"{self.dir}/state"

    def left(self):
        kept = (".arena", ".intake")
        files = os.listdir(self.run) if os.path.isdir(self.run) else []
        return [f for f in files if not f.endswith(kept) and os.path.getsize(f"{self.run}/{f}") > 0] + \
            [f for f in os.listdir("/dev/shm") if f.startswith(f"sona.{self.name}.")]

    def remove(self):
        shutil.rmtree(self.dir)
        for name in os.listdir("/dev/shm"):
            if name.startswith(f"sona.{self.name}."):
                os.unlink(f"/dev/shm/{name}")


def quietly(*argv):
    try:
        return subprocess.run(argv, timeout=LIMIT_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired:
        return None


def work(place):
    """The first work: what becomes of it is not judged, only that whoever asks is answered."""
    where = ["--instance", place.name, "--runtime-dir", place.run]
    return [quietly(CLIENT, place.name, place.run, "24"),
            quietly(SONACTL, *where, "learn"),
            quietly(SONACTL, *where, "generations", "save"),
            quietly(SONACTL, *where, "--json", "status")]


def last_words(said):
    """What was not logged, but told."""
    lines = [line for line in said.splitlines() if line and not line.startswith("ts=")]
    return lines[-1] if lines else ""


def excepted(status, where):
    return any(status == -number and function in where.split() for function, number in EXCEPTIONS.items())


def judge(kind, k):
    """What became of it; what is wrong with that; how many there are, with k of 0."""
    place = Place(f"{kind[0]}{k}")
    wrong = []
    try:
        run = Run(place, f"{kind}:{k}")
        if run.ready and None in work(place):
            wrong.append("somebody waits for an answer for ever")
        status = run.stop()
        fate = "went on" if status == 0 else "said why" if status == 1 and len(last_words(run.said)) > 20 else "?"
        if excepted(status, run.told):
            fate = "excepted"
        if run.hung:
            wrong.append(f"neither ready nor at its end after {LIMIT_S} s")
        elif fate == "?":
            wrong.append("hung" if status is None else f"status {status}")
        # A name whose removal at a stop is what failed stays, and is the next one's.
        if fate == "said why" and place.left():
            wrong.append(f"left {place.left()}")
        following = Run(place)
        served = following.ready and quietly(CLIENT, place.name, place.run, "2") == 0
        if following.stop() != 0 or not served:
            wrong.append(f"the next start: {last_words(following.said) or following.said[-500:]}")
        elif [name for name in place.left() if not name.endswith(".lanes")]:
            wrong.append(f"the next left {place.left()}")  # the lanes stay where g has run ahead of the clock
        if wrong:
            wrong += [f"in {run.told}", run.said[-1500:]]
        return fate, wrong, int(run.told) if k == 0 and run.told else 0
    finally:
        place.remove()


def main():
    case, failed = 0, 0
    for kind in ("memory", "file"):
        fates, bad = {}, []
        fate, wrong, n = judge(kind, 0)
        assert fate == "went on" and not wrong and n > 0, wrong
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            ks = range(FIRST, n + 1, STRIDE if kind == "memory" else max(1, STRIDE // 32))
            for k, (fate, wrong, _) in zip(ks, pool.map(lambda k: judge(kind, k), ks)):
                fates[fate] = fates.get(fate, 0) + 1
                if wrong:
                    bad.append(k)
                    print("\n# ".join(f"# {kind} {k}: {'; '.join(wrong)}".splitlines()), flush=True)
        print(f"# {kind}: {len(ks)} of {n} tried; " + ", ".join(f"{v} {f}" for f, v in sorted(fates.items())))
        case += 1
        failed += bool(bad)
        print(f"{'not ' if bad else ''}ok {case} - {kind}: the sidecar goes on or says why, and the next start "
              f"succeeds{' but not at ' + str(bad) if bad else ''}", flush=True)
    print(f"1..{case}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
