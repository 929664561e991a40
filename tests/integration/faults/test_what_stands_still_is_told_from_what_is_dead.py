"""F08, F16, F39, F43: processes that are stopped by SIGSTOP, starved of CPU time or of descriptors."""
import contextlib
import os
import signal
import subprocess
import time

import nodes
import pytest
from watching import plain, probe

LONG = os.environ.get("REEVE_LONG") == "1"
KEEP_ALIVE = {"keep_alive": "5s"}
BACK = 60  # s: the longest back-off, 36 s, and some
short_only = pytest.mark.skipif(LONG, reason="has no long form")
long_only = pytest.mark.skipif(not LONG, reason="label long")


def pids(admin, *names):
    return {name: (admin.wait_state(name, "running")["pid"], admin.wait_state(name, "running")["run"]) for name in names}


def bad(lines):
    return [line for line in lines if line["kind"] == "verdict" and line["state"] in ("lost", "unknown")]


@short_only
def test_a_daemon_that_stands_still_for_three_seconds_is_not_missed(make_node, admin, watch):
    """F08, with the preset heartbeat of 5 s."""
    node = make_node(workers=[probe(), plain()], heartbeat="5s")
    before = pids(admin, "mm-1", "plain")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark, epoch = watch.mark(), admin.status()["epoch"]
    node.signal(signal.SIGSTOP)
    said = watch.stays(3, mark)
    node.signal(signal.SIGCONT)
    admin.describe("plain")
    assert not bad(said + watch.stays(1, mark)), said
    assert admin.status()["epoch"] == epoch and pids(admin, *before) == before


@short_only
def test_a_daemon_that_stands_still_for_twenty_seconds_is_missed_and_goes_on(make_node, admin, watch):
    """F08. Its node is silent, then dead (the broker sends its will); the worker that speaks goes on unsupervised. One
    that is killed meanwhile has one new run afterwards, not two; the others have their processes."""
    node = make_node(workers=[probe(), plain(), plain("victim")], broker_options=KEEP_ALIVE)
    before = pids(admin, "mm-1", "plain")
    victim = admin.wait_state("victim", "running")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark, epoch = watch.mark(), admin.status()["epoch"]
    node.signal(signal.SIGSTOP)
    os.kill(victim["pid"], signal.SIGKILL)
    watch.wait_now("mm-1", lambda v: v["rule"] == 5 and v["unsupervised"])
    watch.wait_now("plain", lambda v: v["rule"] == 6)
    admin.wait(lambda: admin.record(f"node/{node.name}/lwt"), 20, "will of the node")
    watch.stays(max(0.0, 20 - (nodes.now_ms() - watch_started(watch, mark)) / 1000), mark)
    node.signal(signal.SIGCONT)
    admin.wait_status(lambda s: s["epoch"] > epoch, deadline=BACK)
    watch.wait_now("mm-1", lambda v: v["rule"] == 2, deadline=BACK)
    watch.wait_now("plain", lambda v: v["rule"] == 4, deadline=BACK)
    again = admin.wait_state("victim", "running", run=victim["run"] + 1)
    assert again["exit"]["signal"] == "SIGKILL" and again["run"] == victim["run"] + 1
    assert len(node.processes("victim")) == 1
    assert pids(admin, *before) == before


def watch_started(watch, mark):
    """Wall ms of the first line after `mark`, for what is left of a time."""
    first = watch.lines[mark]["at_ms"] if len(watch.lines) > mark else 0
    return nodes.now_ms() - max(0, int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000) - first)


@short_only
def test_a_broker_that_stands_still_for_four_seconds_is_not_noticed(make_node, broker, admin, watch):
    """F16: nobody reconnects, nothing is lost; with the preset heartbeats nobody even looks silent."""
    node = make_node(workers=[probe(heartbeat_ms=20000), plain()], heartbeat="5s")
    before = pids(admin, "mm-1", "plain")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark, epoch = watch.mark(), admin.status()["epoch"]
    broker.pause()
    said = watch.stays(4, mark)
    broker.resume()
    assert admin.do("mm-1", "echo", {"text": "there"})["result"] == {"text": "there"}
    assert not bad(said + watch.stays(0.5, mark)), said
    assert admin.status()["epoch"] == epoch and node.log().count("lost=") == 0
    assert pids(admin, *before) == before


@pytest.mark.parametrize("kind", ["mosquitto-3.1.1", "nats"] if LONG else ["mosquitto-5"], indirect=True)
def test_a_broker_that_stands_still_for_twenty_seconds_is_one_outage(make_node, broker, admin, watch, kind):
    """F16. Everybody notices by keep-alive; afterwards all sessions are new, and after the grace time nobody is dead who
    was not. Until the reader notices its own loss it sees everybody fall silent: no longer than its keep-alive."""
    node = make_node(workers=[probe(), plain()], broker_options=KEEP_ALIVE)
    before = pids(admin, "mm-1", "plain")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark, epoch = watch.mark(), admin.wait_status(lambda s: True)["epoch"]
    broker.pause()
    watch.wait_line("session", since=mark, ready=False, deadline=30)
    cut = watch.mark()
    node.wait_log("lost=", deadline=30)
    watch.stays(max(0.0, 20 - (watch.lines[cut - 1]["at_ms"] - watch.lines[mark]["at_ms"]) / 1000), cut)
    broker.resume()
    with nodes.Control(broker, node, "admin", kind.version) as after:
        after.wait_status(lambda s: s["epoch"] > epoch, deadline=BACK)
        watch.wait_clear(since=cut, deadline=BACK + 45)
        for name, rule in (("mm-1", 2), ("plain", 4)):
            watch.wait_now(name, lambda v, rule=rule: v["rule"] == rule, deadline=BACK)
            assert watch.states(name, cut) in ([], ["running"]), watch.verdicts(name, cut)
        assert pids(after, *before) == before
        assert after.do("mm-1", "echo", {"text": "there"})["result"] == {"text": "there"}


def cpu_s(pid):
    fields = nodes.read_proc(pid, "stat").rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@short_only
def test_a_daemon_without_descriptors_refuses_and_goes_on(make_node, admin, watch):
    """F39. What runs goes on and can be stopped; a start fails with the reason; nothing spins; with room again, all is
    as before."""
    node = make_node(workers=[probe(), plain(), {**plain("more"), "desired": "stopped"}])
    before = pids(admin, "mm-1", "plain")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    open_now = len(os.listdir(f"/proc/{node.pid}/fd"))
    subprocess.run(["prlimit", "--pid", str(node.pid), f"--nofile={open_now}:"], check=True)
    used, began = cpu_s(node.pid), time.monotonic()
    reply = admin.do("more", "start", phase="failed")
    assert "Too many open files" in reply["message"], reply
    said = watch.stays(3, watch.mark())
    assert not bad(said), said
    share = (cpu_s(node.pid) - used) / (time.monotonic() - began)
    assert share < 0.5, f"uses {share:.0%} of a core while it has no descriptors"
    assert nodes.alive(before["mm-1"][0])
    subprocess.run(["prlimit", "--pid", str(node.pid), "--nofile=4096:"], check=True)
    admin.do("more", "reset")
    admin.do("more", "start")
    assert pids(admin, *before) == before


@contextlib.contextmanager
def burners(count):
    """Processes that do nothing but use the CPU."""
    made = [subprocess.Popen(["sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for process in made:
            process.kill()
            process.wait()


@long_only
def test_a_starved_machine_makes_nobody_look_dead(make_node, admin, watch):
    """F43: four times as much to compute as there are cores, for half a minute, with heartbeats of two seconds."""
    make_node(workers=[probe("mm-1", heartbeat_ms=2000), probe("mm-2", heartbeat_ms=2000), plain()], heartbeat="2s")
    before = pids(admin, "mm-1", "mm-2", "plain")
    for name in ("mm-1", "mm-2"):
        watch.wait_now(name, lambda v: v["rule"] == 2)
    mark = watch.mark()
    with burners(4 * os.cpu_count()):
        said = watch.stays(30, mark)
        assert admin.do("mm-1", "echo", {"text": "there"})["result"] == {"text": "there"}
    assert not bad(said), said
    assert pids(admin, *before) == before
