"""Verdicts of the manager at a real broker: at once after a last will, once per change, the same over restarts of manager
and broker; and who is gone for good leaves nothing behind.

Workers started by hand are foreign MQTT clients, so that the wire is checked by code that is not ours.
"""
import itertools
import os
import signal
import time

import harness
import managers
import msgpack
import nodes
import pytest

SLEEPER = {"command": nodes.SLEEPER, "stop": {"grace": "1s"}}


class Hand:
    """A worker that somebody started by hand: a session with a will, a status, heartbeats when it is told to."""

    def __init__(self, broker, node, name, version=5, heartbeat_ms=2000, epoch=1):
        self.broker, self.node, self.name, self.epoch, self.heartbeat_ms = broker, node, name, epoch, heartbeat_ms
        self.client = harness.connect(broker.port, "worker", broker.users["worker"], f"{name}-{epoch}", version,
                                      will=(self.topic("lwt"), msgpack.packb({"epoch": epoch})))
        self.beat()

    def topic(self, leaf):
        return self.broker.topic(f"worker/{self.node}/{self.name}/{leaf}")

    def beat(self, availability="idle", **more):
        record = {"epoch": self.epoch, "state": "online", "availability": availability, "type": "tool", "jobs": 0,
                  "heartbeat_ms": self.heartbeat_ms, "at": int(time.time() * 1000), **more}
        self.client.publish(self.topic("status"), msgpack.packb(record), retain=True)


def verdicts(steer, node, worker):
    return [(v or {}).get("state") for v in steer.history.get(f"fleet/{node}/{worker}", [])]


@pytest.mark.parametrize("version", [5, 4])
def test_a_last_will_is_a_verdict_and_a_goodbye_is_none(broker, names, manager, steer, version):
    hand = Hand(broker, names[0], "hand", version)
    steer.wait_verdict(names[0], "hand", lambda v: v and v["state"] == "running" and v["availability"] == "idle")
    hand.beat()
    hand.beat("processing", jobs=3)
    steer.wait_verdict(names[0], "hand", lambda v: v["availability"] == "processing" and v["jobs"] == 3)
    hand.client.cut()
    steer.wait_verdict(names[0], "hand", lambda v: v["state"] == "lost")
    back = Hand(broker, names[0], "hand", version, epoch=2)
    steer.wait_verdict(names[0], "hand", lambda v: v["state"] == "running")
    back.beat(state="offline")
    back.client.close()
    steer.wait_verdict(names[0], "hand", lambda v: v["state"] == "stopped")
    seen = [state for state, _ in itertools.groupby(verdicts(steer, names[0], "hand"))]  # health changes a record too
    assert seen == ["running", "lost", "running", "stopped"]


def test_a_restart_of_the_manager_publishes_nothing_new(broker, names, make_node, manager, steer):
    node = make_node(names[0], workers=[{"name": f"w{i}", **SLEEPER} for i in range(3)])
    hand = Hand(broker, names[0], "hand", heartbeat_ms=60000)
    dead = Hand(broker, names[0], "dead", heartbeat_ms=60000)
    for i in range(3):
        steer.wait_verdict(names[0], f"w{i}", lambda v: v and v["state"] == "running" and v.get("health") == "healthy", deadline=30)
    dead.client.cut()
    steer.wait_verdict(names[0], "dead", lambda v: v and v["state"] == "lost")
    steer.wait_verdict(names[0], "hand", lambda v: v and v.get("health"), deadline=30)
    since = steer.verdict(names[0], "dead")["since"]
    before = {key: len(value) for key, value in steer.history.items() if key.startswith("fleet/")}
    manager.kill()
    manager.start()
    described = steer.manager("describe")["result"]
    assert described["known"] and described["held"], "in its first seconds it concludes nothing from wills"
    assert steer.manager("show", {"worker": f"{names[0]}/dead"})["result"]["verdict"]["state"] == "lost"
    steer.wait(lambda: not steer.manager("describe")["result"]["held"], deadline=20, what="verdicts no longer held")
    listed = steer.manager("list")["result"]["workers"]
    assert {w["worker"]: w["state"] for w in listed} == {"w0": "running", "w1": "running", "w2": "running", "hand": "running",
                                                          "dead": "lost"}
    assert steer.verdict(names[0], "dead")["since"] == since
    after = {key: len(value) for key, value in steer.history.items() if key.startswith("fleet/")}
    assert {key: verdicts(steer, *key.split("/")[1:])[before[key]:] for key in after if after[key] != before[key]} == {}
    assert node.running and hand.client.lost is None


def test_a_restart_of_the_broker_is_no_red_fleet(broker, names, make_node, manager, steer):
    make_node(names[0], workers=[{"name": f"w{i}", **SLEEPER} for i in range(3)])
    for i in range(3):
        steer.wait_verdict(names[0], f"w{i}", lambda v: v and v["state"] == "running")
    broker.kill()
    broker.start()
    watcher = managers.Steer(broker)
    try:
        watcher.wait(lambda: manager.log().count("ready=true") >= 2, deadline=60, what="the manager is back")
        watcher.wait(lambda: not watcher.manager("describe")["result"]["held"], deadline=60, what="verdicts no longer held")
        for i in range(3):
            watcher.wait_verdict(names[0], f"w{i}", lambda v: v and v["state"] == "running", deadline=30)
            assert set(verdicts(watcher, names[0], f"w{i}")) == {"running"}
    finally:
        watcher.close()


@pytest.mark.parametrize("version", [5, 4])
def test_who_is_gone_for_good_leaves_nothing_behind(broker, names, make_manager, make_node, steer, version):
    manager = make_manager(version=version, forget_after="4s")
    node = make_node(names[0], workers=[{"name": "kept", **SLEEPER}])
    gone = make_node(names[1], workers=[{"name": "w", **SLEEPER}])
    Hand(broker, names[0], "hand", version).client.cut()
    steer.wait_verdict(names[0], "hand", lambda v: v and v["state"] == "lost")
    steer.wait_verdict(names[1], "w", lambda v: v and v["state"] == "running")
    steer.do(f"worker/{names[0]}/kept", "stop")  # a live node has it: it stays
    doomed = [*gone.shims(), *gone.processes()]
    gone.kill()
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    steer.wait_verdict(names[1], "w", lambda v: v and v["state"] == "unknown" and v["last_known"] == "running")
    for below in (f"worker/{names[0]}/hand/status", f"worker/{names[0]}/hand/lwt", f"fleet/{names[0]}/hand",
                  f"worker/{names[1]}/w/process", f"fleet/{names[1]}/w", f"node/{names[1]}/status", f"node/{names[1]}/lwt"):
        steer.wait(lambda below=below: steer.records.get(below, "never") is None, deadline=40, what=f"{below} cleared")
    # Their records first, so that no ghost returns.
    late = managers.Steer(broker)
    try:
        late.wait_record(f"worker/{names[0]}/kept/process", lambda r: r is not None)
        assert [key for key, value in late.records.items() if value and ("/hand" in key or f"/{names[1]}" in key)
                and key.split("/")[0] in ("worker", "fleet", "node")] == []
        assert late.manager("show", {"worker": "hand"}, phase="rejected")["code"] == "not_found"
        assert late.manager("stats")["result"]["total"] == 1
    finally:
        late.close()
    assert manager.running and node.running
    gone.start()
    steer.wait_verdict(names[1], "w", lambda v: v and v["state"] == "running", deadline=30)


def test_questions_are_answered_and_wrong_ones_named(broker, names, make_node, manager, steer):
    make_node(names[0], workers=[{"name": "w0", **SLEEPER}])
    hand = Hand(broker, names[0], "hand", heartbeat_ms=60000)
    steer.wait_verdict(names[0], "w0", lambda v: v and v["state"] == "running")
    steer.wait_verdict(names[0], "hand", lambda v: v and v["state"] == "running")
    found = steer.manager("find", {"type": "tool"})["result"]["workers"]
    assert [w["worker"] for w in found] == ["hand"]
    hand.beat("processing", jobs=1)
    steer.wait_verdict(names[0], "hand", lambda v: v["availability"] == "processing")
    reply = steer.manager("find", {"type": "tool"}, phase="rejected")
    assert reply["code"] == "not_found" and "0 are idle" in reply["message"]
    sentences = steer.manager("why", {"worker": "hand"})["result"]["why"]
    assert sentences[0].startswith(f"{names[0]}/hand is running and processing")
    assert "did you mean 'hand'" in steer.manager("show", {"worker": "hamd"}, phase="rejected")["message"]
    assert "state" in steer.manager("list", {"state": "runing"}, phase="rejected")["message"]
    stats = steer.manager("stats")["result"]
    assert (stats["total"], stats["alive"], stats["processing"]) == (2, 2, 1)
    refused = steer.manager("forget", {"worker": "hand"}, phase="rejected")
    assert refused["code"] == "conflict" and "is alive" in refused["message"]
    hand.client.cut()
    steer.wait_verdict(names[0], "hand", lambda v: v["state"] == "lost")
    steer.wait(lambda: not steer.manager("describe")["result"]["held"], deadline=20, what="verdicts no longer held")
    steer.manager("forget", {"worker": "hand"})
    steer.wait(lambda: steer.records[f"fleet/{names[0]}/hand"] is None, what="forgotten")
    assert steer.records[f"worker/{names[0]}/hand/status"] is None
