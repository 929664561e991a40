"""F18, F19, F51, F52, F54, F56: a broker with a full disk and a damaged store, with poison on status topics, with more
records than one queue holds, and one that many come back to at once."""
import os
import signal
import subprocess

import harness
import msgpack
import nodes
import pytest
from watching import plain, probe

LONG = os.environ.get("REEVE_LONG") == "1"
BACK = 60  # s: the longest back-off, 36 s, and some
short_only = pytest.mark.skipif(LONG, reason="has no long form")
long_only = pytest.mark.skipif(not LONG, reason="label long")


# ---- a full disk ---------------------------------------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    """A file system of 512 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "none", path], check=False)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(path):
    with open(path / "filler", "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def child_of(pid, name):
    for child in nodes.read_proc(pid, f"task/{pid}/children").split():
        if nodes.read_proc(int(child), "comm").strip() == name:
            return int(child)
    return None


@short_only
def test_a_broker_with_a_full_disk_and_a_damaged_store_comes_back(small_disk, tmp_path, node_name, make_watch, kind):
    """The broker is a worker of the node that speaks through it. Its disk is full, saving leaves a cut store behind, and
    it is killed: reeve-worker-broker sets the store aside, everybody publishes again, and presence is as it was, while
    the disk is still full."""
    broker = kind.make(small_disk / "broker", node_name)
    broker.port = harness.free_port()
    broker.write_files()
    keeper = {"name": "broker", "command": [str(harness.BIN / "reeve-worker-broker"), "--config", str(broker.config)],
              "ready": {"mode": "notify"}, "restart": {"initial": "200ms"}}
    node = nodes.Node(broker, tmp_path / "node", workers=[keeper, probe(), plain()], version=kind.version,
                      broker_worker="broker")
    try:
        node.start()
        watch = make_watch(broker=broker)
        with nodes.Control(broker, node, "admin", kind.version) as admin:
            before = {name: admin.wait_state(name, "running") for name in ("broker", "mm-1", "plain")}
        watch.wait_now("mm-1", lambda v: v["rule"] == 2)
        fill(small_disk)
        # A save that did not fit leaves this behind; to wait for one would be to wait for Mosquitto's interval.
        store = broker.store
        if not store.exists() or store.stat().st_size < 64:
            (small_disk / "filler").unlink()
            store.write_bytes(b"\0" * 100)
            fill(small_disk)
        os.truncate(store, store.stat().st_size // 2)
        mark = watch.mark()
        os.kill(child_of(before["broker"]["pid"], b"mosquitto"), signal.SIGKILL)
        watch.wait_line("session", since=mark, ready=False)
        watch.wait_ready(since=mark, deadline=BACK)
        watch.wait_clear(since=mark, deadline=BACK)
        for name, rule in (("mm-1", 2), ("plain", 4), ("broker", 4)):
            watch.wait_now(name, lambda v, rule=rule: v["rule"] == rule, deadline=BACK)
        with nodes.Control(broker, node, "admin", kind.version) as admin:
            for name in ("mm-1", "plain"):
                after = admin.wait_state(name, "running")
                assert (after["pid"], after["run"]) == (before[name]["pid"], before[name]["run"])
            assert admin.wait_state("broker", "running")["run"] == before["broker"]["run"] + 1
            assert admin.do("mm-1", "echo", {"text": "there"})["result"] == {"text": "there"}
        assert list(broker.directory.glob("mosquitto.db.damaged-*")), "the damaged store was not set aside"
    finally:
        node.left_behind_ok = True  # its broker goes with it: nobody is left to be asked
        broker.close_clients()
        if node.running:
            node.stop()
        node.close()


# ---- poison ------------------------------------------------------------------------------------------------------------------

POISON = {
    "text": b"hello",
    "json": b'{"epoch": 99999999999999, "state": "offline"}',
    "no-map": msgpack.packb([1, 2, 3]),
    "cut": msgpack.packb({"epoch": 1, "state": "online"})[:-3],
    "epoch-text": msgpack.packb({"epoch": "tomorrow"}),
    "epoch-negative": msgpack.packb({"epoch": -1}),
    "epoch-huge": msgpack.packb({"epoch": (1 << 64) - 1}),
    "deep": b"\x91" * 500 + b"\xc0",
    "count-lies": b"\xdf\xff\xff\xff\xff",
    "large": msgpack.packb({"epoch": 1, "x": "y" * 9000}),
}


@short_only
@pytest.mark.parametrize("kind", ["mosquitto-5", "nats"], indirect=True)
def test_retained_poison_on_status_topics_misleads_nobody(make_node, broker, admin, make_watch, kind):
    """F51: garbage on the topics of a living worker and its node. Readers keep what they knew, count it and stay up, new
    readers too; the worker and the node go on; the next heartbeats overwrite it."""
    node = make_node(workers=[probe()])
    watch = make_watch()
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    pid, epoch = admin.wait_state("mm-1", "running")["pid"], admin.wait_status(lambda s: True)["epoch"]
    mark = watch.mark()
    worker, daemon = (broker.client(role, version=admin.version) for role in ("worker", node.name))
    for payload in POISON.values():
        for below, client in ((f"worker/{node.name}/mm-1/status", worker), (f"worker/{node.name}/mm-1/lwt", worker),
                              (f"node/{node.name}/status", daemon), (f"node/{node.name}/lwt", daemon)):
            client.publish(broker.topic(below), payload, retain=True)
    watch.wait(lambda lines: sum(line["kind"] == "malformed" for line in lines[mark:]) >= 4 * len(POISON) - 8,
               what="malformed records")
    late = make_watch()
    late.wait_now("mm-1", lambda v: v["rule"] == 2)
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    seen = [line for line in watch.verdicts("mm-1", mark) if line["state"] != "running"]
    assert not seen, seen
    assert admin.do("mm-1", "echo", {"text": "there"})["result"] == {"text": "there"}
    assert admin.wait_state("mm-1", "running")["pid"] == pid and node.running
    assert admin.wait_status(lambda s: s.get("state") == "online")["epoch"] >= epoch


@short_only
def test_what_a_newer_build_says_is_no_poison(make_node, broker, admin, watch):
    """F56: keys that this build does not know, in records and in commands, are skipped."""
    node = make_node(workers=[plain()])
    admin.wait_state("plain", "running")
    worker = broker.client("worker", version=admin.version)
    worker.publish(broker.topic(f"worker/{node.name}/newer/status"), msgpack.packb(
        {"epoch": 5, "state": "online", "availability": "idle", "colour": "blue", "shape": {"sides": [3, 4]}}), retain=True)
    watch.wait_now("newer", lambda v: v["rule"] == 7)
    reply = admin.do("plain", "stop", colour="blue", trace={"span": [1, 2]})
    assert reply["phase"] == "done"


# ---- many ----------------------------------------------------------------------------------------------------------------------

@short_only
@pytest.mark.parametrize("kind", ["mosquitto-5", "mosquitto-3.1.1", "nats"], indirect=True)
def test_a_reader_of_many_records_sees_all_of_them(broker, make_watch, kind):
    """F52: 1,500 workers are more than Mosquitto's presets would deliver to a wildcard subscription."""
    worker = broker.client("worker", version=kind.version)
    names = [f"w-{number}" for number in range(1500)]
    record = msgpack.packb({"epoch": 5, "state": "online", "availability": "idle", "at": 1, "heartbeat_ms": 3600000})
    for start in range(0, len(names), 100):
        waiting = [worker.paho.publish(broker.topic(f"worker/{broker.node}/{name}/status"), record, 1, True)
                   for name in names[start:start + 100]]
        worker.wait(lambda sent=waiting: all(info.mid in worker.acks for info in sent), what="acknowledgements")
    once = make_watch(once=True)
    known = once.wait_line("known")
    assert known["workers"] == len(names) and known["malformed"] == 0, known
    assert all(once.last(name)["state"] == "running" for name in names)


@long_only
@pytest.mark.parametrize("kind", ["mosquitto-5", "nats"], indirect=True)
def test_two_hundred_workers_come_back_to_a_restarted_broker(broker, tmp_path, watch, kind):
    """F54: all have a new session within the back-off's bound, not all at the same moment, and none is taken for dead."""
    count = 200
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(broker.users["worker"])
    command = [harness.BIN / "reeve-worker-probe", "--broker", f"mqtt://127.0.0.1:{broker.port}", "--user", "worker",
               "--password-file", password, "--root", broker.root, "--node", broker.node, "--mqtt",
               {5: "5", 4: "3.1.1"}[kind.version], "--log-level", "error"]
    processes = []
    try:
        with open(tmp_path / "workers.log", "ab") as log:
            for number in range(count):
                processes.append(subprocess.Popen([*command, "--name", f"w-{number}"], stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log))

        def alive(lines):
            newest = {line["worker"]: line["state"] for line in lines if line["kind"] == "verdict"}
            return sum(state == "running" for state in newest.values()) == count
        watch.wait(alive, 60, f"{count} workers")
        mark = watch.mark()
        broker.stop()
        watch.wait_line("session", since=mark, ready=False)
        lost = watch.mark()
        broker.start()
        watch.wait_clear(since=lost, deadline=BACK)
        watch.wait(alive, BACK, f"{count} workers again")
        bad = [line for line in watch.lines[lost:] if line["kind"] == "verdict" and line["state"] in ("lost", "unknown")]
        assert not bad, bad[:3]
        assert all(process.poll() is None for process in processes)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
