"""The worker half of clients/python/reeve_client.py, seen from the manager's side of the wire [job-12..14] [session-1..7]."""
import signal

import harness
import msgpack
import pytest
from scripted import PythonWorker, Scripted


@pytest.fixture
def manager(broker):
    return Scripted(broker, broker.node, "w-1")


@pytest.fixture
def make_worker(broker, tmp_path):
    made = []

    def make(start=True, **options):
        made.append(PythonWorker(broker, tmp_path / f"worker-{len(made)}", **options))
        return made[-1].start() if start else made[-1]
    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_it_says_hello_takes_jobs_and_tells_their_ends(manager, make_worker, version):
    make_worker(version=version, queues={"q": 2}, prefetch=3)
    hello = manager.wait_report(lambda r: r.get("hello"))
    assert (hello["seq"], hello["got"], hello["capacity"], hello["manager_epoch"]) == (1, 0, 5, 0)
    assert "echo" in hello["types"] and hello["reconciles"] == ["pay"] and hello["hand"] == []
    assert manager.wait_status(lambda s: s["availability"] == "idle")["epoch"] == hello["epoch"]
    manager.send([{"id": "a", "payload": {"value": "ü"}}, {"id": "b", "type": "fail", "payload": {"times": 1, "delay_ms": 7}},
                  {"id": "c", "type": "fail", "payload": {"for_good": True, "error": "no such account"}}, {"id": "d", "type": "nobody-does"}])
    assert manager.wait_entry("a", "done")["data"] == {"attempt": 1, "value": "ü"}
    assert manager.wait_entry("b", "retry")["delay_ms"] == 7
    assert manager.wait_entry("c", "failed")["error"] == "no such account"
    manager.wait_entry("d", "released")
    manager.wait_report(lambda r: r["got"] == 1)
    assert [r["seq"] for r in manager.reports] == list(range(1, len(manager.reports) + 1))


def test_what_nobody_acknowledges_is_said_again_and_the_same_attempt_twice_is_one(manager, make_worker):
    worker = make_worker()
    manager.wait_report(lambda r: r.get("hello"))
    manager.acks = False
    manager.send([{"id": "a"}])
    manager.send([{"id": "a"}])
    manager.wait_entry("a", "done", count=2)
    manager.acks = True
    manager.send(ack=manager.reports[-1]["seq"])
    manager.send([{"id": "a"}, {"id": "b"}])
    manager.wait_entry("b", "done")
    assert sum(line["event"] == "start" and line["job"] == "a" for line in worker.lines()) == 1


def test_a_checkpoint_returns_when_it_is_acknowledged_and_not_before(manager, make_worker):
    worker = make_worker()
    manager.wait_report(lambda r: r.get("hello"))
    manager.acks = False
    manager.send([{"id": "s", "type": "steps", "payload": {"steps": 2}, "checkpoint": {"step": 0}}])
    manager.wait_entry("s", "checkpoint", count=2)  # said twice by now, and not one step on
    assert not [line for line in worker.lines() if line["event"] == "checkpoint"]
    assert {entry["data"]["step"] for entry in manager.entries("checkpoint")} == {1}
    manager.acks = True
    manager.send(ack=manager.reports[-1]["seq"])
    assert manager.wait_entry("s", "done")["data"]["value"] == 2


def test_a_new_manager_hears_all_of_it_and_an_old_one_is_not_obeyed(manager, make_worker):
    make_worker()
    manager.wait_report(lambda r: r.get("hello"))
    manager.acks = False
    manager.send([{"id": "a"}, {"id": "h", "type": "hold"}])
    manager.wait_entry("a", "done")
    manager.send(epoch=2000, hello=True)
    said = manager.wait_report(lambda r: r.get("hello") and r["manager_epoch"] == 2000)
    assert sorted(said["hand"]) == [["a", 1], ["h", 1]]
    manager.wait_entry("a", "done", count=2)
    manager.send(epoch=1500, cancels=[{"id": "h", "attempt": 1, "reason": "cancelled", "grace_ms": 100}])
    manager.send(epoch=2000, ack=manager.reports[-1]["seq"])
    manager.wait_report(lambda r: r["seq"] > said["seq"] + 1)
    assert not manager.entries("cancelled")
    manager.send(epoch=2000, cancels=[{"id": "h", "attempt": 1, "reason": "cancelled", "grace_ms": 5000}])
    manager.wait_entry("h", "cancelled")


def test_without_an_answer_within_the_lease_it_lets_go_of_what_it_has(manager, make_worker):
    worker = make_worker(queues={"q": 1}, prefetch=1)
    manager.wait_report(lambda r: r.get("hello"))
    manager.lease_ms = 2000
    manager.acks = False
    manager.send([{"id": "h", "type": "hold"}, {"id": "waits"}])
    begun = worker.wait_line("start", "h")
    ended = worker.wait_line("end", "h")
    assert ended["reason"] == "lease" and 1.9 < ended["at"] - begun["at"] < 6
    manager.acks = True
    manager.send(hello=True, ack=manager.reports[-1]["seq"])
    assert manager.wait_report(lambda r: r.get("hello") and r["seq"] > 2)["hand"] == []
    assert not manager.entries(job="waits") and not [line for line in worker.lines() if line["job"] == "waits"]


def test_an_abandoned_attempt_says_nothing_any_more(manager, make_worker):
    worker = make_worker()
    manager.wait_report(lambda r: r.get("hello"))
    manager.send([{"id": "h", "type": "hold", "payload": {"stubborn": 0.3}}])
    worker.wait_line("start", "h")
    manager.send(abandons=[{"id": "h", "attempt": 1, "reason": "fenced"}])
    assert worker.wait_line("end", "h")["reason"] == "fenced"
    manager.send([{"id": "h", "type": "echo", "attempt": 3}])
    assert manager.wait_entry("h", "done")["attempt"] == 3
    assert not [entry for entry in manager.entries(job="h") if entry["attempt"] == 1]


def test_who_does_not_look_at_a_cancel_is_ended_in_his_place_and_his_place_is_not_given_away(manager, make_worker):
    worker = make_worker(queues={"q": 2}, prefetch=0)
    manager.wait_report(lambda r: r.get("hello") and r["capacity"] == 2)
    manager.send([{"id": "h", "type": "hold", "payload": {"stubborn": 3}}])
    worker.wait_line("start", "h")
    manager.send(cancels=[{"id": "h", "attempt": 1, "reason": "cancelled", "grace_ms": 200}])
    manager.wait_entry("h", "cancelled")
    assert not [line for line in worker.lines() if line["event"] == "end"]
    manager.wait_report(lambda r: r["capacity"] == 1)
    worker.wait_line("end", "h")
    manager.client.wait(lambda: manager.reports[-1]["capacity"] == 2, what="its place is back")


def test_an_attempt_has_its_time_and_no_more(manager, make_worker):
    make_worker()
    manager.wait_report(lambda r: r.get("hello"))
    manager.send([{"id": "h", "type": "hold", "timeout_ms": 300}])
    assert manager.wait_entry("h", "retry")["error"] == "timeout"


def test_with_jobs_in_hand_it_speaks_three_times_in_a_lease(manager, make_worker):
    make_worker(heartbeat_ms=20000)
    manager.wait_report(lambda r: r.get("hello"))
    manager.send([{"id": "h", "type": "hold"}])
    first = len(manager.reports)
    manager.client.wait(lambda: len(manager.reports) >= first + 4, deadline=manager.lease_ms / 1000 * 2, what="reports")


def test_a_sigterm_drains_says_goodbye_and_leaves_no_will(broker, manager, make_worker):
    worker = make_worker(queues={"q": 1}, prefetch=2)
    wills = broker.client("admin")
    wills.subscribe(broker.topic("worker/+/+/lwt"))
    manager.wait_report(lambda r: r.get("hello"))
    manager.send([{"id": "s", "type": "sleep", "payload": {"ms": 400}}, {"id": "waits"}])
    worker.wait_line("start", "s")
    worker.process.send_signal(signal.SIGTERM)
    manager.wait_entry("s", "done")
    manager.wait_entry("waits", "released")
    assert worker.process.wait(harness.DEADLINE) == 0
    assert manager.wait_status(lambda s: s["state"] == "offline")["availability"] == "offline"
    assert not wills.messages


def test_a_kill_sends_the_will_of_its_epoch(broker, manager, make_worker):
    worker = make_worker()
    hello = manager.wait_report(lambda r: r.get("hello"))
    wills = broker.client("admin")
    wills.subscribe(broker.topic("worker/+/+/lwt"))
    worker.kill()
    assert msgpack.unpackb(wills.wait_topic(broker.topic(f"worker/{broker.node}/w-1/lwt")).payload) == {"epoch": hello["epoch"]}
    make_worker()
    again = manager.wait_report(lambda r: r.get("hello") and r["epoch"] > hello["epoch"])
    assert again["seq"] == 1


def test_a_forged_will_is_outbid_and_what_was_not_acknowledged_is_said_in_the_new_session(broker, manager, make_worker):
    make_worker()
    hello = manager.wait_report(lambda r: r.get("hello"))
    manager.acks = False
    manager.send([{"id": "a"}])
    manager.wait_entry("a", "done")
    broker.client("worker").publish(broker.topic(f"worker/{broker.node}/w-1/lwt"), msgpack.packb({"epoch": hello["epoch"] + 50}), retain=True)
    again = manager.wait_report(lambda r: r.get("hello") and r["epoch"] > hello["epoch"] + 50)
    assert again["hand"] == [["a", 1]]
    manager.wait_entry("a", "done", count=2)


def test_of_two_of_one_name_the_later_stays(manager, make_worker):
    first = make_worker()
    manager.wait_report(lambda r: r.get("hello"))
    second = make_worker()
    assert first.process.wait(harness.DEADLINE) == 125
    assert second.process.poll() is None


def test_a_broker_that_comes_back_finds_it_with_its_jobs_in_hand(broker, manager, make_worker):
    worker = make_worker()
    manager.lease_ms = 15000
    hello = manager.wait_report(lambda r: r.get("hello"))
    manager.send([{"id": "s", "type": "sleep", "payload": {"ms": 1500}}])
    worker.wait_line("start", "s")
    broker.process.kill()
    broker.process.wait()
    broker.start()
    later = Scripted(broker, broker.node, "w-1", epoch=2000)
    said = later.wait_report(lambda r: r.get("hello"))
    assert said["epoch"] > hello["epoch"] and said["hand"] == [["s", 1]]
    later.wait_entry("s", "done")


def test_garbage_on_its_topics_ends_nothing(broker, manager, make_worker):
    make_worker()
    manager.wait_report(lambda r: r.get("hello"))
    base = broker.topic(f"worker/{broker.node}/w-1")
    for payload in (b"\xc1", b"garbage", b"\x81", msgpack.packb({"queue": 7}), msgpack.packb([1]), b""):
        manager.client.publish(f"{base}/job", payload)
        manager.client.publish(f"{base}/cmd/pause", payload[:1])
    manager.client.publish(f"{base}/cmd/resume", b"")
    manager.send([{"id": "a"}])
    manager.wait_entry("a", "done")


def test_paused_it_takes_nothing(broker, manager, make_worker):
    make_worker()
    manager.wait_report(lambda r: r.get("hello"))
    base = broker.topic(f"worker/{broker.node}/w-1/cmd")
    manager.client.publish(f"{base}/pause", b"maintenance")
    manager.wait_status(lambda s: s["availability"] == "paused")
    manager.client.wait(lambda: manager.reports[-1]["capacity"] == 0, what="capacity 0")
    manager.client.publish(f"{base}/resume", b"")
    manager.client.wait(lambda: manager.reports[-1]["capacity"] == 4, what="capacity 4")
