"""How a daemon leaves (shutdown, SIGTERM, drain), what it says to the site when it does, and how it starts over what it
finds: a damaged store, processes without a row, a broker that is not there."""
import os
import pathlib
import signal
import sqlite3
import time

import harness
import pytest

import nodes
from conftest import three_brokers
from nodes import SLEEPER, STUBBORN


def two_workers():
    return [{"name": name, "command": SLEEPER} for name in "ab"]


@three_brokers
@pytest.mark.parametrize("workers", ["stop", "keep"])
def test_shutdown_stops_or_keeps_the_workers_and_says_goodbye(make_node, admin, workers):
    """`shutdown` replies done, then: stop ends the workers first, keep leaves them; the status says offline, no last
    will follows, exit code 0. The next daemon starts those that are wanted, or adopts them."""
    node = make_node(workers=two_workers())
    before = {name: admin.wait_state(name, "running") for name in "ab"}
    admin.do("", "shutdown", {"workers": workers})
    assert node.wait() == 0
    status = admin.wait_status(lambda s: s["state"] == "offline")
    assert status["epoch"] == before["a"]["epoch"]
    assert admin.record(f"node/{node.name}/lwt") is None, "a goodbye needs no last will"
    for record in before.values():
        assert nodes.alive(record["pid"]) == (workers == "keep")
    if workers == "stop":
        for name in "ab":
            assert admin.wait_state(name, "stopped")["desired"] == "running", "the way out is nobody's wish"
    node.start()
    assert admin.wait_status(lambda s: s["state"] == "online")["epoch"] > status["epoch"]
    for name in "ab":
        after = admin.wait_process(name, lambda p, n=name: p["epoch"] > before[n]["epoch"] and p["state"] == "running")
        assert (after["pid"] == before[name]["pid"]) == (workers == "keep"), after


@pytest.mark.parametrize("on_exit, number", [("keep", signal.SIGTERM), ("stop", signal.SIGTERM), ("stop", signal.SIGINT)])
def test_a_signal_leaves_by_on_exit(make_node, admin, on_exit, number):
    """SIGTERM and SIGINT: `keep` leaves the workers for the next daemon, `stop` ends them first; desired stays running."""
    node = make_node(workers=two_workers(), on_exit=on_exit)
    before = {name: admin.wait_state(name, "running") for name in "ab"}
    node.signal(number)
    assert node.wait() == 0
    admin.wait_status(lambda s: s["state"] == "offline")
    for record in before.values():
        assert nodes.alive(record["pid"]) == (on_exit == "keep")
    node.start()
    for name in "ab":
        admin.wait_process(name, lambda p, n=name: p["epoch"] > before[n]["epoch"] and p["state"] == "running")


def test_a_second_signal_hastens_the_way_out(make_node, admin):
    """on_exit stop with a worker that ignores SIGTERM for an hour: the second SIGTERM leaves at once, the worker is kept
    with its stop under way; the next daemon finishes that."""
    node = make_node(workers=[{"name": "s", **STUBBORN, "stop": {"grace": "1h"}}], on_exit="stop")
    record = admin.wait_state("s", "running")
    node.signal(signal.SIGTERM)
    admin.wait_state("s", "stopping")
    harness.wait_until(lambda: not node.running or node.signal(signal.SIGTERM), what="the end by another signal")
    assert node.wait() == 0
    assert nodes.alive(record["pid"])
    node.start()
    admin.do("s", "kill")


def test_a_signal_that_comes_more_than_once_at_once_is_one(make_node, admin):
    """The death signal of a parent with threads is sent once for each: what is on the way out in order stays so."""
    node = make_node(workers=[{"name": "s", **STUBBORN, "stop": {"grace": "300ms"}}], on_exit="stop")
    record = admin.wait_state("s", "running")
    pending = pathlib.Path(f"/proc/{node.process.pid}/status")
    for _ in range(3):
        node.signal(signal.SIGTERM)
        # Taken by the daemon, so that the kernel does not make one of them.
        harness.wait_until(lambda: "ShdPnd:\t0000000000000000" in pending.read_text(), what="the signal taken", interval=0)
    assert node.wait() == 0
    assert not nodes.alive(record["pid"])


def test_the_broker_worker_is_stopped_after_the_goodbye(make_node, admin, broker):
    """The worker named by node.broker_worker ends last: when it ends, the goodbye has been sent."""
    node = make_node(on_exit="stop", broker_worker="mosquitto", workers=[
        {"name": "mosquitto", **STUBBORN, "stop": {"grace": "300ms"}}, {"name": "a", "command": SLEEPER}])
    records = {name: admin.wait_state(name, "running") for name in ("mosquitto", "a")}
    node.signal(signal.SIGTERM)
    admin.wait_status(lambda s: s["state"] == "offline")
    assert nodes.alive(records["mosquitto"]["pid"]) and not nodes.alive(records["a"]["pid"])
    assert node.wait() == 0
    assert not nodes.alive(records["mosquitto"]["pid"])


def test_the_manager_worker_is_stopped_after_the_others_and_before_the_goodbye(make_node, admin):
    """The worker named by node.manager_worker sees all others go: while one of them still ends, it runs."""
    node = make_node(on_exit="stop", manager_worker="manager", workers=[
        {"name": "manager", "command": SLEEPER}, {"name": "a", **STUBBORN, "stop": {"grace": "500ms"}}])
    records = {name: admin.wait_state(name, "running") for name in ("manager", "a")}
    node.signal(signal.SIGTERM)
    admin.wait_state("a", "stopping")
    assert nodes.alive(records["manager"]["pid"]) and admin.process("manager")["state"] == "running"
    assert node.wait() == 0
    assert not nodes.alive(records["manager"]["pid"])
    assert admin.process("manager")["state"] == "stopped"  # said before the goodbye


@three_brokers
def test_a_killed_daemon_is_told_by_its_last_will(make_node, admin):
    """No goodbye: the broker publishes lwt with the epoch of the session; the next session has a higher one."""
    node = make_node()
    epoch = admin.wait_status(lambda s: True)["epoch"]
    node.kill()
    admin.wait(lambda: (admin.record(f"node/{node.name}/lwt") or {}).get("epoch") == epoch, what="last will")
    node.start()
    assert admin.wait_status(lambda s: s["epoch"] > epoch)["state"] == "online"


@three_brokers
def test_draining_takes_nothing_new_and_is_remembered(make_node, admin):
    """drain: apply, start and restart are refused with `undrain` named; what runs goes on; stop works; the status says
    draining, also after kill -9; undrain ends it. drain with stop: true ends the workers."""
    node = make_node(workers=two_workers())
    records = {name: admin.wait_state(name, "running") for name in "ab"}
    admin.do("", "drain")
    epoch = admin.wait_status(lambda s: s["state"] == "draining")["epoch"]
    for worker, op, args in (("", "apply", {"name": "c", "command": SLEEPER}), ("a", "start", None), ("a", "restart", None)):
        admin.refused(worker, op, args, "conflict", "undrain")
    assert all(nodes.alive(record["pid"]) for record in records.values())
    admin.do("a", "stop")
    node.kill()
    node.start()
    admin.wait_status(lambda s: s["epoch"] > epoch and s["state"] == "draining")
    admin.refused("a", "start", None, "conflict", "undrain")
    admin.do("", "undrain")
    admin.wait_status(lambda s: s["state"] == "online")
    admin.do("a", "start")
    admin.do("", "drain", {"stop": True})
    for name in "ab":
        admin.wait_state(name, "stopped")
    admin.do("", "undrain")


def test_a_draining_node_restarts_what_fails_by_itself(make_node, admin):
    """Draining is about what is new: a worker that crashes is still started again by its policy."""
    make_node(workers=[{"name": "a", "command": SLEEPER, "restart": {"initial": "1ms"}}])
    admin.wait_state("a", "running")
    admin.do("", "drain")
    os.kill(admin.process("a")["pid"], signal.SIGKILL)
    admin.wait_state("a", "running", run=2)
    admin.do("", "undrain")


def test_workers_start_with_no_broker_in_sight(make_node, admin, broker):
    """The node keeps its workers without a broker: started, restarted after a crash; what happened is told when it is
    back, with the events that fell into the outage."""
    port = broker.port
    broker.close_clients()
    broker.stop()
    node = make_node(workers=[{"name": "a", "command": SLEEPER, "restart": {"initial": "1ms"}}], start=False)
    node.start(ready=False)
    first = harness.wait_until(lambda: node.processes("a"), what="it starts")[0]
    os.kill(first, signal.SIGKILL)
    second = harness.wait_until(lambda: [p for p in node.processes("a") if p != first], what="it is started again")[0]
    broker.start()
    assert broker.port == port
    control = nodes.Control(broker, node, "admin")
    node.wait_log("ready=true", 40)
    record = control.wait_state("a", "running", run=2)
    assert record["pid"] == second and record["exit"]["signal"] == "SIGKILL"
    control.wait_event("worker_state", worker="a", to="restarting")


@three_brokers
def test_a_broker_that_is_killed_and_comes_back_disturbs_nobody(make_node, admin, broker, kind):
    """Kill -9 of the broker and a restart: pids stay, everything retained is published again with
    a higher epoch, commands work again without anybody's help."""
    node = make_node(workers=two_workers())
    before = {name: admin.wait_state(name, "running") for name in "ab"}
    admin.close()
    broker.close_clients()
    broker.kill()
    broker.start()
    control = nodes.Control(broker, node, "admin", kind.version)
    for name in "ab":
        after = control.wait_process(name, lambda p, n=name: p and p["epoch"] > before[n]["epoch"], 40)
        assert after["pid"] == before[name]["pid"]
    node.wait_log("ready=true", 40, count=2)
    control.do("a", "restart")
    assert control.status()["state"] == "online"


# ---- what it finds --------------------------------------------------------------------------------------------------------

DAMAGE = {
    "garbage": lambda path: path.write_bytes(b"this is no database" * 500),
    "header": lambda path: path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:]),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "zero page": lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\0" * 4096 + path.read_bytes()[8192:]),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_store_is_set_aside_and_supervision_goes_on(make_node, admin, damage):
    """F18's like for the daemon. The damaged file is kept as reeved.db.damaged-*, an event tells, workers of the
    configuration that are alive are adopted with their pids, commands work, and the epoch still grows."""
    node = make_node(workers=two_workers())
    before = {name: admin.wait_state(name, "running") for name in "ab"}
    node.stop()
    for leftover in ("reeved.db-wal", "reeved.db-shm"):
        (node.state / leftover).unlink(missing_ok=True)
    DAMAGE[damage](node.state / "reeved.db")
    node.start()
    admin.wait_event("store_damaged")
    assert list(node.state.glob("reeved.db.damaged-*"))
    for name in "ab":
        after = admin.wait_process(name, lambda p, n=name: p["epoch"] > before[n]["epoch"] and p["state"] == "running")
        assert after["pid"] == before[name]["pid"], after
        assert node.processes(name) == [after["pid"]]
    admin.do("a", "restart")
    admin.apply({"name": "c", "command": SLEEPER})


def test_a_store_of_a_newer_version_is_not_touched(make_node, admin):
    """The daemon refuses to start, says which version it is, exit 1; the file is as it was; workers live on."""
    node = make_node(workers=two_workers())
    pid = admin.wait_state("a", "running")["pid"]
    node.stop()
    path = node.state / "reeved.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    node.start(ready=False)
    assert node.wait() == 1
    assert "version 99" in node.log() and nodes.alive(pid)
    assert not list(node.state.glob("*.damaged-*"))
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=1")
    database.close()
    node.start()
    assert admin.wait_state("a", "running")["pid"] == pid


def test_a_process_without_a_row_is_ended(make_node, admin):
    """A worker whose removal was on disk when the daemon died, its process still there: ended and cleared away."""
    node = make_node()
    admin.apply({"name": "o", "command": SLEEPER})
    pid = admin.wait_state("o", "running")["pid"]
    node.kill()
    with sqlite3.connect(node.state / "reeved.db") as database:
        database.execute("DELETE FROM worker WHERE name='o'")
    database.close()
    node.start()
    admin.wait_gone("o")
    assert not nodes.alive(pid) and not (node.state / "runs" / "o").exists()


def test_a_daemon_that_sleeps_for_a_while_goes_on_as_if_nothing_was(make_node, admin):
    """F08. SIGSTOP, a worker dies meanwhile, SIGCONT: the end is told, the worker is started again, one process each."""
    node = make_node(workers=[{"name": "a", "command": SLEEPER, "restart": {"initial": "1ms"}}])
    record = admin.wait_state("a", "running")
    node.signal(signal.SIGSTOP)
    os.kill(record["pid"], signal.SIGKILL)
    command = admin.command("a", "restart")
    harness.wait_until(lambda: not nodes.alive(record["pid"]), what="it dies")
    node.signal(signal.SIGCONT)
    assert command.terminal()["phase"] == "done"
    after = admin.wait_state("a", "running", run=2)
    assert node.processes("a") == [after["pid"]]


def test_the_status_is_renewed_and_carries_its_ttl(make_node, admin):
    """[session-6] heartbeat 300ms: statuses keep coming with ttl of three heartbeats; on MQTT 5 as message expiry."""
    node = make_node(heartbeat="300ms")
    topic = f"node/{node.name}/status"
    began = time.monotonic()
    admin.wait(lambda: len(admin.history.get(topic, [])) >= 5)
    assert time.monotonic() - began < 10
    assert admin.status()["ttl_ms"] == 900
    message = admin.client.of(admin.broker.topic(topic))[-1]
    assert 1 <= message.properties.MessageExpiryInterval <= 3
