"""Jobs of the C SDK (reeve-worker-probe) at a real broker: from the manager's side of the wire, played by scripted.py [job-12..14], and with
a real manager."""
import importlib.util
import pathlib
import signal
import time

import harness
import pytest
from scripted import Scripted, read_lines

_spec = importlib.util.spec_from_file_location("worker_conftest", pathlib.Path(__file__).parents[1] / "worker/conftest.py")
_worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_worker)


class Probe(_worker.Probe):
    """With queues, and the file in which its jobs write down what they do."""

    def __init__(self, broker, directory, queues=None, name="w-1", config=None, **options):
        self.jobs_file = directory / "jobs.jsonl"
        directory.mkdir(parents=True, exist_ok=True)
        queues = queues or [{"queue": "q", "concurrency": 2}]
        super().__init__(broker, directory, name=name, config={"queues": queues, "jobs_file": str(self.jobs_file), **(config or {})}, **options)

    def lines(self):
        return read_lines(self.jobs_file)

    def wait_line(self, event, job, deadline=harness.DEADLINE):
        return harness.wait_until(lambda: next((line for line in reversed(self.lines()) if (line["event"], line["job"]) == (event, job)), None),
                                  deadline, f"{event} of {job}; {self.log()[-1500:]}")


@pytest.fixture
def scripted(broker):
    return Scripted(broker, broker.node, "w-1")


@pytest.fixture
def make_probe(broker, tmp_path):
    made = []

    def make(name="w-1", **options):
        made.append(Probe(broker, tmp_path / f"{name}-{len(made)}", name=name, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("version", [5, 4])
def test_it_says_hello_takes_jobs_and_tells_their_ends(scripted, make_probe, version):
    make_probe(version=version, queues=[{"queue": "q", "concurrency": 2, "prefetch": 3}])
    hello = scripted.wait_report(lambda r: r.get("hello"))
    assert (hello["seq"], hello["capacity"], hello["hand"]) == (1, 5, [])
    assert "echo" in hello["types"] and hello["reconciles"] == ["pay"]
    assert scripted.wait_status(lambda s: s["availability"] == "idle")["queues"] == ["q"]
    scripted.send([{"id": "a", "payload": {"value": "ü"}}, {"id": "b", "type": "fail", "payload": {"times": 1, "delay_ms": 7}},
                   {"id": "c", "type": "fail", "payload": {"for_good": True, "error": "no such account"}}])
    assert scripted.wait_entry("a", "done")["data"] == {"value": "ü"}
    assert scripted.wait_entry("b", "retry")["delay_ms"] == 7
    assert scripted.wait_entry("c", "failed")["error"] == "no such account"
    assert [r["seq"] for r in scripted.reports] == list(range(1, len(scripted.reports) + 1))
    assert scripted.wait_status(lambda s: s.get("work", {}).get("done") == 1)["work"]["failed"] == 2


def test_an_idle_worker_answers_at_once(scripted, make_probe):
    make_probe()
    scripted.wait_report(lambda r: r.get("hello"))
    took = []
    for number in range(20):
        begun = time.monotonic()
        scripted.send([{"id": f"j{number}"}])
        scripted.wait_entry(f"j{number}", "done")
        took.append(time.monotonic() - begun)
    assert sorted(took)[10] < 0.05, took  # a turn of two loops, not an interval


def test_a_lost_ack_is_said_again_and_the_same_attempt_twice_is_one(scripted, make_probe):
    probe = make_probe()
    scripted.wait_report(lambda r: r.get("hello"))
    scripted.acks = False
    scripted.send([{"id": "a"}])
    scripted.send([{"id": "a"}])
    scripted.wait_entry("a", "done", count=2)
    scripted.acks = True
    scripted.send(ack=scripted.reports[-1]["seq"])
    scripted.send([{"id": "b"}])
    scripted.wait_entry("b", "done")
    assert sum(line["event"] == "start" and line["job"] == "a" for line in probe.lines()) == 1


def test_a_checkpoint_goes_on_when_it_is_acknowledged(scripted, make_probe):
    probe = make_probe()
    scripted.wait_report(lambda r: r.get("hello"))
    scripted.acks = False
    scripted.send([{"id": "s", "type": "steps", "payload": {"steps": 4}, "checkpoint": {"step": 2}}])
    scripted.wait_entry("s", "checkpoint", count=2)
    assert {entry["data"]["step"] for entry in scripted.entries("checkpoint")} == {3}
    assert not [line for line in probe.lines() if line["event"] == "checkpoint"]
    scripted.acks = True
    scripted.send(ack=scripted.reports[-1]["seq"])
    assert scripted.wait_entry("s", "done")["data"]["steps"] == 4


def test_a_new_manager_hears_all_of_it_and_an_old_one_is_not_obeyed(scripted, make_probe):
    make_probe()
    scripted.wait_report(lambda r: r.get("hello"))
    scripted.acks = False
    scripted.send([{"id": "a"}, {"id": "h", "type": "hold"}])
    scripted.wait_entry("a", "done")
    scripted.send(epoch=2000, hello=True)
    said = scripted.wait_report(lambda r: r.get("hello") and r.get("manager_epoch") == 2000)
    assert sorted(said["hand"]) == [["a", 1], ["h", 1]]
    scripted.wait_entry("a", "done", count=2)
    scripted.send(epoch=1500, cancels=[{"id": "h", "attempt": 1, "reason": "cancelled", "grace_ms": 100}])
    scripted.send(epoch=2000, cancels=[{"id": "h", "attempt": 1, "reason": "cancelled", "grace_ms": 5000}])
    scripted.wait_entry("h", "cancelled")


def test_without_an_answer_within_the_lease_it_lets_go_of_what_it_has(scripted, make_probe):
    probe = make_probe(queues=[{"queue": "q", "concurrency": 1, "prefetch": 1}])
    scripted.wait_report(lambda r: r.get("hello"))
    scripted.lease_ms, scripted.acks = 2000, False
    scripted.send([{"id": "h", "type": "hold"}, {"id": "waits"}])
    begun, told = probe.wait_line("start", "h"), probe.wait_line("cancel", "h")
    assert told["reason"] == "lease" and 1.9 < told["at"] - begun["at"] < 4
    assert scripted.wait_report(lambda r: r.get("hello") and r["seq"] > 1)["hand"] == []
    assert not scripted.entries(job="waits") and not scripted.entries(job="h")


def test_who_does_not_end_when_told_is_ended_in_his_place_and_keeps_it(scripted, make_probe):
    probe = make_probe(queues=[{"queue": "q", "concurrency": 2, "prefetch": -1}])
    scripted.wait_report(lambda r: r.get("hello") and r["capacity"] == 2)
    scripted.send([{"id": "h", "type": "hold", "payload": {"stubborn": 2}}])
    probe.wait_line("start", "h")
    scripted.send(cancels=[{"id": "h", "attempt": 1, "reason": "cancelled", "grace_ms": 200}])
    scripted.wait_entry("h", "cancelled")
    assert not [line for line in probe.lines() if line["event"] == "end"]
    scripted.wait_report(lambda r: r["capacity"] == 1)
    probe.wait_line("end", "h")
    scripted.client.wait(lambda: scripted.reports[-1]["capacity"] == 2, what="its place is back")


def test_a_sigterm_finishes_what_runs_and_hands_back_what_waits(scripted, make_probe):
    probe = make_probe(queues=[{"queue": "q", "concurrency": 1, "prefetch": 2}])
    scripted.wait_report(lambda r: r.get("hello"))
    scripted.send([{"id": "s", "type": "sleep", "payload": {"ms": 400}}, {"id": "waits"}])
    probe.wait_line("start", "s")
    probe.signal(signal.SIGTERM)
    scripted.wait_entry("waits", "released")
    scripted.wait_entry("s", "done")
    assert probe.wait() == 0
    assert scripted.wait_status(lambda s: s["state"] == "offline")["jobs"] == 0


def test_a_sigterm_does_not_wait_for_ever(scripted, make_probe):
    probe = make_probe()
    scripted.wait_report(lambda r: r.get("hello"))
    scripted.send([{"id": "h", "type": "hold", "payload": {"stubborn": 60}}, {"id": "e", "type": "hold"}])
    probe.wait_line("start", "h")
    begun = time.monotonic()
    probe.signal(signal.SIGTERM)
    assert scripted.wait_entry("e", "retry", deadline=15)["error"] == "the worker leaves"  # told, and it ended
    assert scripted.wait_entry("h", "retry", deadline=15)["error"] == "the worker leaves"  # told, and it did not
    assert probe.wait() == 0
    assert 4 < time.monotonic() - begun < 12


def test_a_broker_that_comes_back_finds_it_with_its_jobs_in_hand(broker, scripted, make_probe):
    probe = make_probe()
    scripted.lease_ms = 15000
    hello = scripted.wait_report(lambda r: r.get("hello"))
    scripted.send([{"id": "s", "type": "sleep", "payload": {"ms": 1500}}])
    probe.wait_line("start", "s")
    broker.process.kill()
    broker.process.wait()
    broker.start()
    later = Scripted(broker, broker.node, "w-1", epoch=2000)
    again = later.wait_report(lambda r: r.get("hello") and r["epoch"] > hello["epoch"], deadline=30)
    assert again["seq"] == 1 and again["hand"] == [["s", 1]]
    later.wait_entry("s", "done", deadline=30)


# ---- with a real manager


def test_a_thousand_jobs_are_done_once_each(make_queue, make_probe, tmp_path):
    queue = make_queue("q")
    probe = make_probe(queues=[{"queue": "q", "concurrency": 50, "prefetch": 200}])
    queue.wait_workers(1)
    queue.add(*({"type": "echo", "id": f"j{number}", "payload": {"number": number}} for number in range(1000)))
    queue.settle()
    rows = {row["job"]: row for row in queue.rows()}
    assert len(rows) == 1000 and all(row["state"] == "completed" for row in rows.values())
    assert all(rows[f"j{number}"]["result"] == {"number": number} for number in range(1000))
    queue.check(probe.lines())


def test_what_a_killed_worker_had_is_done_by_another(make_queue, make_probe):
    queue = make_queue("q")
    first = make_probe("w-1", queues=[{"queue": "q", "concurrency": 4, "prefetch": 4}])
    queue.wait_workers(1)
    queue.add(*({"type": "sleep", "id": f"j{number}", "payload": {"ms": 300}} for number in range(8)))
    first.wait_line("start", "j0")
    second = make_probe("w-2", queues=[{"queue": "q", "concurrency": 4, "prefetch": 4}])
    queue.wait_workers(2)
    queue.dead(f"{first.broker.node}/w-1", first.pid)
    first.kill()
    queue.settle()
    assert {row["state"] for row in queue.rows()} == {"completed"}
    queue.check(first.lines() + second.lines())


def test_the_example_of_the_documentation_makes_its_report(make_queue, broker, tmp_path):
    program = harness.BIN.parent / "tests/docs-jobs-example"
    if not program.exists():
        pytest.skip("built without tests")
    queue = make_queue("reports")
    worker = _worker.Probe(broker, tmp_path / "example", program=program)
    try:
        queue.wait_workers(1)
        queue.add({"type": "report", "id": "r", "payload": {"pages": 3}}, {"type": "report", "id": "long", "payload": {"pages": 1000}})
        shown = queue.wait_state("r", "completed")
        assert shown["result"] == 3 and shown["attempt"] == 1, shown
        queue.op("cancel", {"ids": ["long"]})
        queue.wait_state("long", "cancelled")
    finally:
        worker.close()
    assert worker.process.returncode == 0


@pytest.mark.parametrize("crash", ["before", "after"])
def test_past_its_point_of_no_return_it_is_reconciled_and_paid_once(make_queue, make_probe, tmp_path, crash):
    queue = make_queue("q")
    payments = tmp_path / "payments"
    probe = make_probe("w-1")
    queue.wait_workers(1)
    queue.add({"type": "pay", "id": "p", "payload": {"file": str(payments), "crash": crash}})
    probe.process.wait(harness.DEADLINE)
    make_probe("w-2", config={"jobs_file": str(probe.jobs_file)})
    queue.wait_state("p", "completed", deadline=30)
    assert payments.read_text().count("paid p ") == 1
