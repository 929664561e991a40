"""Of a queue's spec and ops what the other files do not look at: durability, drain, requirements, records and events of jobs, progress and logs,
bulk operations by filter."""
import harness
import pytest
import queues


@queues.both
def test_a_queue_in_memory_says_so_in_every_reply_and_forgets_with_its_manager(make_queue, make_worker, manager):
    queue = make_queue("fast", durability="memory")
    worker = make_worker(queues={"fast": 2})
    assert queue.add({"id": "a", "type": "echo", "payload": {"value": 1}})["durability"] == "memory"
    assert queue.wait_state("a", "completed")["durability"] == "memory"
    assert queue.wait_status(lambda s: s["completed"] == 1)["durability"] == "memory"
    queue.op("pause")
    queue.add({"id": "b", "type": "echo"})
    manager.kill()
    manager.start()
    queue.op("resume")
    assert queue.add({"id": "a", "type": "echo", "payload": {"value": 1}})["accepted"] == 1, "its id went with it"
    queue.wait_state("a", "completed")
    queue.refused("show", {"id": "b"}, "not_found", phase=None)
    assert len(queues.starts(worker.lines(), "a")) == 2


def test_a_drained_queue_takes_nothing_new_and_finishes_what_it_has(make_queue, make_worker):
    queue = make_queue("q")
    queue.add(*({"id": f"j{n}", "type": "echo"} for n in range(5)))
    queue.op("drain")
    queue.refused("enqueue", {"id": "late", "type": "echo"})
    make_worker()
    queue.settle()
    assert {row["job"] for row in queue.rows()} == {f"j{n}" for n in range(5)}
    queue.op("resume")
    queue.add({"id": "late", "type": "echo"})
    queue.wait_state("late", "completed")


def test_a_job_goes_to_who_has_what_it_requires_and_says_why_it_waits(make_queue, make_worker, steer):
    queue = make_queue("q", unmatched_alarm="1s")
    worker = make_worker()
    queue.add({"id": "no", "type": "echo", "requires": ["type=no-such-type"]}, {"id": "gone", "type": "nobody-does-this"},
              {"id": "yes", "type": "echo", "requires": ["type=journal"]})
    queue.wait_state("yes", "completed")
    assert queue.show("no")["state"] == "waiting" and len(queues.starts(worker.lines())) == 1
    for job in ("no", "gone"):
        assert queue.op("explain", {"id": job})["why"]
    alarm = harness.wait_until(lambda: next((topic for topic, record in steer.records.items() if topic.startswith("alarm/") and record
                                             and "q" in topic.split("/")[-1]), None), 15, f"an alarm; {list(steer.records)}")
    queue.op("cancel", {"ids": ["no", "gone"]})
    steer.wait_record(alarm, lambda record: record is None)


def test_records_and_events_of_jobs_where_a_queue_asks_for_them(make_queue, make_worker, steer):
    queue = make_queue("q", job_records=True, events="all")
    worker = make_worker()
    queue.add({"id": "s", "type": "steps", "payload": {"steps": 25, "ms": 100}}, {"id": "f", "type": "fail", "payload": {"for_good": True}})
    steer.wait_record("job/q/s", lambda r: r and r["state"] == "active" and r.get("progress", 0) > 0)
    steer.wait_record("job/q/s", lambda r: r and r["state"] == "completed")
    steer.wait_record("job/q/f", lambda r: r and r["state"] == "failed")

    def told(job):
        return {change["state"] for event in steer.pool_events.get("q", ()) for change in event["changes"] if change["id"] == job}
    steer.wait(lambda: {"active", "completed"} <= told("s") and "failed" in told("f"), what="events")
    queue.check(worker.lines(), queues.Limits(outcomes=("completed", "failed")))


@pytest.mark.parametrize("kind", ["probe"], indirect=True)
def test_progress_and_lines_are_kept_with_the_job(make_queue, make_worker):
    queue = make_queue("q")
    make_worker()
    queue.add({"id": "l", "type": "log", "payload": {"line": "read page", "lines": 150}}, {"id": "s", "type": "steps", "payload": {
        "steps": 50, "ms": 30}})
    harness.wait_until(lambda: queue.show("s").get("progress", 0) > 0, what="progress of a running job")
    queue.wait_state("l", "completed")
    lines = [line["text"] for line in queue.op("logs", {"id": "l"})["lines"]]
    assert len(lines) == 100 and lines[-1] == "read page 150", lines[-3:]
    queue.settle()


def test_many_are_found_and_steered_by_a_filter(make_queue, make_worker):
    queue = make_queue("q")
    make_worker(queues={"q": 4})
    queue.add(*({"id": f"a{n}", "type": "fail", "payload": {"for_good": True, "error": "no route"}} for n in range(5)),
              *({"id": f"b{n}", "type": "fail", "payload": {"for_good": True, "error": "no money"}} for n in range(5)),
              *({"id": f"c{n}", "type": "nobody-does-this", "key": f"k{n % 2}"} for n in range(6)))
    queue.wait_status(lambda s: s["failed"] == 10)
    listed = queue.op("list", {"state": "failed", "error": "no route"})
    assert {job["id"] for job in listed["jobs"]} == {f"a{n}" for n in range(5)}
    queue.op("remove", {"filter": {"state": "failed", "error": "no money"}})
    assert {row["job"][0] for row in queue.rows()} == {"a", "c"}
    queue.op("cancel", {"filter": {"key": "k1"}})
    assert {row["job"] for row in queue.rows() if row["state"] == "cancelled"} == {"c1", "c3", "c5"}
    queue.op("cancel", {"filter": {"type": "nobody-does-this", "state": "waiting"}})
    queue.settle()
