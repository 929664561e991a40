"""Probes of programs that do not speak Reeve: by TCP, HTTP and a command. What comes of it stands in the process record, only
changes are published, the node does nothing about it, and no question leaves anything behind. And the connection times to
endpoints, and a capacity without what the node keeps."""
import http.server
import os
import pwd
import socket
import threading

import harness
import pytest

import nodes
from nodes import SLEEPER

FAST = {"interval": "100ms", "timeout": "300ms", "threshold": 3}


class Answers:
    """An HTTP server of this test's: answers with `status`, or None = holds the connection without a word."""

    def __init__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.count += 1
                outer.paths.append(self.path)
                if outer.status is None:
                    outer.release.wait(harness.DEADLINE)
                    return
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_):
                pass
        self.status, self.count, self.paths, self.release = 200, 0, [], threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def answers():
    made = Answers()
    yield made
    made.close()


def asked(*probes, name="w", **spec):
    return {"name": name, "command": SLEEPER, "probes": [{**FAST, **probe} for probe in probes], **spec}


def probe_of(record, name):
    return next((p for p in (record or {}).get("probes", []) if p["name"] == name), None)


def wait_probe(admin, name, ok, worker="w", **options):
    record = admin.wait_process(worker, lambda p: (probe_of(p, name) or {}).get("ok") is ok, what=f"probe {name} {ok}", **options)
    return probe_of(record, name)


def test_each_kind_tells_whether_it_is_good(node, admin, answers):
    unused = nodes.free_port()
    admin.apply(asked({"name": "port", "tcp": answers.port}, {"name": "closed", "tcp": f"127.0.0.1:{unused}"},
                      {"name": "page", "http": f"http://127.0.0.1:{answers.port}/health"},
                      {"name": "teapot", "http": f"http://127.0.0.1:{answers.port}/", "status": 418},
                      {"name": "script", "exec": ["sh", "-c", "test \"$REEVE_WORKER\" = w && test \"$MARK\" = x"]},
                      {"name": "broken", "exec": ["sh", "-c", "echo no disk; exit 3"]},
                      {"name": "missing", "exec": ["/no/such/program"]}, env={"MARK": "x"}))
    for name in ("port", "page", "script"):
        assert wait_probe(admin, name, True)["failures"] == 0
    expected = {"closed": "connection refused", "teapot": "status 200", "broken": "exit 3: no disk",
                "missing": "/no/such/program: no such file or directory"}
    for name, message in expected.items():
        found = wait_probe(admin, name, False)
        assert found["message"] == message and found["failures"] >= 3 and found["at"] > 0, found
    assert "/health" in answers.paths
    record = admin.process("w")
    assert record["state"] == "running" and record["restarts"] == 0, "the node does nothing about it"
    admin.wait_event("probe_failing", worker="w", probe="broken", message="exit 3: no disk")


def test_only_changes_are_published_and_one_success_makes_it_good(node, admin, answers):
    admin.apply(asked({"name": "page", "http": f"http://127.0.0.1:{answers.port}/"}))
    wait_probe(admin, "page", True)
    topic = f"worker/{node.name}/w/process"
    published, asked_before = len(admin.history[topic]), answers.count
    harness.wait_until(lambda: answers.count >= asked_before + 10, what="ten more questions")
    assert len(admin.history[topic]) == published, "nothing changed, nothing is published"
    answers.status = 503
    failing = wait_probe(admin, "page", False)
    assert failing["message"] == "status 503" and failing["failures"] == 3
    answers.status = 200
    assert wait_probe(admin, "page", True)["failures"] == 0
    assert len(admin.history[topic]) == published + 2
    admin.wait_event("probe_ok", worker="w", probe="page")


def test_what_hangs_ends_by_its_timeout_with_its_whole_group(node, admin, answers, tmp_path):
    """Neither a server that says nothing nor a command that ignores every signal but one holds anything up."""
    answers.status = None
    pids = tmp_path / "pids"
    script = f"trap '' TERM HUP; (trap '' TERM; while :; do sleep 1000; done) & echo $! >> {pids}; echo $$ >> {pids}; wait"
    admin.apply(asked({"name": "page", "http": f"http://127.0.0.1:{answers.port}/"}, {"name": "script", "exec": ["sh", "-c", script]},
                      {"name": "port", "tcp": answers.port}))
    for name in ("page", "script"):
        assert wait_probe(admin, name, False)["message"] == "no answer within 300ms"
    assert wait_probe(admin, "port", True)
    admin.do("w", "stop")
    left = [int(pid) for pid in pids.read_text().split()]
    assert len(left) >= 6
    harness.wait_until(lambda: not [pid for pid in left if nodes.alive(pid)], what="end of all that was asked")
    assert "probes" not in admin.process("w"), "a worker that does not run has no results"


def test_a_change_of_probes_restarts_nothing(node, admin, answers):
    admin.apply(asked({"name": "one", "tcp": answers.port}))
    wait_probe(admin, "one", True)
    before = admin.process("w")
    reply = admin.apply(asked({"name": "two", "tcp": nodes.free_port(), "threshold": 1}))
    assert reply["result"]["change"] == "changed", reply
    wait_probe(admin, "two", False)
    after = admin.process("w")
    assert (after["pid"], after["run"]) == (before["pid"], before["run"]) and probe_of(after, "one") is None
    admin.do("w", "restart")
    again = admin.wait_state("w", "running", run=2)
    assert wait_probe(admin, "two", False) and again["run"] == 2


def test_nobody_is_asked_before_it_is_ready_and_start_after_is_over(node, admin, answers, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    admin.command("", "apply", {"workers": [{
        "name": "w", "command": ["sh", "-c", f"read x < {fifo}; echo up; sleep 1000"], "ready": {"log": "^up$"},
        "probes": [{**FAST, "name": "page", "http": f"http://127.0.0.1:{answers.port}/now"},
                   {**FAST, "name": "late", "http": f"http://127.0.0.1:{answers.port}/late", "start_after": "700ms"}]}]})
    admin.wait_state("w", "starting")
    admin.describe("w")
    assert answers.count == 0
    fifo.write_text("go\n")
    ready = admin.wait_state("w", "running")["ready_at"]
    wait_probe(admin, "page", True)
    assert probe_of(admin.process("w"), "late") is None
    assert wait_probe(admin, "late", True)["at"] >= ready + 700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts workers of another user")
def test_a_command_runs_as_the_workers_user(node, admin, tmp_path):
    tmp_path.chmod(0o755)
    user = pwd.getpwnam("nobody")
    check = f"test $(id -u) = {user.pw_uid} && test $(id -G) = {user.pw_gid} && test -r $REEVE_BROKER_FILE"
    admin.apply(asked({"name": "who", "exec": ["sh", "-c", check]}, user="nobody", cwd="/tmp"))
    state = wait_probe(admin, "who", True) if node.state.stat().st_mode & 0o001 else None
    if state is None:  # a state folder that the user can't pass through: the file is out of reach, the user is right
        admin.apply(asked({"name": "who", "exec": ["sh", "-c", check.rsplit(" && ", 1)[0]]}, user="nobody", cwd="/tmp"))
        wait_probe(admin, "who", True)


def test_many_are_asked_a_few_at_a_time_and_all_get_their_turn(node, admin, tmp_path):
    """Eight workers of eight commands each that hang: no more than 32 at once, and the port of one more is asked all the same."""
    running = ["sh", "-c", "sleep 1000"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        workers = [asked(*({"name": f"p{p}", "exec": running, "timeout": "200ms"} for p in range(8)), name=f"w{n}") for n in range(8)]
        admin.apply(*workers, asked({"name": "port", "tcp": server.getsockname()[1]}, name="one-more"))
        most = 0

        def seen():
            nonlocal most
            children = (harness.pathlib.Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split())
            most = max(most, len(children))
            return all((probe_of(admin.process(f"w{n}"), f"p{p}") or {}).get("ok") is False for n in range(8) for p in range(8))
        harness.wait_until(seen, what="64 results")
        assert 8 < most <= 34, most
        assert wait_probe(admin, "port", True, worker="one-more")
    admin.do("", "remove", {"workers": "w*"})
    harness.wait_until(lambda: not harness.pathlib.Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split(),
                       what="end of all that was asked")


def test_a_daemon_that_leaves_or_is_killed_leaves_no_question_behind(make_node, admin, tmp_path):
    pids = tmp_path / "pids"
    node = make_node(workers=[asked({"name": "hangs", "exec": ["sh", "-c", f"echo $$ >> {pids}; sleep 1000"], "timeout": "60s"})])
    admin.wait_state("w", "running")
    harness.wait_until(lambda: pids.exists() and pids.read_text().strip(), what="a question")
    before = admin.process("w")
    node.stop()
    assert node.exit_code == 0
    asked_pid = int(pids.read_text().split()[-1])
    harness.wait_until(lambda: not nodes.alive(asked_pid), what="end of the question")
    node.start()
    after = admin.wait_process("w", lambda p: p["epoch"] > before["epoch"] and p["state"] == "running")
    assert after["pid"] == before["pid"]
    harness.wait_until(lambda: len(pids.read_text().split()) == 2, what="a question of the next daemon")


def test_connection_times_to_endpoints_stand_in_the_status(make_node, admin):
    """At least 1 ms, so that near is not unknown; left out while nobody listens; `reload` takes a change."""
    with socket.create_server(("127.0.0.1", 0)) as near:
        port, unused = near.getsockname()[1], nodes.free_port()
        node = make_node(endpoints={"near": f"127.0.0.1:{port}", "name": f"localhost:{port}", "gone": f"127.0.0.1:{unused}"},
                         endpoints_interval="1s")
        status = admin.wait_status(lambda s: set(s.get("round_trip", {})) == {"near", "name"})
        assert all(isinstance(ms, int) and 1 <= ms < 1000 for ms in status["round_trip"].values()), status
    admin.wait_status(lambda s: "round_trip" not in s)
    with socket.create_server(("127.0.0.1", unused)):
        admin.wait_status(lambda s: set(s.get("round_trip", {})) == {"gone"})
        node.section["endpoints"] = {"other": f"127.0.0.1:{unused}"}
        node.write_config()
        admin.do("", "reload")
        admin.wait_status(lambda s: set(s.get("round_trip", {})) == {"other"})


def test_what_the_node_keeps_is_no_capacity(make_node, admin):
    node = make_node()
    whole = admin.wait_status(lambda s: s["capacity"]["memory_bytes"])["capacity"]
    node.section["reserved"] = {"cpus": 0.5, "memory": "256M"}
    node.write_config()
    admin.do("", "reload")
    left = admin.wait_status(lambda s: s["capacity"] != whole)["capacity"]
    assert left["memory_bytes"] == whole["memory_bytes"] - (256 << 20)
    assert left["cpus"] == max(1, whole["cpus"] - 1)


@pytest.mark.parametrize("section, says", [
    ({"endpoints": {"a": "nowhere"}}, "node.endpoints.a: has no port, expected host:port"),
    ({"endpoints": {"A b": "x:1"}}, "is not allowed"),
    ({"endpoints": {f"e{n}": "x:1" for n in range(17)}}, "has 17 entries, expected 0 to 16"),
    ({"endpoints_interval": "10ms"}, "below the minimum of 1s"),
    ({"reserved": {"cpus": -1}}, "expected a number from 0"),
])
def test_a_configuration_that_can_not_be_is_refused(make_node, section, says):
    node = make_node(start=False, **section)
    node.start(ready=False)
    assert node.wait() == 2
    assert says in node.log(), node.log()
