"""A killed worker, and the rows of the fold as a reader of a real site sees them."""
import os
import signal
import subprocess

import harness
import msgpack
from watching import HEARTBEAT_MS, plain, probe, three_brokers

STALE_S = 2.5 * HEARTBEAT_MS / 1000


def epochs(admin, worker):
    return [status["epoch"] for status in admin.history.get(f"worker/{admin.node_name}/{worker}/status", []) if status]


def wait_epoch_above(admin, worker, epoch, what):
    topic = f"worker/{admin.node_name}/{worker}/status"
    return admin.client.wait(lambda: next((s for s in admin.history.get(topic, []) if s and s["epoch"] > epoch), None),
                             what=what)


def forge_will(broker, admin, epoch):
    """As somebody with the worker's password could."""
    forger = broker.client("worker", version=admin.version)
    forger.publish(broker.topic(f"worker/{broker.node}/mm-1/lwt"), msgpack.packb({"epoch": epoch}), retain=True)


@three_brokers
def test_a_killed_worker_is_restarted_and_says_so_with_a_higher_epoch(make_node, admin, watch):
    """Its will reaches a subscriber, its process record names the signal, the policy starts it again, and its new
    status has a higher epoch. The verdict ends at `running` and says in between why it was not."""
    make_node(workers=[probe(restart={"initial": "500ms", "jitter": 0})])
    first = admin.wait_state("mm-1", "running")
    before = wait_epoch_above(admin, "mm-1", 0, "first status")
    watch.wait_verdict("mm-1", lambda v: v["rule"] == 2 and v["availability"] == "idle")
    mark = watch.mark()
    os.kill(first["pid"], signal.SIGKILL)

    lwt = admin.client.wait(lambda: admin.record(f"worker/{admin.node_name}/mm-1/lwt"), what="lwt")
    assert lwt == {"epoch": before["epoch"]}
    ended = admin.wait_process("mm-1", lambda p: p and p.get("exit", {}).get("run") == first["run"])
    assert ended["exit"]["signal"] == "SIGKILL" and "SIGKILL" in ended["why"], ended
    again = admin.wait_state("mm-1", "running", run=first["run"] + 1)
    assert again["pid"] != first["pid"] and again["restarts"] == first["restarts"] + 1
    after = wait_epoch_above(admin, "mm-1", before["epoch"], "status of the new run")
    assert after["run"] == again["run"] and after["pid"] == again["pid"]

    restarting = watch.wait_state("mm-1", "restarting", since=mark)
    assert "SIGKILL" in restarting["why"]
    watch.wait_now("mm-1", lambda v: v["rule"] == 2 and v["availability"] == "idle")
    seen = watch.states("mm-1", mark)
    assert "lost" not in seen[seen.index("restarting"):], seen


@three_brokers
def test_a_stale_will_changes_no_verdict(make_node, admin, broker, watch):
    """[fold-9]. A will of an earlier session that arrives after the status of the new one is ignored: by readers, and
    by the worker, whose session goes on."""
    make_node(workers=[probe()])
    old = wait_epoch_above(admin, "mm-1", 0, "first status")["epoch"]
    os.kill(admin.wait_state("mm-1", "running")["pid"], signal.SIGKILL)
    new = wait_epoch_above(admin, "mm-1", old, "status of the new run")["epoch"]
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark = watch.mark()
    for epoch in (old, new - 1):
        forge_will(broker, admin, epoch)
    admin.do("mm-1", "pause")  # seen by the reader after the wills: topics of one client keep their order
    watch.wait_now("mm-1", lambda v: v["availability"] == "paused")
    assert watch.states("mm-1", mark) == ["running"], watch.verdicts("mm-1", mark)
    assert epochs(admin, "mm-1")[-1] == new


def test_a_will_with_the_epoch_of_the_living_is_outdone_by_a_new_session(make_node, admin, broker, watch):
    """[session-3]. Such a will makes the worker dead for every reader, so it opens a session with a higher epoch."""
    make_node(workers=[probe()])
    epoch = wait_epoch_above(admin, "mm-1", 0, "first status")["epoch"]
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark = watch.mark()
    forge_will(broker, admin, epoch + 5)
    wait_epoch_above(admin, "mm-1", epoch + 5, "status above the forged will")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    assert watch.states("mm-1", mark)[-1] == "running"


def test_wills_forged_for_a_living_node_are_outdone_too(make_node, admin, broker, watch):
    """[session-3]. Two within a second: the second one, which comes while a new session is being opened, is not
    forgotten. What is no epoch at all changes nothing: the node does not take it for another daemon's."""
    node = make_node(workers=[plain()])
    epoch = admin.wait_status(lambda s: True)["epoch"]
    watch.wait_now("plain", lambda v: v["rule"] == 4)
    forger = broker.client(node.name, version=admin.version)
    for leaf in ("status", "lwt"):
        for value in (-1, "tomorrow", (1 << 64) - 1, None):
            forger.publish(broker.topic(f"node/{node.name}/{leaf}"), msgpack.packb({"epoch": value}))
    for number in (5, 10, 15):
        forger.publish(broker.topic(f"node/{node.name}/lwt"), msgpack.packb({"epoch": epoch + number}), retain=True)
    admin.wait_status(lambda s: s.get("state") == "online" and s["epoch"] > epoch + 15)
    watch.wait_now("plain", lambda v: v["rule"] == 4)
    assert node.running


def test_a_worker_that_falls_silent_is_lost_and_comes_back(make_node, admin, watch):
    """[fold-3]. Its session is open and its process runs, but its status is not renewed for 2.5 heartbeats."""
    make_node(workers=[probe()])
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    admin.do("mm-1", "hang")
    lost = watch.wait_state("mm-1", "lost")
    assert lost["rule"] == 3 and "not renewed" in lost["why"], lost
    admin.do("mm-1", "hang", {"on": False})
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)


@three_brokers
def test_a_stopped_worker_says_goodbye_and_is_never_lost(make_node, admin, watch):
    """[session-4]. A goodbye, then the end of the process, then a start: at no time a death."""
    make_node(workers=[probe()])
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark = watch.mark()
    admin.do("mm-1", "stop")
    watch.wait_now("mm-1", lambda v: v["state"] == "stopped")
    admin.do("mm-1", "start")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    assert not {"lost", "unknown"} & set(watch.states("mm-1", mark)), watch.verdicts("mm-1", mark)
    assert admin.record(f"worker/{admin.node_name}/mm-1/lwt") is None, "a goodbye has no will"


@three_brokers
def test_a_dead_node_makes_its_workers_unknown_or_unsupervised(make_node, admin, watch):
    """[fold-5] [fold-6]. Kill -9 of the daemon: a worker that speaks runs on unsupervised, of the other nobody knows.
    The next daemon takes both over, with the same processes."""
    node = make_node(workers=[probe(), plain()])
    pids = {name: admin.wait_state(name, "running")["pid"] for name in ("mm-1", "plain")}
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    watch.wait_now("plain", lambda v: v["rule"] == 4)
    node.kill()
    watch.wait_now("mm-1", lambda v: v["rule"] == 5 and v["unsupervised"])
    unknown = watch.wait_now("plain", lambda v: v["rule"] == 6)
    assert unknown["state"] == "unknown" and unknown["last_known"] == "running" and unknown["source"] == "inferred"
    assert watch.wait_line("node", liveness="dead")
    node.start()
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    watch.wait_now("plain", lambda v: v["rule"] == 4)
    assert {name: admin.wait_state(name, "running")["pid"] for name in pids} == pids


def test_a_worker_started_by_hand_shows_and_is_lost_when_killed(broker, tmp_path, watch, kind):
    """[fold-7] [fold-8]. Without a daemon: running, lost after kill -9, running again, stopped after SIGTERM."""
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(broker.users["worker"])

    def start():
        with open(tmp_path / "by-hand.log", "ab") as log:
            return subprocess.Popen([harness.BIN / "reeve-worker-probe", "--broker", f"mqtt://127.0.0.1:{broker.port}",
                                     "--user", "worker", "--password-file", password, "--root", broker.root, "--node",
                                     broker.node, "--name", "by-hand", "--heartbeat", f"{HEARTBEAT_MS}ms"],
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    process = start()
    try:
        assert watch.wait_state("by-hand", "running")["rule"] == 7
        process.kill()
        process.wait()
        assert watch.wait_state("by-hand", "lost")["rule"] == 8
        mark = watch.mark()
        process = start()
        watch.wait_state("by-hand", "running", since=mark)
        process.terminate()
        assert process.wait(harness.DEADLINE) == 0
        assert watch.wait_state("by-hand", "stopped", since=mark)["rule"] == 7
    finally:
        process.kill()
        process.wait()
