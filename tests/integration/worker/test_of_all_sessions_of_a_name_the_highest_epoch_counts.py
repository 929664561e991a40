"""[session-1..4] [session-7]: epochs, last wills and second holders."""
import time

import harness
import msgpack

DAY_MS = 86400000


def newest(operator, probe):
    return operator.records(probe.topic("status"))[-1]


def test_a_killed_worker_is_flagged_by_its_last_will(start, operator, version):
    probe = start(version=version)
    status = operator.record(probe.topic("status"))
    probe.kill()
    will = operator.record(probe.topic("lwt"))
    assert will == {"epoch": status["epoch"]}
    again = start(version=version, run=2)
    status = operator.record(probe.topic("status"), lambda r: r["run"] == 2)
    assert status["epoch"] > will["epoch"] and status["pid"] == again.pid


def test_a_restart_has_a_higher_epoch_though_the_clock_went_back_a_day(start, operator, node, version):
    ahead = int(time.time() * 1000) + DAY_MS
    probe_topic = operator.broker.topic("worker/alpha/mm-1/status")
    node.publish(probe_topic, msgpack.packb({"epoch": ahead, "state": "online", "availability": "idle",
                                             "heartbeat_ms": 20000, "pid": 1, "started_at": 1}), retain=True)
    operator.record(probe_topic)
    probe = start(version=version)
    status = operator.record(probe_topic, lambda r: r["pid"] == probe.pid and r["epoch"] > ahead)
    assert status["epoch"] == ahead + 1
    assert operator.ask(probe, "echo")["phase"] == "done"
    assert probe.process.poll() is None


def test_a_worker_that_sees_its_own_will_while_it_lives_heals_it(start, operator, node, version):
    """A will with our epoch or above says that we are dead, whatever our status says: only a higher epoch helps."""
    probe = start(version=version)
    first = operator.record(probe.topic("status"))
    node.publish(probe.topic("lwt"), msgpack.packb({"epoch": first["epoch"] + 1000}), retain=True)
    healed = operator.record(probe.topic("status"), lambda r: r["epoch"] > first["epoch"] + 1000)
    assert healed["pid"] == probe.pid
    assert operator.ask(probe, "echo")["phase"] == "done"


def test_a_will_that_waits_for_a_worker_is_healed(start, operator, node, version):
    ahead = int(time.time() * 1000) + DAY_MS
    node.publish(operator.broker.topic("worker/alpha/mm-1/lwt"), msgpack.packb({"epoch": ahead}), retain=True)
    probe = start(version=version)
    operator.record(probe.topic("status"), lambda r: r["epoch"] > ahead)
    operator.ask(probe, "echo")


def test_renewals_are_at_most_one_a_second(start, operator, node):
    probe = start()
    epoch = operator.record(probe.topic("status"))["epoch"]
    begun = time.monotonic()
    for step in range(1, 60):
        node.publish(probe.topic("lwt"), msgpack.packb({"epoch": epoch + step * 100000}), retain=True)
    operator.record(probe.topic("status"), lambda r: r["epoch"] > epoch + 59 * 100000)
    took = time.monotonic() - begun
    epochs = {r["epoch"] for r in operator.records(probe.topic("status"))}
    assert len(epochs) <= 2 + took, epochs


def test_a_stale_will_below_the_own_epoch_moves_nothing(start, operator, node):
    probe = start()
    epoch = operator.record(probe.topic("status"))["epoch"]
    node.publish(probe.topic("lwt"), msgpack.packb({"epoch": epoch - 1}), retain=True)
    assert operator.ask(probe, "describe")["result"]["epoch"] == epoch


def test_of_two_holders_exactly_one_stays(start, operator, version):
    first = start(version=version)
    operator.record(first.topic("status"), lambda r: r["pid"] == first.pid)
    second = start(version=version)
    harness.wait_until(lambda: first.process.poll() is not None or second.process.poll() is not None,
                       what="one of two leaves")
    gone, stays = (first, second) if first.process.poll() is not None else (second, first)
    assert gone.wait() == 125
    alarm = operator.record(operator.broker.topic("alarm/duplicate/mm-1"))
    assert alarm["pid"] == gone.pid and alarm["node"] == "alpha"
    operator.client.wait(lambda: newest(operator, stays)["pid"] == stays.pid, what="the holder's own status last")
    late = operator.broker.client("viewer")
    late.subscribe(stays.topic("status"))
    kept = msgpack.unpackb(late.wait_topic(stays.topic("status")).payload)
    assert kept["pid"] == stays.pid and kept["state"] == "online", "the one that left must not speak for the other"
    operator.ask(stays, "echo")
    assert stays.process.poll() is None


def test_of_five_that_start_together_exactly_one_stays(start, operator):
    probes = [start() for _ in range(5)]
    harness.wait_until(lambda: sum(p.process.poll() is not None for p in probes) >= 4, what="four of five leave")
    alive = [p for p in probes if p.process.poll() is None]
    assert len(alive) == 1
    assert [p.wait() for p in probes if p not in alive] == [125] * 4, [p.log()[-3000:] for p in probes if p not in alive]
    operator.client.wait(lambda: newest(operator, alive[0])["pid"] == alive[0].pid, what="its status last")
    operator.ask(alive[0], "echo")
    assert alive[0].process.poll() is None


def test_a_live_status_with_a_higher_epoch_makes_it_leave(start, operator, node, version):
    probe = start(version=version)
    own = operator.record(probe.topic("status"))
    node.publish(probe.topic("status"), msgpack.packb({**own, "epoch": own["epoch"] + 5, "pid": 1}), retain=True)
    assert probe.wait() == 125
    last = newest(operator, probe)
    assert last["pid"] == 1, "no goodbye for a name that is another's now"
    assert not [m for m in operator.client.of(probe.topic("lwt"))], "it left with a DISCONNECT"


def test_a_live_status_with_a_lower_epoch_is_talked_down(start, operator, node):
    probe = start()
    own = operator.record(probe.topic("status"))
    node.publish(probe.topic("status"), msgpack.packb({**own, "epoch": own["epoch"] - 5, "pid": 1}), retain=True)
    operator.client.wait(lambda: [r["pid"] for r in operator.records(probe.topic("status"))][-2:] == [1, probe.pid],
                         what="our word after the other's")
    assert newest(operator, probe)["epoch"] == own["epoch"]
    assert probe.process.poll() is None
