"""What must not happen twice [job-7]: from no_return on a lost job is `unknown`, given only to who reconciles it, and ends by their word."""
import pytest
import queues


@pytest.fixture
def queue(make_queue):
    return make_queue("q", backoff={"kind": "fixed", "delay": "50ms"})


def paid(lines, job):
    return sum(line["event"] == "paid" and line["job"] == job for line in lines)


def again_after_death(worker):
    worker.process.wait(queues.harness.DEADLINE)
    worker.start()


@queues.both
def test_paid_and_killed_is_found_paid_and_not_paid_again(queue, make_worker):
    worker = make_worker()
    queue.add({"id": "p", "type": "pay", "payload": {"crash": "after"}})
    again_after_death(worker)
    queue.settle()
    lines = worker.lines()
    assert paid(lines, "p") == 1 and queue.show("p")["state"] == "completed"
    assert [line["reconcile"] for line in queues.starts(lines)] == [False, True]
    queue.check(lines)


@queues.both
def test_killed_before_paying_it_is_not_done_and_becomes_an_ordinary_job_again(queue, make_worker):
    worker = make_worker()
    queue.add({"id": "p", "type": "pay", "payload": {"crash": "before"}})
    again_after_death(worker)
    queue.settle()
    lines = worker.lines()
    assert paid(lines, "p") == 1
    assert [line["reconcile"] for line in queues.starts(lines)] == [False, True, False]
    queue.check(lines)


def test_killed_before_the_point_of_no_return_it_is_an_ordinary_job(queue, make_worker):
    worker = make_worker()
    queue.add({"id": "p", "type": "pay", "payload": {"crash": "at once"}})
    again_after_death(worker)
    queue.settle()
    assert [line["reconcile"] for line in queues.starts(worker.lines())] == [False, False]
    assert paid(worker.lines(), "p") == 1
    queue.check(worker.lines())


@queues.both
def test_who_can_not_tell_yet_is_asked_again_and_it_stays_unknown(queue, make_worker):
    worker = make_worker()
    queue.add({"id": "p", "type": "pay", "payload": {"crash": "after", "ask_again": 4}})
    again_after_death(worker)
    queue.settle()
    lines = worker.lines()
    assert [line["reconcile"] for line in queues.starts(lines)] == [False, True, True, True]
    assert paid(lines, "p") == 1 and queue.show("p")["attempt"] == 4
    queue.check(lines)


@pytest.mark.parametrize("restart", [False, True], ids=["", "with-the-manager-killed"])
def test_only_who_reconciles_its_type_gets_it_and_it_can_not_be_cancelled(queue, make_worker, manager, restart):
    worker = make_worker()
    queue.add({"id": "p", "type": "pay", "payload": {"crash": "after"}})
    worker.process.wait(queues.harness.DEADLINE)
    other = make_worker("w-2", reconciles=False)
    queue.wait_state("p", "unknown")
    if restart:
        manager.kill()
        manager.start()
    assert queue.show("p")["state"] == "unknown"
    assert "reconcil" in str(queue.op("explain", {"id": "p"})).lower()
    queue.op("cancel", {"ids": ["p"]}, phase=None)
    queue.add({"id": "e", "type": "echo"})
    queue.wait_state("e", "completed")  # the other one works, and did not get it
    assert queue.show("p")["state"] == "unknown" and len(queues.starts(other.lines(), "p")) == 1
    worker.start()
    queue.settle()
    assert paid(worker.lines(), "p") == 1
    queue.check(worker.lines())
