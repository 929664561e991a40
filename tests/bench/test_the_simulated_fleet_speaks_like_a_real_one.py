"""reeve-bench-simulated on the wire: the records of nodes and workers, last wills of the broker's making, and answers to
commands, seen by a client that is not ours. What `reeve bench fleet` measures rests on this."""
import json
import mmap
import os
import pathlib
import struct
import subprocess
import sys

import msgpack
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "integration"))
import harness  # noqa: E402

WORKERS, NODES, SESSIONS, HEARTBEAT_MS = 40, 4, 6, 1000
HEAD, ENTRY = struct.Struct("@i4x7q"), struct.Struct("@i4xqq")
RUNNING, MUTE, STOPPED = 1, 2, 3
USER = "simulated"
RULES = "\nuser simulated\n" + "".join(f"topic {way} @ROOT@/{topic}\n" for way, topic in (
    ("read", "node/+/cmd/+"), ("read", "worker/+/+/cmd/+"), ("write", "node/+/status"), ("write", "node/+/lwt"),
    ("write", "node/+/metrics"), ("write", "worker/+/+/process"), ("write", "worker/+/+/status"),
    ("write", "worker/+/+/lwt"), ("write", "reply/+/+")))


class Fleet:
    def __init__(self, directory):
        self.broker = harness.Broker(directory / "broker", users=(USER,),
                                     acl=RULES.replace("@ROOT@", "reeve/v1/local")).start()
        self.truth_path = directory / "truth"
        self.truth_path.write_bytes(bytes(HEAD.size + WORKERS * ENTRY.size))
        self.file = open(self.truth_path, "rb")
        self.map = mmap.mmap(self.file.fileno(), 0, prot=mmap.PROT_READ)
        config = directory / "simulated.json"
        config.write_text(json.dumps({
            "port": self.broker.port, "username": USER, "password": self.broker.users[USER], "root": self.broker.root,
            "workers": WORKERS, "nodes": NODES, "sessions": SESSIONS, "heartbeat_ms": HEARTBEAT_MS,
            "truth": str(self.truth_path)}))
        self.admin = self.broker.client("admin", client_id="test-admin")
        self.admin.subscribe(*(self.broker.topic(t) for t in ("node/+/+", "worker/+/+/+", "reply/admin/+")))
        self.log = open(directory / "simulated.log", "wb")
        self.process = subprocess.Popen([str(harness.BIN / "reeve-bench-simulated"), str(config)], stdin=subprocess.PIPE,
                                        stdout=self.log, stderr=self.log)
        harness.wait_until(lambda: self.head()[0] == 1, what="all of the fleet is with the broker")

    def head(self):
        return HEAD.unpack_from(self.map, 0)

    def entry(self, worker):
        return ENTRY.unpack_from(self.map, HEAD.size + worker * ENTRY.size)

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def last(self, leaf):
        """{path: record} of the newest of each topic that ends in leaf."""
        with self.admin.changed:
            return {"/".join(m.topic.split("/")[3:-1]): msgpack.unpackb(m.payload) if m.payload else None
                    for m in self.admin.messages if m.topic.endswith(f"/{leaf}") and "/cmd/" not in m.topic}

    def wait(self, predicate, what):
        return self.admin.wait(predicate, what=what)

    def ask(self, path, op, args, key="t1"):
        payload = msgpack.packb({"id": key, "args": args, "reply_to": self.broker.topic(f"reply/admin/{key}")})
        self.admin.publish(self.broker.topic(f"{path}/cmd/{op}"), payload)

        def terminal():
            replies = [msgpack.unpackb(m.payload) for m in self.admin.of(self.broker.topic(f"reply/admin/{key}"))]
            return [r for r in replies if r["phase"] in ("done", "rejected", "failed")]
        return self.wait(terminal, f"a terminal reply to {op}")[0]

    def names(self):
        """Workers by number, from their records: sorted as the broker has them is by no means that."""
        return {path for path in self.last("process")}

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(harness.DEADLINE)
        self.log.close()
        text = pathlib.Path(self.log.name).read_text()
        self.map.close()
        self.file.close()
        self.broker.close()
        assert code == 0 and text == "", text


@pytest.fixture
def fleet(tmp_path):
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.close()


def test_every_node_and_worker_has_its_records(fleet):
    fleet.wait(lambda: len(fleet.last("status")) == NODES + WORKERS and len(fleet.last("process")) == WORKERS, "records")
    nodes = {p: r for p, r in fleet.last("status").items() if p.startswith("node/")}
    assert sorted(nodes) == [f"node/sim-{i:04}" for i in range(NODES)]
    assert {r["workers"]["total"] for r in nodes.values()} == {WORKERS // NODES}
    for path, process in fleet.last("process").items():
        status = fleet.last("status")[path]
        assert process["state"] == "running" and status["state"] == "online"
        assert process["run"] == status["run"] == 1
        assert process["type"] == status["type"] and path.split("/")[2].startswith(f"worker-{process['type']}-{process['exchange']}-")
    assert {e[0] for e in map(fleet.entry, range(WORKERS))} == {RUNNING}
    assert fleet.head()[6] == 0, "the broker refused something"


def test_heartbeats_go_on_and_carry_an_expiry(fleet):
    fleet.wait(lambda: len(fleet.last("status")) == NODES + WORKERS, "records")
    before = fleet.last("status")
    fleet.wait(lambda: all(r["at"] > before[p]["at"] for p, r in fleet.last("status").items() if p.startswith("worker/")),
               "another heartbeat of every worker")
    message = fleet.admin.wait_for(lambda m: m.topic.endswith("/status") and "/worker/" in m.topic and not m.retain)
    assert message.properties.MessageExpiryInterval == 3 * HEARTBEAT_MS // 1000


def test_a_cut_connection_fires_its_last_will_and_its_next_session_has_a_higher_epoch(fleet):
    fleet.wait(lambda: len(fleet.last("process")) == WORKERS, "records")
    fleet.tell("cut 3")
    will = fleet.admin.wait_for(lambda m: m.topic.endswith("/lwt"))
    path = "/".join(will.topic.split("/")[3:-1])
    assert msgpack.unpackb(will.payload)["epoch"] == fleet.last("status")[path]["epoch"]
    assert fleet.entry(3)[0] == MUTE and 0 < fleet.entry(3)[1] < (will.at + 3600) * 1e9
    fleet.tell("back 3")
    fleet.wait(lambda: fleet.last("status")[path]["epoch"] > msgpack.unpackb(will.payload)["epoch"], "the next session")
    assert fleet.entry(3)[0] == RUNNING
    assert len({m.topic for m in fleet.admin.messages if m.topic.endswith("/lwt")}) == 1, "one connection was cut"


def test_a_stop_of_some_ends_them_with_records_and_counts(fleet):
    fleet.wait(lambda: len(fleet.last("status")) == NODES + WORKERS, "records")
    names = sorted(p.split("/")[2] for p in fleet.names() if p.startswith("worker/sim-0001/"))
    reply = fleet.ask("node/sim-0001", "stop", {"workers": names[:4]})
    assert reply["phase"] == "done" and reply["by"] == "sim-0001"
    assert reply["result"]["done"] == 4 and set(reply["result"]["workers"]) == set(names[:4])
    assert {w["outcome"] for w in reply["result"]["workers"].values()} == {"done"}
    states = {p.split("/")[2]: r for p, r in fleet.last("process").items() if p.startswith("worker/sim-0001/")}
    for name in names:
        stopped = name in names[:4]
        assert states[name]["state"] == ("stopped" if stopped else "running")
        assert ("exit" in states[name]) == stopped
        assert fleet.last("status")[f"worker/sim-0001/{name}"]["state"] == ("offline" if stopped else "online")
    assert [e[0] for e in map(fleet.entry, range(WORKERS))].count(STOPPED) == 4
    assert not fleet.last("lwt"), "a goodbye is no death"

    assert fleet.ask("node/sim-0001", "start", {"workers": names[:4]}, key="t2")["result"]["done"] == 4
    fleet.wait(lambda: all(fleet.last("status")[f"worker/sim-0001/{n}"]["state"] == "online" for n in names), "all speak")
    assert {fleet.last("process")[f"worker/sim-0001/{n}"]["run"] for n in names[:4]} == {2}


def test_an_op_of_the_worker_is_done_once_and_an_unknown_one_is_refused(fleet):
    fleet.wait(lambda: len(fleet.last("status")) == NODES + WORKERS, "records")
    for number, path in enumerate(sorted(fleet.names())[::7]):
        reply = fleet.ask(path, "offline", {}, key=f"o{number}")
        assert reply["phase"] == "done"
        fleet.wait(lambda: fleet.last("status")[path]["availability"] == "offline", "the worker says so")
        assert len(fleet.admin.of(fleet.broker.topic(f"reply/admin/o{number}"))) == 2, "accepted and done, by one of them"
    assert fleet.ask("node/sim-0000", "apply", {}, key="u1")["phase"] == "rejected"


@pytest.mark.parametrize("line", ["cut 39", "jump 1", "cut x", "back 2"])
def test_what_it_can_not_do_ends_it(tmp_path, line):
    fleet = Fleet(tmp_path)
    try:
        fleet.tell(line)
        assert fleet.process.wait(harness.DEADLINE) == 1
    finally:
        fleet.process.kill()
        fleet.broker.close()
        os.close(fleet.process.stdin.fileno()) if not fleet.process.stdin.closed else None
