"""Cancel [job-16]: what waits ends at once, what runs is told and has its grace, what has ended or must be reconciled stays as it is. And the
other ends: dead letters, retry, time-outs, poison, removal."""
import pathlib

import pytest
import queues
from checker import Limits

CANCELLED = Limits(outcomes=("cancelled", "completed"))


@pytest.fixture
def queue(make_queue):
    return make_queue("q", cancel_grace="500ms")


def cancel(queue, *ids, **options):
    return queue.op("cancel", {"ids": list(ids)}, **options)


def test_what_waits_for_whatever_ends_at_once_and_is_never_begun(queue, make_worker):
    queue.add({"id": "waits", "type": "nobody-does-this"}, {"id": "delayed", "type": "echo", "delay_ms": 60000},
              {"id": "first", "type": "nobody-does-this", "key": "k"}, {"id": "second", "type": "echo", "key": "k"},
              {"id": "after", "type": "echo", "after": ["first"]})
    ids = ("waits", "delayed", "second", "after")
    cancel(queue, *ids)
    assert {queue.show(id)["state"] for id in ids} == {"cancelled"}
    worker = make_worker()
    queue.add({"id": "done", "type": "echo"})
    queue.wait_state("done", "completed")
    assert {line["job"] for line in queues.starts(worker.lines())} == {"done"}
    cancel(queue, "first")
    queue.settle()
    queue.check(worker.lines(), CANCELLED)


@queues.both
def test_what_runs_is_told_and_ends_as_cancelled(queue, make_worker):
    worker = make_worker()
    queue.add({"id": "h", "type": "hold"})
    worker.wait_line("start", "h")
    cancel(queue, "h")
    assert queue.wait_state("h", "cancelled")["attempt"] == 1
    assert any(line.get("reason") == "cancelled" for line in worker.lines())


@queues.both
def test_what_does_not_listen_is_cancelled_when_its_grace_is_over(queue, make_worker):
    worker = make_worker()
    queue.add({"id": "h", "type": "hold", "payload": {"stubborn": 4}})
    worker.wait_line("start", "h")
    cancel(queue, "h")
    queue.wait_state("h", "cancelled")
    assert not [line for line in worker.lines() if line["event"] == "end"]


def test_what_it_reports_first_counts(queue, make_worker):
    """Done within its grace is done."""
    worker = make_worker()
    queue.add({"id": "s", "type": "busy", "payload": {"ms": 200}})
    worker.wait_line("start", "s")
    cancel(queue, "s")
    assert queue.wait_state("s", "completed", "cancelled")["state"] == "completed"


@queues.both
def test_a_cancel_survives_the_manager_and_the_worker(queue, make_worker, manager):
    worker = make_worker()
    queue.add({"id": "h", "type": "hold", "payload": {"stubborn": 60}})
    worker.wait_line("start", "h")
    cancel(queue, "h")
    worker.kill()
    manager.kill()
    manager.start()
    worker.start()
    queue.settle()
    assert queue.show("h")["state"] == "cancelled" and len(queues.starts(worker.lines())) == 1


def test_what_has_ended_stays_as_it_is(queue, make_worker):
    make_worker()
    queue.add({"id": "e", "type": "echo"}, {"id": "f", "type": "fail", "payload": {"for_good": True}})
    queue.wait_state("e", "completed")
    queue.wait_state("f", "failed")
    cancel(queue, "e", "f", "never-heard-of", phase=None)
    assert (queue.show("e")["state"], queue.show("f")["state"]) == ("completed", "failed")


@queues.both
def test_a_dead_letter_keeps_its_reason_and_is_retried_when_somebody_says_so(queue, make_worker):
    worker = make_worker()
    queue.add({"id": "f", "type": "fail", "attempts": 2, "payload": {"times": 2, "delay_ms": 1, "error": "no such host"}},
              {"id": "g", "type": "fail", "payload": {"for_good": True, "error": "no such account"}})
    assert "no such host" in queue.wait_state("f", "failed")["error"]
    queue.wait_state("g", "failed")
    queue.op("retry", {"filter": {"error": "no such host", "state": "failed"}})
    assert queue.wait_state("f", "completed")["attempt"] == 3
    assert queue.show("g")["state"] == "failed"
    assert [line["attempt"] for line in queues.starts(worker.lines(), "f")] == [1, 2, 3]


@queues.both
def test_an_attempt_out_of_time_is_a_failed_one(queue, make_worker):
    worker = make_worker()
    queue.add({"id": "h", "type": "hold", "timeout_ms": 200, "attempts": 2, "backoff": {"kind": "fixed", "delay_ms": 10}})
    assert "time" in queue.wait_state("h", "failed")["error"]
    assert len(queues.starts(worker.lines())) == 2


def test_a_job_that_kills_its_worker_three_times_is_poison_and_others_go_on(queue, make_node, names, tmp_path):
    jobs_file = tmp_path / "jobs.jsonl"
    make_node(names[0], workers=[{
        "name": "py", "type": "journal", "command": ["/usr/bin/python3", "-B", str(pathlib.Path(__file__).parent / "journal_worker.py")],
        "ready": {"mode": "notify"}, "restart": {"policy": "always", "initial": "50ms", "max": "100ms", "limit": 0},
        "config": {"queues": {"q": 1}, "prefetch": 0, "jobs_file": str(jobs_file)}}])
    queue.add({"id": "x", "type": "exit", "attempts": 50, "payload": {"attempts": 50}}, {"id": "e", "type": "echo"})
    failed = queue.wait_state("x", "failed", deadline=30)
    assert failed["attempt"] == 3 and failed["error"]
    queue.wait_state("e", "completed")


def test_what_is_removed_is_gone_and_its_id_is_known(queue, make_worker):
    make_worker()
    job = {"id": "e", "type": "echo"}
    queue.add(job)
    queue.settle()
    queue.op("remove", {"ids": ["e"]})
    assert not queue.rows()
    assert queue.add(job)["duplicates"] == 1


def test_what_ended_is_kept_as_long_as_said(make_queue, make_worker):
    by_count, by_age = make_queue("few", keep_completed={"count": 5}), make_queue("short", keep_completed={"age": "1s"})
    make_worker(queues={"few": 4, "short": 4})
    for queue in (by_count, by_age):
        queue.add(*({"id": f"j{n}", "type": "echo"} for n in range(30)))
        queue.settle()
    queues.harness.wait_until(lambda: (len(by_count.rows()), len(by_age.rows())) == (5, 0), what="5 and none to be left")
    by_count.wait_status(lambda s: s["completed"] == 5)
    assert sorted(row["job"] for row in by_count.rows()) == [f"j{n}" for n in range(25, 30)], "the newest"
