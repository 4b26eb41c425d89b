#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
# Copyright (c) 2026 The SONA authors
"""
What people and their programs reach of a running sidecar: the control socket, the port, and sonactl
through them. Prints TAP. Standard library alone.
usage: talk.py SIDECAR SONACTL REPLAY SOURCE_DIR
"""
import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
import openmetrics

SIDECAR, SONACTL, REPLAY, SOURCE = sys.argv[1:5]
LIMIT_S = 60
NAME = f"talk-{os.getpid()}"  # segments are named for the whole machine
TOKEN = "0123456789abcdef-a-token-of-the-test"
SMALL = ["--isolated", "--dim=16", "--set=hidden_dim=16", "--set=attention_dim=4", "--set=base_lora_layers=2"]


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("sona", timeout=LIMIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(self.path)


def ask(connection, method, path, body=None, headers=None):
    """Status, headers and text of one request."""
    data = json.dumps(body) if isinstance(body, (dict, list)) else body
    connection.request(method, path, data, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def await_true(what, check):
    end = time.monotonic() + LIMIT_S
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.005)


class Sidecar:
    """A private one, and how to ask it."""

    def __init__(self, *args):
        self.dir = tempfile.mkdtemp(prefix="sona-http-")
        self.log = open(self.dir + "/log", "wb")
        self.ctl = f"{self.dir}/{NAME}.ctl"
        one = [] if "-c" in args else ["--instance", NAME]
        self.process = subprocess.Popen(
            [SIDECAR, *SMALL, *one, "--runtime-dir", self.dir, "--state-dir", self.dir + "/state", *args],
            stderr=self.log)
        await_true("ready: " + self.said(), self.ready)

    def said(self):
        with open(self.dir + "/log", errors="replace") as log:
            return log.read()

    def ready(self):
        assert self.process.poll() is None, self.said()
        return "event=ready" in self.said()

    def ask(self, method, path, body=None, headers=None):
        return ask(Unix(self.ctl), method, path, body, headers)

    def page(self):
        status, headers, text = self.ask("GET", "/metrics")
        assert status == 200, text
        expected = "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert headers["Content-Type"] == expected, headers["Content-Type"]
        return openmetrics.parse(text)

    def sonactl(self, *args, **more):
        return sonactl(self.dir, *args, **more)

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        status = self.process.wait(LIMIT_S)
        said = self.said()
        self.log.close()
        shutil.rmtree(self.dir)
        assert status == 0, f"it ended with {status}: {said}"


@contextlib.contextmanager
def sidecar(*args):
    s = Sidecar(*args)
    try:
        yield s
    except BaseException:
        s.process.kill()
        s.process.wait()
        shutil.rmtree(s.dir, ignore_errors=True)
        raise
    s.close()


def sonactl(runtime_dir, *args, **more):
    """Exit status, stdout, stderr."""
    which = [] if "--instance" in args else ["--instance", NAME]
    done = subprocess.run([SONACTL, "--runtime-dir", runtime_dir, *which, *args], capture_output=True,
                          text=True, timeout=LIMIT_S, **more)
    return done.returncode, done.stdout, done.stderr


def expect_one_sentence(result, status, words):
    code, _, said = result
    assert code == status, f"exit status {code}: {said}"
    assert said.count("\n") == 1 and said.startswith("sonactl: "), said
    assert words in said, said


def value(families, name, **labels):
    family = next(f for n, f in families.items() if name.startswith(n) and any(s[0] == name for s in f.samples))
    return [v for n, pairs, v in family.samples if n == name and labels.items() <= dict(pairs).items()]


# ---- metrics ----


def write_set(path, rows=4000, dim=16, routes=3):
    """A data set as tools/dataset.h has it: the best route follows from the first component."""
    dice = random.Random(1)
    with open(path, "wb") as out:
        out.write(b"SONARTE1" + struct.pack("<4I", rows, dim, routes, 1))
        out.write(struct.pack(f"<{routes}f", *([1.0] * routes)))
        for _ in range(rows):
            x = [dice.randint(-127, 127) or 1 for _ in range(dim)]
            quality = [0.9 if (x[0] > 0) == (k == 0) else 0.2 for k in range(routes)]
            out.write(struct.pack("<Hf", 0, 0.01) + struct.pack(f"<{routes}f", *quality))
            out.write(struct.pack(f"<{dim}b", *x))


def control_of_child(pid):
    """The control socket of the sidecar that a program started for itself; None: not yet there."""
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{entry}/cmdline") as file:
                words = file.read().split("\0")
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid and "--runtime-dir" in words:
            at = lambda flag: words[words.index(flag) + 1]
            path = f"{at('--runtime-dir')}/{at('--instance')}.ctl"
            return path if os.path.exists(path) else None
    return None


def the_page_parses_strictly_while_the_learner_is_under_load():
    with tempfile.TemporaryDirectory() as work:
        write_set(work + "/set.bin")
        load = subprocess.Popen([REPLAY, "--data", work + "/set.bin", "--rows", "1500", "--test", "100",
                                 "--json"], stdout=subprocess.DEVNULL,
                                env=dict(os.environ, SONA_SIDECAR=SIDECAR))
        pages, learned = 0, []
        try:
            path = None
            while path is None and load.poll() is None:
                path = control_of_child(load.pid)
            assert path, "the load started no sidecar"
            while load.poll() is None:
                try:
                    status, _, text = ask(Unix(path), "GET", "/metrics")
                except (OSError, http.client.HTTPException):
                    continue  # it has just stopped
                assert status == 200, text
                page = openmetrics.parse(text)
                learned += value(page, "sona_learned_total")
                count = value(page, "sona_learn_seconds_count")[0]
                assert count >= learned[-1] * 0.5, "what was learned was timed"
                pages += 1
        finally:
            load.kill()
            load.wait()
        assert learned == sorted(learned), "a counter went down"
        assert pages >= 3 and learned[-1] > learned[0], f"{pages} pages, {learned[:1]}..{learned[-1:]}"


def no_label_grows_with_routes_that_come_and_go():
    odd = ['a"quoted"one', "back\\slash", "{le=\"1\"}5#EOF"]
    with sidecar("--routes=a,b,c") as s:
        before = openmetrics.series(s.page())
        rounds = 1000
        connection = Unix(s.ctl)
        for name in ["two\nlines", "größer ☃", "two words", "\x1b[31mred"]:  # no file could name them
            assert ask(connection, "POST", "/v1/routes/add", {"name": name})[0] == 400, name
        for k in range(rounds):
            name = odd[k] if k < len(odd) else f"route-{k}"
            status, _, text = ask(connection, "POST", "/v1/routes/add", {"name": name})
            assert status == 200, f"{k}: {text}"
            if k < len(odd):
                assert value(s.page(), "sona_route_share", route=name) == [0], name
            status, _, text = ask(connection, "POST", "/v1/routes/retire", {"name": name})
            assert status == 200, f"{k}: {text}"
        after = openmetrics.series(s.page())
        assert after == before, after ^ before


def what_operators_were_promised_is_on_the_page():
    promised = ["records", "drops", "learned", "learn_seconds", "publish_seconds", "lanes",
                "snapshot_age_seconds", "journal_lag", "route_share", "route_reward_mean", "patterns",
                "ewc_tasks"]
    allocator = ["jemalloc_allocated_bytes", "jemalloc_active_bytes", "jemalloc_resident_bytes"]
    with open(SOURCE + "/docs/metrics.md") as file:
        named = set(re.findall(r"^\| `(sona_[a-z_0-9]+)`", file.read(), re.M))
    with sidecar("--routes=a,b,c") as s:
        page = s.page()
        for name in promised:
            assert "sona_" + name in page, name
        linked = subprocess.run(["ldd", SIDECAR], capture_output=True, text=True).stdout
        for name in allocator:
            assert ("sona_" + name in page) == ("jemalloc" in linked), name
        undocumented = set(page) - named
        assert not undocumented, f"docs/metrics.md lacks {sorted(undocumented)}"
        gone = named - set(page) - {"sona_" + name for name in allocator}
        assert not gone, f"docs/metrics.md has {sorted(gone)}, and no page does"
        assert value(page, "sona_state", sona_state="live") == [1]


def the_parser_forgives_nothing():
    good = ('# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n# HELP a_seconds x\n'
            'a_seconds_bucket{le="0.1"} 1\na_seconds_bucket{le="+Inf"} 2\na_seconds_count 2\n'
            'a_seconds_sum 1.5\n# TYPE b counter\n# HELP b y\nb_total{k="v"} 1\n# EOF\n')
    openmetrics.parse(good)
    for old, new in [("# EOF\n", "# EOF"), ("# EOF\n", ""), ("b_total", "b"), (" counter", " count"),
                     ('le="+Inf"} 2', 'le="+Inf"} 0'), ("_count 2", "_count 3"), ('"v"', 'v'),
                     ("# HELP b y\n", ""), ("# UNIT a_seconds seconds", "# UNIT a_seconds bytes"),
                     ('{k="v"} 1', '{k="v"}  1'), ('{k="v"} 1', '{k="v"} -1'), ('"v"', '"\\v"'),
                     ('{k="v"} 1\n', '{k="v"} 1\nb_total{k="v"} 2\n'), ('le="0.1"', 'le="0.10"'),
                     ('{k="v"}', '{k="v",k="w"}'), ("# TYPE b counter", "# TYPE a_seconds counter")]:
        bad = good.replace(old, new, 1)
        try:
            openmetrics.parse(bad)
        except openmetrics.Mistake:
            continue
        raise AssertionError(f"taken: {new!r} for {old!r}")


# ---- the control socket ----


def every_command_has_its_path_and_is_documented():
    with open(SOURCE + "/docs/control.md") as file:
        document = file.read()
    with sidecar("--routes=a,b,c") as s:
        assert stat.S_IMODE(os.stat(s.ctl).st_mode) == 0o600
        commands = json.loads(s.ask("GET", "/v1")[2])["commands"]
        for c in commands:
            assert f"| `{c['method']} {c['path']}` |" in document, c["path"]
            for argument in c["arguments"]:
                assert f"`{argument['key']}`" in document, argument["key"]
            methods = [d["method"] for d in commands if d["path"] == c["path"]]
            other = next(m for m in ["POST", "GET", "PUT"] if m not in methods)
            status, headers, text = s.ask(other, c["path"])
            assert status == 405 and headers["Allow"] == ", ".join(methods), text
        known = {f"{c['method']} {c['path']}" for c in commands}
        for row in re.findall(r"^\| `([A-Z]+ /v1/[a-z/]+)` \|", document, re.M):
            assert row in known, f"docs/control.md has {row}"
        for path in ["/metrics", "/livez", "/readyz", "/healthz"]:
            assert f"`GET {path}`" in document, path
            assert s.ask("GET", path)[0] == 200, path


def every_mistake_is_json_with_a_status_and_a_remedy():
    late = {"name": "late", "cost": 0.5}
    cases = [("GET", "/nowhere", None, 404, "SONA_E_ABSENT"), ("GET", "/v1/fly", None, 404, "SONA_E_ABI"),
             ("DELETE", "/v1/flush", None, 405, "SONA_E_FORMAT"),
             ("PUT", "/metrics", None, 405, "SONA_E_FORMAT"),
             ("POST", "/v1/routes/add", "no json", 400, "SONA_E_FORMAT"),
             ("POST", "/v1/routes/add", [1], 400, "SONA_E_FORMAT"),
             ("POST", "/v1/routes/add", "{\"name\":\"x\",\"name\":\"y\"}", 400, "SONA_E_FORMAT"),
             ("POST", "/v1/routes/add", "[" * 5000, 400, "SONA_E_FORMAT"),
             ("POST", "/v1/routes/add", {}, 400, "SONA_E_ARGUMENT"),
             ("POST", "/v1/routes/add", {"name": "x", "color": 1}, 400, "SONA_E_ARGUMENT"),
             ("POST", "/v1/routes/add", {"name": 7}, 400, "SONA_E_RANGE"),
             ("POST", "/v1/routes/add", {"name": "x" * 64}, 400, "SONA_E_RANGE"),
             ("POST", "/v1/routes/add", {"name": "x", "cost": 2}, 400, "SONA_E_RANGE"),
             ("POST", "/v1/routes/add", {"name": "x", "cost": "1"}, 400, "SONA_E_RANGE"),
             ("POST", "/v1/routes/add", "{\"name\":\"x\",\"cost\":1e300}", 400, "SONA_E_RANGE"),
             ("POST", "/v1/routes/add", {"name": "a"}, 409, "SONA_E_DUPLICATE"),
             ("POST", "/v1/routes/retire", {"name": "nobody"}, 404, "SONA_E_ROUTE"),
             ("POST", "/v1/routes/mode", {"name": "a", "mode": "fast"}, 400, "SONA_E_RANGE"),
             ("POST", "/v1/patterns/prune", {"quality": 0.5, "min_age": -1}, 400, "SONA_E_RANGE"),
             ("POST", "/v1/flush", " " * 20000, 413, "SONA_E_LIMIT")]
    with sidecar("--routes=a,b,c") as s:
        for method, path, body, status, code in cases:
            got, headers, text = s.ask(method, path, body)
            assert got == status, f"{method} {path} {body!r:.60}: {got} {text}"
            error = json.loads(text)["error"]
            assert error["code"] == code and error["text"] and error["remedy"], f"{path}: {text}"
            assert headers["Content-Type"] == "application/json"
        got, _, text = s.ask("GET", "/v1/status", headers={"Sona-Abi": "99.0"})
        assert got == 426 and json.loads(text)["error"]["code"] == "SONA_E_ABI", text
        assert s.ask("POST", "/v1/routes/add", late)[0] == 200, "and it goes on"
        full = [s.ask("POST", "/v1/routes/add", {"name": f"route-{k}"}) for k in range(16)][-1]
        assert full[0] == 409 and json.loads(full[2])["error"]["code"] == "SONA_E_LIMIT", full[2]


def a_client_is_answered_while_people_keep_every_connection():
    """Slow ones, large ones, silent ones: they have their time and are ended; clients never wait."""
    with sidecar("--routes=a,b,c") as s:
        held = []
        for k in range(32):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].connect(s.ctl)
            held[-1].send([b"", b"GET /v1/status HTTP/1.1\r\nX: ", b"POST /v1/flush HTTP/1.1\r\nHost: x\r\n"
                           b"Content-Length: 1000\r\n\r\n"][k % 3])
        await_true("it is full", lambda: "event=http_no_room" in s.said())
        start = time.monotonic()
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(LIMIT_S)
        client.connect(f"{s.dir}/{NAME}.sock")
        client.send(b"no HELLO at all")
        assert client.recv(4096), "a client is told"
        told = time.monotonic() - start
        assert s.ask("GET", "/livez")[0] == 200, "and people are when the time of those is over"
        waited = time.monotonic() - start
        assert told < waited / 2, f"the client waited {told:.3f} s, people {waited:.3f} s"
        for h in held:
            h.settimeout(LIMIT_S)
            with contextlib.suppress(ConnectionError):
                while h.recv(4096):
                    pass
            h.close()
        flood = socket.socket(socket.AF_UNIX)
        flood.connect(s.ctl)
        flood.settimeout(LIMIT_S)
        with contextlib.suppress(ConnectionError):
            flood.send(b"POST /v1/flush HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
            while flood.recv(65536):
                flood.send(b"x" * 65536)
        assert s.ask("GET", "/readyz")[0] == 200


# ---- the port ----


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_token(directory, mode=0o600):
    path = directory + "/token"
    with open(path, "w") as file:
        file.write(TOKEN + "\n")
    os.chmod(path, mode)
    return path


def the_port_answers_its_own_name_and_the_token_alone():
    with tempfile.TemporaryDirectory() as work:
        port, path = free_port(), write_token(work)
        with sidecar("--routes=a,b,c", f"--listen-port={port}", f"--token-file={path}") as s:
            bearer = {"Authorization": "Bearer " + TOKEN}
            cases = [({}, 401), ({"Authorization": "Bearer wrong"}, 401),
                     ({"Authorization": "Bearer " + TOKEN[:-1]}, 401),
                     ({"Authorization": "Bearer " + TOKEN + "x"}, 401),
                     ({"Authorization": "Basic " + TOKEN}, 401), (bearer, 200),
                     ({**bearer, "Host": "evil.example"}, 421),
                     ({**bearer, "Host": f"evil.example:{port}"}, 421),
                     ({**bearer, "Host": "127.0.0.1"}, 421), ({**bearer, "Host": f"localhost:{port}"}, 200),
                     ({**bearer, "Origin": "http://evil.example"}, 403), ({**bearer, "Origin": "null"}, 403),
                     ({**bearer, "Origin": f"https://127.0.0.1:{port}"}, 403),
                     ({**bearer, "Origin": f"http://127.0.0.1:{port}"}, 200)]
            for page in ["/metrics", "/livez", "/readyz", "/healthz"]:
                for headers, status in cases:
                    to = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
                    got, answer, text = ask(to, "GET", page, headers=headers)
                    assert got == status, f"{page} {headers}: {got} {text}"
                    assert "Access-Control-Allow-Origin" not in answer
            for forbidden in ["/v1", "/v1/status", "/v1/flush"]:
                to = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
                assert ask(to, "GET", forbidden, headers=bearer)[0] == 404, forbidden
            to = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
            openmetrics.parse(ask(to, "GET", "/metrics", headers=bearer)[2])
            assert TOKEN not in s.said() and TOKEN not in s.ask("GET", "/v1/config")[2]


def a_port_without_a_good_token_does_not_open():
    with tempfile.TemporaryDirectory() as work:
        port, path = free_port(), write_token(work, 0o644)
        with open(work + "/short", "w", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write("short\n")
        for token, status, words in [(None, 2, "token_file"), (path, 1, "0600"), (work + "/none", 1, "cannot read"),
                                     (work + "/short", 1, "visible ASCII")]:
            flags = [f"--token-file={token}"] if token else []
            done = subprocess.run([SIDECAR, *SMALL, "--routes=a", "--runtime-dir", work, "--state-dir", work,
                                   f"--listen-port={port}", *flags], capture_output=True, text=True, timeout=LIMIT_S)
            assert done.returncode == status and words in done.stderr, done.stderr


def one_page_has_every_instance_of_the_process():
    with tempfile.TemporaryDirectory() as work:
        port = free_port()
        with open(work + "/wrong.yaml", "w", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(f"instances:\n  one: {{routes: [a], http: {{listen_port: {port}}}}}\n")
        done = subprocess.run([SIDECAR, "-c", work + "/wrong.yaml", "--isolated"], capture_output=True, text=True,
                              timeout=LIMIT_S)
        assert done.returncode == 2 and "wrong.yaml:2:" in done.stderr, done.stderr
        assert "of the whole process" in done.stderr, done.stderr
        with open(work + "/sidecar.yaml", "w", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(f"http: {{listen_port: {port}, token_file: {write_token(work)}}}\n"
                       f"instances:\n  {NAME}: {{routes: [a, b]}}\n  {NAME}-other: {{routes: [c]}}\n")
        with sidecar("-c", work + "/sidecar.yaml") as s:
            await_true("both", lambda: os.path.exists(f"{s.dir}/{NAME}-other.ctl"))
            page = None

            def both():
                nonlocal page
                to = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
                page = openmetrics.parse(ask(to, "GET", "/metrics", headers={"Authorization": "Bearer " + TOKEN})[2])
                return len(value(page, "sona_routes_enabled")) == 2

            await_true("both are on the page", both)
            assert value(page, "sona_routes_enabled", sona_instance=NAME) == [2]
            assert value(page, "sona_routes_enabled", sona_instance=f"{NAME}-other") == [1]
            assert value(s.page(), "sona_routes_enabled") == [2], "the socket has its own alone"
            assert json.loads(s.sonactl("--instance", f"{NAME}-other", "--json", "status")[1])["instance"] == f"{NAME}-other"


# ---- sonactl ----


def answer_once(path, text):
    """Something that listens at a control socket, and is no sidecar of ours."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)

    def serve():
        peer, _ = server.accept()
        peer.recv(4096)
        peer.send(text)
        peer.close()
        server.close()

    threading.Thread(target=serve, daemon=True).start()


def sonactl_says_in_a_sentence_why_nobody_answers():
    with tempfile.TemporaryDirectory() as work:
        expect_one_sentence(sonactl(work, "status"), 3, "start sona-sidecar")
        answer_once(f"{work}/{NAME}.ctl", b"HTTP/1.1 200 OK\r\nSona-Abi: 9.3\r\nContent-Length: 2\r\n\r\n{}")
        expect_one_sentence(sonactl(work, "status"), 5, "speaks ABI 9.3")
        os.unlink(f"{work}/{NAME}.ctl")
        answer_once(f"{work}/{NAME}.ctl", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        expect_one_sentence(sonactl(work, "status"), 5, "ABI unknown")
        os.unlink(f"{work}/{NAME}.ctl")
        answer_once(f"{work}/{NAME}.ctl", b"220 mail.example ESMTP\r\n")
        expect_one_sentence(sonactl(work, "status"), 1, "does not speak HTTP")
        os.unlink(f"{work}/{NAME}.ctl")
        answer_once(f"{work}/{NAME}.ctl", b"")
        expect_one_sentence(sonactl(work, "status"), 3, "hung up")
        os.unlink(f"{work}/{NAME}.ctl")
        old = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        old.bind(f"{work}/{NAME}.sock")
        old.listen(1)
        expect_one_sentence(sonactl(work, "status"), 5, "older version")
        old.close()
    code, _, said = sonactl("/nowhere", "fly")
    assert code == 2 and "is no command" in said, said


def sonactl_tells_stopped_degraded_and_foreign_apart():
    with sidecar("--routes=a,b,c") as s:
        assert s.sonactl("health")[0] == 0
        assert s.sonactl("disable")[0] == 0
        code, said, _ = s.sonactl("health")
        assert code == 4 and "sonactl enable" in said, said
        assert s.ask("GET", "/healthz")[0] == 503 and s.ask("GET", "/readyz")[0] == 200
        assert s.sonactl("enable")[0] == 0
        s.process.send_signal(signal.SIGSTOP)
        os.waitpid(s.process.pid, os.WUNTRACED)  # every thread of it has stopped
        expect_one_sentence(s.sonactl("status"), 3, f"kill -CONT {s.process.pid}")
        s.process.send_signal(signal.SIGCONT)
        code, said, _ = s.sonactl("--json", "stats")
        assert code == 0 and json.loads(said)["step"] >= 3, said
        if os.geteuid() != 0:
            return
        as_other = {"user": 65534, "group": 65534, "extra_groups": []}
        expect_one_sentence(foreign(s, as_other), 1, "run as the sidecar's user")
        os.chmod(s.dir, 0o755)
        expect_one_sentence(foreign(s, as_other), 1, "run as the sidecar's user")
        os.chmod(s.ctl, 0o777)
        expect_one_sentence(foreign(s, as_other), 1, "not uid 65534")


def foreign(s, as_other):
    """sonactl of another user, from a place that it can reach."""
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        shutil.copy(SONACTL, work + "/sonactl")
        done = subprocess.run([work + "/sonactl", "--runtime-dir", s.dir, "--instance", NAME, "disable"], capture_output=True,
                              text=True, timeout=LIMIT_S, cwd="/", **as_other)
    return done.returncode, done.stdout, done.stderr


def help_and_completion_know_every_command():
    with sidecar("--routes=a,b,c") as s:
        commands = json.loads(s.ask("GET", "/v1")[2])["commands"]
    text = subprocess.run([SONACTL, "--help"], capture_output=True, text=True, check=True).stdout
    script = subprocess.run([SONACTL, "--completion"], capture_output=True, text=True, check=True).stdout
    for c in commands:
        words = c["sonactl"].split()
        plain = [w for w in words if w.islower()]
        assert "  " + c["sonactl"] in text, c["sonactl"]
        typed = ["sonactl", *plain[:-1], ""]
        done = subprocess.run(["bash", "-c", script + f"""
COMP_WORDS=({' '.join(repr(w) for w in typed)}); COMP_CWORD={len(typed) - 1}; _sonactl; echo "${{COMPREPLY[@]}}" """],
                              capture_output=True, text=True, check=True)
        assert plain[-1] in done.stdout.split(), f"{typed}: {done.stdout} {done.stderr}"


def main():
    tests = [the_parser_forgives_nothing, what_operators_were_promised_is_on_the_page,
             the_page_parses_strictly_while_the_learner_is_under_load,
             no_label_grows_with_routes_that_come_and_go, every_command_has_its_path_and_is_documented,
             every_mistake_is_json_with_a_status_and_a_remedy,
             a_client_is_answered_while_people_keep_every_connection,
             the_port_answers_its_own_name_and_the_token_alone, a_port_without_a_good_token_does_not_open,
             one_page_has_every_instance_of_the_process, sonactl_says_in_a_sentence_why_nobody_answers,
             sonactl_tells_stopped_degraded_and_foreign_apart, help_and_completion_know_every_command]
    wanted = sys.argv[5:]
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for number, test in enumerate(tests, 1):
        if wanted and test.__name__ not in wanted:
            continue
        start = time.monotonic()
        try:
            test()
            print(f"ok {number} - {test.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception as problem:  # whatever it is, the others run
            failed += 1
            print(f"not ok {number} - {test.__name__}: {type(problem).__name__}: {str(problem)[:1000]!r}", flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
