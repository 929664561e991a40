"""A job's id is its identity [job-10] [job-11]: given twice, at once, after its end and after a restart of the manager it is done once and
answered the same; with another body it is refused."""
import threading

import pytest
import queues
from checker import Limits


@pytest.fixture
def queue(make_queue):
    return make_queue("q")


def test_twice_is_once_and_the_answer_says_so(queue, make_worker):
    worker = make_worker()
    job = {"id": "pay-1", "type": "echo", "payload": {"value": 1}}
    first = queue.add(job)
    assert (first["accepted"], first["duplicates"], first["ids"], first["durability"]) == (1, 0, ["pay-1"], "commit")
    again = queue.add(job)
    assert (again["accepted"], again["duplicates"], again["ids"]) == (0, 1, ["pay-1"])
    assert again["others"][0]["outcome"] == "duplicate" and again["others"][0]["index"] == 0
    queue.wait_state("pay-1", "completed")
    assert queue.add(job)["others"][0]["state"] == "completed"
    queue.check(worker.lines())
    assert len(queues.starts(worker.lines())) == 1


def test_eight_at_once_are_one(queue, make_worker):
    worker = make_worker(queues={"q": 4})
    producers = [queue.producer() for _ in range(8)]
    results, barrier = [], threading.Barrier(len(producers))

    def give(producer):
        barrier.wait()
        for n in range(20):
            results.append(producer.enqueue_many("q", [{"id": f"same-{n}", "type": "echo", "payload": {"value": n}}]))
    threads = [threading.Thread(target=give, args=(producer,)) for producer in producers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160
    assert sum(result["accepted"] for result in results) == 20 and sum(result["duplicates"] for result in results) == 140
    queue.acknowledged += [{"queue": "q", "job": f"same-{n}"} for n in range(20)]
    queue.settle()
    queue.check(worker.lines())
    assert len(queues.starts(worker.lines())) == 20


def test_after_its_end_and_a_killed_manager_it_is_still_known(queue, manager, make_worker):
    worker = make_worker()
    done, held = {"id": "done", "type": "echo", "payload": {"value": 1}}, {"id": "held", "type": "hold"}
    queue.add(done, held)
    queue.wait_state("done", "completed")
    worker.wait_line("start", "held")
    manager.kill()
    manager.start()
    again = queue.add(done, held)
    assert again["duplicates"] == 2 and {other["state"] for other in again["others"]} <= {"completed", "active", "waiting"}
    assert queue.show("done")["result"] == {"attempt": 1, "value": 1}
    queue.op("cancel", {"ids": ["held"]})
    queue.settle()
    queue.check(worker.lines(), Limits(outcomes=("completed", "cancelled")))


def test_another_body_is_refused_and_changes_nothing(queue, make_worker):
    worker = make_worker()
    queue.add({"id": "pay-1", "type": "echo", "payload": {"value": 1}})
    for other in ({"type": "echo", "payload": {"value": 2}}, {"type": "sleep", "payload": {"value": 1}},
                  {"type": "echo", "payload": {"value": 1}, "key": "k"}):
        queue.refused("enqueue", {"jobs": [{"id": "pay-1", **other}]}, "conflict")
    mixed = queue.op("enqueue", {"jobs": [{"id": "pay-1", "type": "sleep"}, {"id": "pay-2", "type": "echo"}]})
    assert (mixed["accepted"], mixed["rejected"], mixed["others"][0]["code"]) == (1, 1, "conflict")
    queue.settle()
    assert queue.show("pay-1")["result"]["value"] == 1
    assert len(queues.starts(worker.lines(), "pay-1")) == 1


def test_a_command_that_is_repeated_adds_nothing_also_without_ids(queue, manager):
    jobs = {"jobs": [{"type": "echo", "payload": {"value": n}} for n in range(3)]}
    first = queue.op("enqueue", jobs, command_id="batch-1")
    assert first["ids"] == ["batch-1-0", "batch-1-1", "batch-1-2"]
    queue.steer.replies.pop("batch-1")
    assert queue.op("enqueue", jobs, command_id="batch-1")["ids"] == first["ids"]
    queue.steer.replies.pop("batch-1")
    manager.kill()
    manager.start()
    assert queue.op("enqueue", jobs, command_id="batch-1")["duplicates"] == 3
    assert queue.live() == 3
    assert queue.op("enqueue", {"type": "echo"}, command_id="single")["ids"] == ["single"]


def test_an_id_outlives_its_result(make_queue, make_worker):
    queue = make_queue("q", keep_completed={"age": "1s", "count": 1})
    worker = make_worker()
    jobs = [{"id": f"j{n}", "type": "echo"} for n in range(5)]
    queue.add(*jobs)
    queue.settle()
    queues.harness.wait_until(lambda: not queue.rows(), what="results to go")
    assert queue.add(*jobs)["duplicates"] == 5
    queue.refused("enqueue", {"jobs": [{"id": "j1", "type": "sleep"}]}, "conflict")
    assert len(queues.starts(worker.lines())) == 5
