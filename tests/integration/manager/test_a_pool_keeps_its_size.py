"""A pool has the size it should have: by command, over nodes, after kills of the manager and of nodes."""
import json
import os
import signal

import harness
import nodes
import pytest

WORKER = {"command": nodes.SLEEPER, "stop": {"grace": "1s"}}
PROBE = {"type": "probe", "ready": {"mode": "notify"}, "stop": {"grace": "5s"}}


def apply(steer, pool="demo", template=None, **spec):
    return steer.pool(pool, "apply", {"template": template or WORKER, **spec})


def test_three_ways_to_say_a_size(broker, names, make_node, manager, steer):
    make_node(names[0])
    apply(steer, size=1)
    steer.wait_ready("demo", 1)
    topic = broker.topic("pool/demo/cmd/scale")
    steer.client.publish(topic, b"3")
    steer.wait_ready("demo", 3)
    steer.client.publish(topic, b"+2")
    steer.wait_ready("demo", 5)
    steer.client.publish(topic, json.dumps({"size": 2}).encode())
    steer.wait_ready("demo", 2)
    assert steer.pool("demo", "scale", {"by": -2})["result"] == {"pool": "demo", "from": 2, "size": 0}
    steer.wait_ready("demo", 0)
    assert steer.running_of("demo") == set()


@pytest.mark.parametrize("killed", ["while it grows", "while it shrinks"])
def test_a_killed_manager_changes_nothing_about_the_outcome(broker, names, make_node, manager, steer, killed):
    for name in names[:2]:
        make_node(name, max_workers=200)
    apply(steer, size=0)
    topic = broker.topic("pool/demo/cmd/scale")
    steer.client.publish(topic, b"100")
    if killed == "while it grows":
        steer.wait(lambda: len(steer.running_of("demo")) >= 20, what="some of 100 running")
        manager.kill()
        manager.start()
    steer.wait_ready("demo", 100, deadline=60)
    assert len(steer.running_of("demo")) == 100
    steer.client.publish(topic, b"0")
    if killed == "while it shrinks":
        steer.wait(lambda: len(steer.running_of("demo")) <= 80, what="some of 100 gone")
        manager.kill()
        manager.start()
    steer.wait_ready("demo", 0, deadline=60)
    harness.wait_until(lambda: not steer.running_of("demo"), what="none running")
    assert manager.database("SELECT count(*) FROM document WHERE collection = 'member'") == [(0,)]


def kill_node(node):
    """The power goes: daemon, shims and workers."""
    doomed = [*node.shims(), *node.processes()]
    node.kill()
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def test_a_lost_node_is_replaced_and_the_surplus_goes_when_it_returns(names, make_node, manager, steer):
    made = {name: make_node(name) for name in names}
    apply(steer, template=PROBE, size=5, partition={"lost_after": "2s"})
    steer.wait_ready("demo", 5)
    lost = names[1]
    on_lost = {worker for node, worker in steer.running_of("demo") if node == lost}
    assert on_lost, "spread puts some on every node"
    before = harness.time.monotonic()
    kill_node(made[lost])
    status = steer.wait_pool("demo", lambda s: s["ready"] == 5 and all(
        m["node"] != lost for m in s["members"] if m["state"] == "running"), deadline=20)
    took = harness.time.monotonic() - before
    print(f"replaced after {took:.2f} s with lost_after 2 s")
    # A worker that is busy stays, idle ones go first: one of the replacements is given a job.
    busy = next(m for m in status["members"] if m["state"] == "running")
    steer.do(f"worker/{busy['node']}/{busy['worker']}", "busy", {"jobs": 1})
    made[lost].start()
    status = steer.wait_ready("demo", 5, deadline=30)
    assert len(steer.running_of("demo")) == 5
    assert busy["worker"] in {m["worker"] for m in status["members"]}
    assert status["busy_workers_killed_by_scaling"] == 0


def test_a_busy_worker_is_never_ended_by_scaling(names, make_node, manager, steer):
    make_node(names[0])
    apply(steer, template=PROBE, size=4)
    status = steer.wait_ready("demo", 4)
    busy = [m["worker"] for m in status["members"]][:2]
    for worker in busy:
        steer.do(f"worker/{names[0]}/{worker}", "busy", {"jobs": 1})
        steer.wait_verdict(names[0], worker, lambda v: v["availability"] == "processing")
    steer.pool("demo", "scale", "2")
    status = steer.wait_ready("demo", 2)
    assert {m["worker"] for m in status["members"]} == set(busy)
    steer.pool("demo", "scale", "1")  # both are busy: one drains, and is waited for
    steer.wait_pool("demo", lambda s: s["leaving"] == 1)
    leaving = next(m["worker"] for m in steer.record("pool/demo/status")["members"] if m["state"] == "leaving")
    steer.wait_verdict(names[0], leaving, lambda v: v["availability"] == "draining")
    assert steer.process and steer.record(f"worker/{names[0]}/{leaving}/process")["state"] == "running"
    steer.do(f"worker/{names[0]}/{leaving}", "busy", {"jobs": 0})
    status = steer.wait_ready("demo", 1)
    assert status["busy_workers_killed_by_scaling"] == 0


def test_what_is_not_safe_to_stop_is_waited_for_until_the_policy_decides(names, make_node, manager, steer):
    make_node(names[0])
    apply(steer, template=PROBE, size=1, drain={"deadline": "1s", "then": "force"})
    worker = steer.wait_ready("demo", 1)["members"][0]["worker"]
    steer.do(f"worker/{names[0]}/{worker}", "unsafe", {"reason": "2 open orders"})
    steer.wait_verdict(names[0], worker, lambda v: v["safe_to_stop"] is False)
    steer.pool("demo", "scale", "0")
    steer.wait_pool("demo", lambda s: s["leaving"] == 1)
    steer.wait_ready("demo", 0)
    assert steer.record("pool/demo/status")["busy_workers_killed_by_scaling"] == 0  # it was idle


def test_a_worker_that_goes_by_hand_is_not_replaced_and_one_removed_by_hand_is(names, make_node, manager, steer):
    make_node(names[0])
    apply(steer, size=2)
    members = steer.wait_ready("demo", 2)["members"]
    steer.do(f"worker/{names[0]}/{members[0]['worker']}", "stop")
    steer.wait_pool("demo", lambda s: s["stopped"] == 1 and s["ready"] == 1)
    steer.do(f"worker/{names[0]}/{members[1]['worker']}", "remove")
    steer.wait_pool("demo", lambda s: s["stopped"] == 1 and s["ready"] == 1 and s["starting"] == 0)


def test_a_pool_is_deleted_with_its_workers_or_without(names, make_node, manager, steer):
    make_node(names[0])
    apply(steer, "gone", size=2)
    apply(steer, "kept", size=1)
    steer.wait_ready("gone", 2)
    steer.wait_ready("kept", 1)
    steer.pool("gone", "delete")
    steer.wait_record("pool/gone/status", lambda r: r is None)
    assert steer.running_of("gone") == set()
    steer.pool("kept", "delete", {"workers": "keep"})
    steer.wait_record("pool/kept/spec", lambda r: r is None)
    assert len(steer.running_of("kept")) == 1


def test_unknown_pools_and_wrong_arguments_are_named(names, make_node, manager, steer):
    apply(steer, "swap", size=0)
    steer.refused("pool/swpa", "scale", {"size": "1"}, code="not_found", says="did you mean 'swap'?")
    steer.refused("pool/swap", "scale", {"size": "many"}, code="invalid", says="args.size")
    steer.refused("pool/swap", "scale", {"sice": "1"}, code="invalid", says="sice")
    steer.refused("pool/swap", "scale", {"size": "20000"}, code="invalid", says="max")
    steer.refused("pool/swap", "scael", {"size": "1"}, code="not_found", says="did you mean 'scale'?")
    steer.refused("pool/swap", "pause", {"why": "x"}, code="invalid", says="why")
    steer.refused("pool/swap", "apply", {"size": 1, "template": {"type": "probe", "memory_limit": "12 apples"}},
                  code="invalid", says="template.memory_limit")
    steer.refused("pool/swap", "release", {"lease_id": "x"}, code="not_found", says="lease x")
