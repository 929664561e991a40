"""Kill -9 of reeved takes nothing from anybody: workers live on, what happened meanwhile is told truly, what
was accepted is carried out once."""
import os
import random
import re
import signal
import sqlite3
import threading
import time

import harness
import pytest

import nodes
from conftest import three_brokers
from nodes import SLEEPER, STUBBORN

TICKER = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.02; done"]


def current_log(node, worker):
    return node.state / "logs" / worker / "current"


def wait_log_grown(node, worker, by=200):
    path = current_log(node, worker)
    size = path.stat().st_size
    harness.wait_until(lambda: path.stat().st_size >= size + by, what=f"log of {worker} grows")


def ticks(lines):
    return [int(line.split()[1]) for line in lines if re.fullmatch(r"tick \d+", line)]


@three_brokers
def test_workers_keep_their_pids_and_go_on_logging(make_node, admin):
    """kill -9, a while, restart: same pid, same run, no line missing, `worker_adopted`; then commands work on it."""
    node = make_node(workers=[{"name": "a", "command": TICKER}, {"name": "b", "command": SLEEPER}])
    before = {name: admin.wait_state(name, "running") for name in "ab"}
    node.kill()
    wait_log_grown(node, "a")
    assert all(nodes.alive(record["pid"]) for record in before.values())
    node.start()
    for name in "ab":
        admin.wait_event("worker_adopted", worker=name)
        after = admin.wait_process(name, lambda p, n=name: p["epoch"] > before[n]["epoch"] and p["state"] == "running")
        assert (after["pid"], after["run"]) == (before[name]["pid"], before[name]["run"]), after
        assert abs(after["started_at"] - before[name]["started_at"]) <= 20, "the start time is the process's own"
    wait_log_grown(node, "a")
    seen = ticks(admin.logs("a", 2000))
    assert seen == list(range(1, len(seen) + 1)), "lines are missing"
    admin.do("a", "stop")
    assert not nodes.alive(before["a"]["pid"])


@three_brokers
def test_what_ended_meanwhile_is_reported_with_its_true_end(make_node, admin, tmp_path):
    """While no daemon looked one ended with 42, one was killed: the records say 42 and SIGKILL of run 1, with the time
    of the end. By its policy the one is left as it is and the other is started again, with a new run."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    node = make_node(workers=[
        {"name": "quits", "command": ["sh", "-c", f"read x <{fifo}; exit 42"], "restart": {"policy": "never"}},
        {"name": "again", "command": SLEEPER, "restart": {"initial": "10ms"}},
        {"name": "broken", "command": SLEEPER, "restart": "never"}])
    before = {name: admin.wait_state(name, "running") for name in ("quits", "again", "broken")}
    node.kill()
    fifo.write_text("go\n")
    os.kill(before["again"]["pid"], signal.SIGKILL)
    os.kill(before["broken"]["pid"], signal.SIGSEGV)
    harness.wait_until(lambda: not node.shims(), what="shims have written the ends and left")
    ended = nodes.now_ms()
    node.start()
    quits = admin.wait_state("quits", "stopped")
    assert quits["exit"]["code"] == 42 and quits["exit"]["run"] == 1, quits
    assert before["quits"]["started_at"] <= quits["exit"]["at"] <= ended, quits
    again = admin.wait_state("again", "running", run=2)
    assert again["exit"]["signal"] == "SIGKILL" and again["exit"]["run"] == 1 and again["restarts"] == 1, again
    broken = admin.wait_state("broken", "stopped")
    assert broken["exit"]["signal"] == "SIGSEGV", broken
    assert "exit 139 (SIGSEGV) · run 1" in broken["why"], broken


def test_a_reused_pid_is_a_stranger_and_left_alone(make_node, admin):
    """F06. Shim and daemon are killed, the worker dies with its shim, and its pid belongs to a stranger when the daemon
    comes back (here: the run's own record names the stranger's pid). Expected: outcome lost, a new run, and the
    stranger gets no signal."""
    import subprocess
    node = make_node(workers=[{"name": "a", "command": SLEEPER, "restart": {"initial": "10ms"}}])
    record = admin.wait_state("a", "running")
    node.kill()
    for shim in node.shims():
        os.kill(shim, signal.SIGKILL)
    harness.wait_until(lambda: not nodes.alive(record["pid"]), what="the worker dies with its shim")
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        start = node.state / "runs" / "a" / "1" / "start"
        text = start.read_bytes()
        assert str(record["pid"]).encode() in text
        start.write_bytes(text.replace(str(record["pid"]).encode(), str(stranger.pid).encode()))
        node.start()
        again = admin.wait_state("a", "running", run=2)
        assert again["exit"]["cause"] == "lost", again
        admin.do("a", "kill")
        admin.do("a", "remove")
        assert stranger.poll() is None, "a stranger was signalled"
    finally:
        stranger.kill()
        stranger.wait()


@three_brokers
def test_a_stop_accepted_just_before_the_kill_is_honoured(make_node, admin):
    """`accepted` means on disk: a stop whose daemon is killed before the end of the worker is carried out by the next
    one, and the sender gets his one `done`; asked again with the same id he gets the same."""
    node = make_node(workers=[{"name": "a", **STUBBORN, "stop": {"grace": "700ms"}}])
    record = admin.wait_state("a", "running")
    command = admin.command("a", "stop")
    command.phase("accepted")
    node.kill()
    assert nodes.alive(record["pid"]), "the test is too slow for the grace time"
    node.start()
    reply = command.terminal()
    assert reply["phase"] == "done" and reply["result"]["exit"]["run"] == 1, reply
    assert admin.wait_state("a", "stopped")["desired"] == "stopped"
    assert not nodes.alive(record["pid"])
    admin.command("a", "stop", command_id=command.id)
    admin.wait(lambda: len(command.terminals()) == 2)
    assert command.terminals()[1] == reply
    node.kill()
    node.start()
    assert admin.wait_process("a", lambda p: p["epoch"] > record["epoch"])["state"] == "stopped"
    assert not node.processes("a")


@three_brokers
def test_a_removal_half_done_is_finished(make_node, admin):
    """Removed on disk, its process still there, daemon killed: the next one ends the process, clears the record at the
    broker and its folders, and the sender hears `done`."""
    node = make_node()
    admin.apply({"name": "a", **STUBBORN, "stop": {"grace": "700ms"}})
    record = admin.wait_state("a", "running")
    command = admin.command("a", "remove")
    command.phase("accepted")
    node.kill()
    assert nodes.alive(record["pid"]), "the test is too slow for the grace time"
    node.start()
    assert command.terminal()["phase"] == "done"
    admin.wait_gone("a")
    assert not nodes.alive(record["pid"])
    assert not [p for p in ("runs", "logs", "workers") if (node.state / p / "a").exists()]
    assert admin.do("", "list")["result"]["total"] == 0


def test_a_worker_removed_while_the_broker_forgot_nothing_leaves_no_ghost(make_node, admin, broker):
    """What the broker kept of a worker that the node does not know is cleared at the next session: no ghosts."""
    import msgpack
    topic = broker.topic(f"worker/{broker.node}/ghost/process")
    node_client = broker.client(broker.node)
    node_client.publish(topic, msgpack.packb({"epoch": 1, "run": 1, "state": "running"}), retain=True)
    make_node()
    admin.wait_gone("ghost")


def test_restart_counters_and_versions_survive(make_node, admin):
    """A changed spec, then two restarts by policy, then kill -9: restarts, spec version and run number go on from
    there."""
    node = make_node()
    admin.apply({"name": "a", "command": SLEEPER, "restart": {"initial": "1ms"}})
    admin.apply({"name": "a", "command": SLEEPER, "restart": {"initial": "1ms"}, "labels": {"desk": "b"}})
    for run in (1, 2):
        os.kill(admin.wait_state("a", "running", run=run)["pid"], signal.SIGKILL)
    before = admin.wait_state("a", "running", run=3)
    assert before["restarts"] == 2 and before["version"] == 2, before
    node.kill()
    node.start()
    after = admin.wait_process("a", lambda p: p["epoch"] > before["epoch"] and p["state"] == "running")
    keys = ("restarts", "version", "run", "pid", "labels", "origin")
    assert {k: after[k] for k in keys} == {k: before[k] for k in keys}


def test_readiness_is_known_again_after_the_kill(make_node, admin, tmp_path):
    """Ready by log, notify and tcp: adopted workers are running at once, not waited for again; one that was not ready
    yet becomes ready under the new daemon."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    notify = 'echo "READY=1" >&$REEVE_NOTIFY_FD; exec sleep 1000'
    node = make_node(workers=[
        {"name": "log", **STUBBORN, "stop": {"grace": "0s"}},
        {"name": "notify", "command": ["sh", "-c", notify], "ready": "notify"},
        {"name": "late", "command": ["sh", "-c", f"read x <{fifo}; echo up; exec sleep 1000"], "ready": {"log": "^up$"}}])
    before = {name: admin.wait_state(name, "running") for name in ("log", "notify")}
    admin.wait_state("late", "starting")
    node.kill()
    node.start()
    for name, record in before.items():
        after = admin.wait_process(name, lambda p, r=record: p["epoch"] > r["epoch"] and p["state"] == "running")
        assert after["pid"] == record["pid"], after
    fifo.write_text("go\n")
    admin.wait_state("late", "running")


OPS = ("start", "stop", "restart", "kill", "start", "stop")
WANTED = {"start": "running", "restart": "running", "stop": "stopped", "kill": "stopped"}


class Storm:
    """Random commands from a thread of their own, with pauses, until told to end."""

    def __init__(self, admin, workers, rng):
        self.admin, self.workers, self.rng = admin, workers, rng
        self.sent = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set() and len(self.sent) < 60:
            worker, op = self.rng.choice(self.workers), self.rng.choice(OPS)
            self.sent.append((self.admin.command(worker, op, wait=False), worker, op))
            self.over.wait(self.rng.uniform(0, 0.012))


@three_brokers
def test_no_command_is_lost_or_done_twice_over_ten_kills_at_random_instants(make_node, admin, kind):
    """Ten rounds: commands flow, the daemon is killed at a random instant and started again. Every command that got no
    terminal reply is sent again with its id and gets one. In the journal each has one terminal phase; no two workers'
    processes exist for one name at the end; each worker is in the state that the last command accepted asks for."""
    seed = int(os.environ.get("REEVE_SEED", time.time_ns() % 1000000))
    print(f"seed {seed} (REEVE_SEED)")
    rng = random.Random(seed)
    workers = ["w0", "w1", "w2"]
    node = make_node(log_level="info", workers=[
        {"name": name, "command": SLEEPER, "restart": {"initial": "5ms", "limit": 0}} for name in workers])
    sent = []
    for _ in range(10):
        storm = Storm(admin, workers, rng)
        storm.thread.start()
        threading.Event().wait(rng.uniform(0.01, 0.3))  # the instant of the kill: chance is what is wanted
        node.kill()
        storm.over.set()
        storm.thread.join()
        sent += storm.sent
        node.start()
        for command, worker, op in storm.sent:
            if not command.terminals():
                admin.command(worker, op, command_id=command.id)
        for command, _, _ in storm.sent:
            admin.wait(command.terminals, what=lambda c=command: f"{c.what} {c.id} {c.phases} seed {seed}\n{node.log()[-4000:]}")
    assert len(sent) > 50, "no storm"
    journal = node.journal()
    assert all(terminal for _, terminal in journal.values()), f"seed {seed}: {journal}"
    for command, _, _ in sent:
        phases = {reply["phase"] for reply in command.terminals()}
        assert len(phases) == 1, f"seed {seed}: {command.what} has {command.replies}"
        assert command.id not in journal or journal[command.id][0] in phases, (seed, command.replies)
    order = [row[0] for row in node.database("SELECT id FROM journal ORDER BY seq")]
    by_id = {command.id: (worker, op) for command, worker, op in sent}
    last = {by_id[i][0]: by_id[i][1] for i in order if i in by_id}
    for worker, op in last.items():
        record = admin.wait_process(worker, lambda p, o=op: p["state"] == WANTED[o], what=f"{op} was last, seed {seed}")
        assert record["desired"] == WANTED[op]
        live = node.processes(worker)
        assert live == ([record["pid"]] if WANTED[op] == "running" else []), (seed, worker, op, live, record)


def reopen(node, *ids):
    """As if the daemon had been killed between carrying these out and writing that down."""
    with sqlite3.connect(node.state / "reeved.db") as database:
        for command_id in ids:
            database.execute("UPDATE journal SET phase='accepted', reply=NULL, terminal=0 WHERE id=?", (command_id,))
    database.close()


@pytest.mark.parametrize("ops", [("kill", "restart"), ("stop", "start"), ("restart", "kill"), ("start", "stop"),
                                 ("stop", "start", "kill"), ("kill", "start", "restart"), ("restart", "restart")])
def test_of_several_commands_left_open_the_last_one_holds(make_node, admin, ops):
    """Commands that were carried out and whose outcome did not reach the disk are resumed in any number: none acts on a
    run that came after it, each gets its terminal reply, and what the last one asked for holds."""
    node = make_node(workers=[{"name": "a", "command": SLEEPER}])
    admin.wait_state("a", "running")
    ids = [f"open-{turn}-{op}" for turn, op in enumerate(ops)]
    for op, command_id in zip(ops, ids):
        admin.do("a", op, command_id=command_id)
    before = admin.wait_state("a", WANTED[ops[-1]])
    node.kill()
    reopen(node, *ids)
    admin.replies.clear()
    node.start()
    for op, command_id in zip(ops, ids):
        assert nodes.Command(admin, command_id, op).terminal()["phase"] in ("done", "superseded")
    after = admin.wait_process("a", lambda p: p["epoch"] > before["epoch"] and p["state"] == WANTED[ops[-1]])
    assert after["run"] == before["run"] and after.get("pid") == before.get("pid"), (before, after)


def test_an_applied_change_reaches_the_process_although_the_daemon_was_killed(make_node, admin):
    """apply with another program, the daemon killed while the old run has its grace time: the next daemon runs the new
    program, and the sender hears `done`."""
    node = make_node()
    admin.apply({"name": "a", **STUBBORN, "stop": {"grace": "700ms"}, "restart": "never"})
    record = admin.wait_state("a", "running")
    command = admin.command("", "apply", {"name": "a", "command": SLEEPER, "restart": "never"})
    command.phase("accepted")
    node.kill()
    assert nodes.alive(record["pid"]), "the test is too slow for the grace time"
    node.start()
    assert command.terminal()["phase"] == "done"
    after = admin.wait_state("a", "running", run=2)
    assert nodes.read_proc(after["pid"], "cmdline").startswith(b"sleep")
