"""Whatever bytes arrive on a command topic, the daemon lives, names the fault to who can be answered, and does
nothing that was not asked for."""
import json
import os
import random
import time

import msgpack
import pytest

import nodes
from conftest import three_brokers
from nodes import SLEEPER
from payloads import random_payload

NODE_OPS = ("apply", "remove", "start", "stop", "restart", "kill", "signal", "reset", "drain", "undrain", "list",
            "describe", "logs", "reload", "shutdown", "nonsense")
WORKER_OPS = ("remove", "start", "stop", "restart", "kill", "signal", "reset", "logs", "nonsense")


@pytest.fixture
def worker(make_node, admin):
    node = make_node(workers=[{"name": "a", "command": SLEEPER}])
    return node, admin.wait_state("a", "running")


def addressed(admin, **fields):
    command = nodes.Command(admin, admin.new_id(), "payload")
    return command, {"id": command.id, "reply_to": admin.reply_topic(command.id), **fields}


@three_brokers
def test_truncated_messages_are_refused_and_the_fault_is_named(worker, admin):
    """Every prefix of a well-formed stop, as msgpack and as JSON: none stops the worker, each that is no map any more is
    counted as malformed; the whole one does it."""
    node, record = worker
    _, body = addressed(admin, args={"grace": "5s"})
    sent = 0
    for whole in (msgpack.packb(body), json.dumps(body).encode()):
        for length in range(1, len(whole)):
            admin.publish("a", "stop", whole[:length], wait=False)
            sent += 1
    admin.wait_counter("malformed", sent)
    assert admin.describe()["counters"]["malformed"] == sent and nodes.alive(record["pid"])
    admin.publish("a", "stop", msgpack.packb(body))
    admin.wait_state("a", "stopped")


@three_brokers
def test_the_sender_of_a_malformed_command_hears_what_is_wrong(worker, admin):
    """Wrong types and values in envelope and arguments, each with a readable reply address: rejected, with the name of
    what is wrong; nothing happens."""
    _, record = worker
    cases = [("a", "stop", {"args": 5}, "args"), ("a", "stop", {"args": {"grace": []}}, "args.grace"),
             ("a", "stop", {"args": {"grace": "-5s"}}, "args.grace"), ("a", "stop", {"args": {"grcae": "5s"}}, "grace"),
             ("a", "stop", {"expires_at": "soon"}, "expires_at"), ("a", "stop", {"expect": 5}, "expect"),
             ("a", "stop", {"dry_run": "yes"}, "dry_run"), ("a", "stop", {"priority": 99}, "priority"),
             ("a", "stop", {"issuer": ""}, "issuer"),
             ("a", "signal", {"args": {}}, "args.signal"), ("a", "signal", {"args": {"signal": "BOGUS"}}, "args.signal"),
             ("a", "signal", {"args": {"signal": 99999}}, "args.signal"),
             ("a", "logs", {"args": {"tail": -1}}, "args.tail"), ("a", "logs", {"args": {"tail": "x"}}, "args.tail"),
             ("a", "logs", {"args": {"follow": "1d"}}, "args.follow"),
             ("", "shutdown", {"args": {"workers": "burn"}}, "args.workers"),
             ("", "apply", {"args": {"workers": 5}}, "workers"),
             ("", "apply", {"args": {"name": "b", "command": SLEEPER, "memory_limit": "lots"}}, "memory_limit"),
             ("", "apply", {"args": {"name": "b", "command": "sleep 5; rm -rf /"}}, "command"),
             ("", "drain", {"args": {"bogus": 1}}, "args"), ("", "list", {"args": {"limits": 1}}, "limit")]
    for worker_name, op, fields, word in cases:
        command, body = addressed(admin, **fields)
        admin.publish(worker_name, op, msgpack.packb(body))
        reply = command.terminal()
        assert reply["phase"] == "rejected" and word in reply["message"], (op, fields, reply)
    assert admin.process("a")["pid"] == record["pid"] and nodes.alive(record["pid"])


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"x": value}
    return value


@three_brokers
def test_over_deep_and_oversized_messages_are_refused(worker, admin, kind):
    """[payload-4] Depth above 16, more than 4,096 entries, lengths that lie, and a megabyte: refused in constant memory
    with the limit named; the daemon keeps its session."""
    node, record = worker
    epoch = admin.wait_status(lambda s: True)["epoch"]
    command, body = addressed(admin)
    cases = [nested(40), {"list": [0] * 5000}, {"map": {str(i): i for i in range(5000)}}]
    for args in cases:
        command, body = addressed(admin, args=args)
        admin.publish("", "apply", msgpack.packb(body))
        # The id may lie behind what could not be read: then nobody is answered by name.
        admin.wait(lambda: any(r["phase"] == "rejected" for rs in admin.replies.values() for r in rs))
        admin.replies.clear()
    bombs = [b"\xdf\xff\xff\xff\xff", b"\xde\xff\xff", b"\x81\xa1x\xdd\xff\xff\xff\xff", b"\x81\xa1x\xdb\xff\xff\xff\xff",
             b"\x81\xa1x" + b"\x91" * 100000, b'{"x":' + b"[" * 100000, b"\x81\xa1x" + b"\x81\xa1y" * 50000]
    for bomb in bombs:
        admin.publish("a", "stop", bomb)
    before = node.rss()
    for _ in range(4):
        admin.publish("a", "stop", b"x" * 1000000)
    admin.do("", "list")
    assert nodes.alive(record["pid"]) and admin.status()["epoch"] == epoch
    assert node.rss() < before + 16 * 1024 * 1024
    admin.wait_counter("malformed", len(bombs))


def aim(rng):
    """A command topic: on a worker that is there only what can't change it, everything on one that is not."""
    if rng.random() < 0.5:
        return "", rng.choice(NODE_OPS)
    return rng.choice((("not-by-chance", "logs"), ("not-by-chance", "nonsense"), ("nobody", rng.choice(WORKER_OPS))))


def defuse(op, payload):
    """Chance must not find a spec that could run, a selector that fits the worker, or `shutdown` without arguments."""
    for found, harmless in ((b"command", b"commant"), (b"*", b"+"), (b"?", b"+"), (b"all", b"alt")):
        payload = payload.replace(found, harmless)
    return b"\xc1" + payload if op == "shutdown" else payload  # 0xc1: no map, no JSON, no UTF-8


@three_brokers
def test_ten_thousand_random_payloads_leave_the_daemon_as_it_is(make_node, admin, kind):
    """F49, F50, S26. 12,000 random payloads (bytes, msgpack-like, JSON-like, mutated) on every command topic of the node
    and of workers. Same pid, same session, memory bounded, the worker untouched, and the daemon still does what it is
    told."""
    node = make_node(workers=[{"name": "not-by-chance", "command": SLEEPER}])
    record = admin.wait_state("not-by-chance", "running")
    seed = int(os.environ.get("REEVE_SEED", time.time_ns() % 1000000))
    print(f"seed {seed} (REEVE_SEED)")
    rng = random.Random(seed)
    epoch = admin.wait_status(lambda s: True)["epoch"]
    batch, total = 500, 12000 if kind.version == 5 else 3000
    sizes = []
    for start in range(0, total, batch):
        for _ in range(batch):
            target, op = aim(rng)
            admin.publish(target, op, defuse(op, random_payload(rng)), wait=False)
        admin.wait_counter("commands", start + batch)
        sizes.append(node.rss())
        admin.client.clear()
        admin.replies.clear()
        admin.history.clear()
    assert node.running, node.log()[-3000:]
    half = len(sizes) // 2
    assert max(sizes[half:]) <= max(sizes[:half]) + 4 * 1024 * 1024, f"seed {seed}: grows: {sizes}"
    assert admin.status()["epoch"] == epoch, f"seed {seed}: the session was lost"
    assert admin.do("", "list")["result"]["workers"].keys() == {"not-by-chance"}
    assert nodes.alive(record["pid"])
    admin.do("", "undrain")  # chance may have found `drain`
    admin.do("not-by-chance", "restart")
    assert not admin.undecoded, admin.undecoded[:3]


def test_malformed_commands_are_told_as_an_event_but_not_as_a_flood(worker, admin):
    """[payload-4] Reported once a minute as an event, counted always."""
    for _ in range(50):
        admin.publish("a", "stop", b"\xc1", wait=False)
    admin.wait_counter("malformed", 50)
    kinds = [e["kind"] for e in admin.events]
    assert sum("malformed" in kind for kind in kinds) == 1, kinds


def test_a_reply_address_can_not_be_used_to_write_where_the_daemon_may(worker, admin, broker):
    """A reply address that is no reply topic (a status, another command) is not written to: one command must not make
    another, and nobody forges a record through the daemon."""
    node, record = worker
    for below in (f"worker/{node.name}/a/process", f"worker/{node.name}/a/cmd/kill", f"node/{node.name}/cmd/shutdown",
                  f"node/{node.name}/status", f"alarm/duplicate/{node.name}"):
        before = len(admin.client.of(broker.topic(below)))
        admin.publish("", "stop", msgpack.packb({"reply_to": broker.topic(below), "args": {"workers": "nobody"}}))
        admin.publish("", "stop", b"nobody", response=broker.topic(below))
        admin.do("", "list")
        sent = admin.client.of(broker.topic(below))[before:]
        assert all(b"nobody" not in m.payload for m in sent), (below, sent)
    assert node.running and nodes.alive(record["pid"])


@three_brokers
def test_a_reply_address_that_a_broker_refuses_ends_no_session(worker, admin):
    """An answer to a topic that the broker takes for malformed would end the daemon's session, and be sent again in the
    next one: such an address is refused beforehand. Same session, and the next command is answered."""
    node, record = worker
    epoch = admin.wait_status(lambda s: True)["epoch"]
    for address in ("a b", "a.b", "/" * 250, "\u0085", "\uffff", "a/\ufdd0", "ä", "x" * 251, "$SYS/x", "a\u0001", ""):
        admin.publish("", "stop", msgpack.packb({"reply_to": address, "args": {"workers": "nobody"}}))
        admin.publish("", "list", msgpack.packb({"reply_to": address}))
    admin.do("", "list")
    assert admin.status()["epoch"] == epoch and "lost=" not in node.log(), node.log()[-2000:]
    assert nodes.alive(record["pid"])
