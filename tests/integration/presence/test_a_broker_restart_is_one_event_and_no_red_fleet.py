"""A broker that dies and comes back. Nothing happens to workers, nobody looks dead, nothing is lost.

The long ones (a minute) are chosen by REEVE_LONG=1; CTest runs them under the label `long`.
"""
import itertools
import os
import signal

import harness
import nodes
import pytest
from watching import plain, probe, three_brokers

LONG = os.environ.get("REEVE_LONG") == "1"
# Attempts of the daemon to connect, after which the broker comes back: the back-off doubles from 100 ms, so the sixth
# failure is 3.1 s and the tenth 51 s after the loss; the next attempt is as much later again.
ATTEMPTS = 10 if LONG else 6
BACK = 60  # s: the longest back-off, 36 s, and some for a loaded machine


def restless(flag):
    """Once `flag` is there: talks all the time, four events a second or more. Not before: an event that is on its way when
    the broker is killed may have reached it and nobody else."""
    return {"name": "restless", "command": ["sh", "-c", f"while ! test -e {flag}; do sleep 0.1; done; exit 3"],
            "restart": {"initial": "500ms", "max": "500ms", "jitter": 0, "limit": 0}}


CALM = ("mm-1", "mm-2", "plain")


def fail(broker, how):
    {"killed": broker.kill, "stopped": broker.stop}[how]()


def attempts(node):
    return node.log().count("lost=")


def epoch_of(control):
    return control.wait_status(lambda status: True)["epoch"]


def come_back(broker, node, kind):
    """Start the broker and subscribe before the daemon gets there: its events are not retained."""
    node.signal(signal.SIGSTOP)
    try:
        broker.start()
        return nodes.Control(broker, node, "admin", kind.version)
    finally:
        node.signal(signal.SIGCONT)


def numbers(*controls):
    """Numbers of the node's events in the order of their arrival; what came twice counts once."""
    seen = []
    for event in itertools.chain(*(control.events for control in controls)):
        if event["seq"] not in seen:
            seen.append(event["seq"])
    return seen


@three_brokers
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_broker_that_comes_back_finds_everybody_as_they_were(make_node, broker, admin, watch, kind, how, tmp_path):
    """Killed: no will is sent. Stopped by SIGTERM: all wills are, and everybody looks dead until reborn."""
    if LONG and (how, kind.version) == ("stopped", 4):
        pytest.skip("the minute is tried once with all wills fired")
    node = make_node(workers=[probe("mm-1"), probe("mm-2"), plain(), restless(tmp_path / "flag")])
    before = {name: admin.wait_state(name, "running") for name in CALM}
    for name, rule in zip(CALM, (2, 2, 4)):
        watch.wait_now(name, lambda v, rule=rule: v["rule"] == rule)
    admin.wait_event("worker_state", worker="restless", to="running")
    spoken = f"worker/{node.name}/mm-1/status"
    said = admin.client.wait(lambda: admin.record(spoken), what="status of mm-1")
    mark, failed = watch.mark(), attempts(node)
    epoch = epoch_of(admin)
    fail(broker, how)
    # A broker that is told to stop sends the wills while the reader is still connected; they are taken back with its loss.
    mark = watch.lines.index(watch.wait_line("session", since=mark, ready=False))
    (tmp_path / "flag").touch()
    node.wait_log("lost=", deadline=120, count=failed + ATTEMPTS)

    with come_back(broker, node, kind) as after:
        after.wait_status(lambda status: status["epoch"] > epoch, deadline=BACK)
        # Commands work again without anybody's help: the daemon's own, and one of a worker.
        after.do("restless", "stop")
        after.client.wait(lambda: (after.record(spoken) or {}).get("epoch", 0) > said["epoch"], BACK, "mm-1 back")
        assert after.do("mm-1", "echo", {"text": "there"})["result"] == {"text": "there"}
        after.wait_event("worker_state", worker="restless", to="stopped")
        watch.wait_clear(since=mark, deadline=BACK + 45)
        # The verdicts after the grace time rest on what was heard since.
        for name, rule in zip(CALM, (2, 2, 4)):
            watch.wait_now(name, lambda v, rule=rule: v["rule"] == rule)
            assert watch.states(name, mark) in ([], ["running"]), watch.verdicts(name, mark)
            record = after.process(name)
            assert (record["pid"], record["run"]) == (before[name]["pid"], before[name]["run"]), record
        seen = numbers(admin, after)
        assert len(seen) > 10, seen
        assert seen == list(range(seen[0], seen[-1] + 1)), f"gaps or out of order: {seen}"


def kill_once_more(node, worker, before):
    """Kill -9 of its process, which is none of `before`; returns them all once a new one is there."""
    pid = harness.wait_until(lambda: next((p for p in node.processes(worker) if p not in before), None),
                             what=f"process of {worker}")
    os.kill(pid, signal.SIGKILL)
    return before | {pid}


@pytest.mark.skipif(LONG, reason="has no long form")
def test_events_beyond_the_bound_are_dropped_oldest_first_and_counted(make_node, broker, admin, kind):
    """With room for 16 messages and 30 deaths during the outage: the newest events arrive, in order, the others are in
    the daemon's count. Nothing happens while the broker dies, so that nobody can have had an event and lost it."""
    node = make_node(workers=[plain("victim", restart={"initial": "0ms", "limit": 0})],
                     broker_options={"queue_max": 16}, metrics="200ms")
    admin.wait_event("worker_state", to="running")
    epoch = epoch_of(admin)
    broker.kill()
    node.wait_log("lost=")
    killed = set()
    for _ in range(30):
        killed = kill_once_more(node, "victim", killed)
    last = numbers(admin)[-1]
    with come_back(broker, node, kind) as after:
        after.wait_status(lambda status: status["epoch"] > epoch, deadline=BACK)
        after.do("victim", "stop")
        after.wait_event("worker_state", worker="victim", to="stopped")
        seen = numbers(after)
        gap = seen[0] - last - 1
        assert gap >= 30, f"the oldest must be gone: {last} then {after.events[:3]}"
        assert seen == list(range(seen[0], seen[-1] + 1)), seen
        topic = f"node/{node.name}/metrics"
        metrics = after.wait(lambda: after.record(topic), what="metrics")
        assert metrics["bus"]["dropped_events"] == gap, f"{gap} are missing: {metrics['bus']}"


@pytest.mark.skipif(LONG, reason="has no long form")
@three_brokers
def test_a_worker_that_dies_with_the_broker_is_restarted_without_it(make_node, broker, admin, watch, kind):
    """The daemon needs no broker to supervise: kill -9 of a worker during the outage, and a new run is there when the
    broker comes back. F17 for the worker alone: its will was never sent."""
    node = make_node(workers=[probe("mm-1")])
    first = admin.wait_state("mm-1", "running")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    epoch, failed = epoch_of(admin), attempts(node)
    broker.kill()
    os.kill(first["pid"], signal.SIGKILL)
    node.wait_log("lost=", deadline=60, count=failed + 5)
    mark = watch.mark()
    with come_back(broker, node, kind) as after:
        after.wait_status(lambda status: status["epoch"] > epoch, deadline=BACK)
        again = after.wait_state("mm-1", "running", run=first["run"] + 1)
        assert again["exit"]["signal"] == "SIGKILL" and again["pid"] != first["pid"]
        watch.wait_clear(since=mark, deadline=BACK)
        watch.wait_now("mm-1", lambda v: v["rule"] == 2)


@pytest.mark.skipif(LONG, reason="has no long form")
@three_brokers
def test_who_dies_together_with_the_broker_is_found_dead(make_node, broker, admin, watch, kind):
    """F17: broker, daemon and workers die at once, so that no will is ever sent, and the broker may have kept their
    last statuses. Nobody renews them: the speaking worker is `lost` or `unknown`, never `running`."""
    node = make_node(workers=[probe("mm-1"), plain()])
    pids = [admin.wait_state(name, "running")["pid"] for name in ("mm-1", "plain")]
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark = watch.mark()
    broker.kill()
    node.kill()
    for pid in [*node.shims(), *pids]:
        os.kill(pid, signal.SIGKILL)
    broker.start()
    watch.wait_clear(since=mark, deadline=60)
    for name in ("mm-1", "plain"):
        watch.wait_now(name, lambda v: v["state"] in ("unknown", "lost", "removed"), deadline=30)
    # The next daemon finds out what became of them, and starts them again.
    node.start()
    watch.wait_now("mm-1", lambda v: v["rule"] == 2, deadline=BACK)
    watch.wait_now("plain", lambda v: v["rule"] == 4, deadline=BACK)
