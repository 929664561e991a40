"""Manager, broker or the way between them is gone for a while and comes back: jobs that are in hand go on, are ended once, and nothing is
done twice for it. What was gone for longer than the lease costs an attempt, never a job."""
import signal

import harness
import msgpack
import network
import pytest
import queues
from checker import Limits

N = 6


@pytest.fixture
def queue(make_queue):
    return make_queue("q", lease="15s")


def hold(queue, worker):
    queue.add(*({"id": f"s{n}", "type": "sleep", "payload": {"ms": 1500}} for n in range(N)))
    worker.wait_line("start", count=N)


def settled(queue, worker):
    """All done, each in its first attempt."""
    queue.settle()
    lines = worker.lines()
    assert len(queues.starts(lines)) == N, queues.starts(lines)
    queue.check(lines)


@queues.both
def test_a_broker_that_is_killed_costs_no_attempt(queue, make_worker, broker):
    worker = make_worker(queues={"q": N})
    hold(queue, worker)
    broker.process.kill()
    broker.process.wait()
    broker.start()
    settled(queue, worker)


@queues.both
def test_a_manager_that_is_killed_costs_no_attempt(queue, make_worker, manager):
    worker = make_worker(queues={"q": N})
    hold(queue, worker)
    manager.kill()
    manager.start()
    settled(queue, worker)


@queues.both
def test_ends_while_the_manager_is_away_are_told_when_it_is_back(queue, make_worker, manager):
    worker = make_worker(queues={"q": N})
    hold(queue, worker)
    manager.kill()
    worker.wait_line("end", count=N)
    manager.start()
    settled(queue, worker)


@queues.both
def test_a_session_that_is_cut_loses_no_job_and_one_end_of_each_counts(queue, make_worker, broker):
    """F25, F46: what was on its way is said again, and counts once."""
    proxy = network.Proxy(broker.port)
    try:
        worker = make_worker(queues={"q": N}, url=proxy.url)
        hold(queue, worker)
        for _ in range(3):
            seen = proxy.accepted
            proxy.reset()
            harness.wait_until(lambda: proxy.accepted > seen, what="a new session")
        queue.settle()
        lines = worker.lines()
        done = [line["job"] for line in lines if line["event"] == "end" and line["outcome"] == "done"]
        assert sorted(set(done)) == [f"s{n}" for n in range(N)]
        queue.check(lines, Limits(stale_start=5))
    finally:
        proxy.close()


@queues.both
def test_a_manager_that_stands_still_beyond_the_lease_takes_its_jobs_back_and_nobody_runs_twice(make_queue, make_worker, manager):
    """F11: the worker lets go first; what the manager believed when it woke up is put right by attempts."""
    queue = make_queue("q", lease="2s")
    worker = make_worker(queues={"q": N})
    queue.add(*({"id": f"h{n}", "type": "hold", "key": f"k{n}"} for n in range(N)))
    worker.wait_line("start", count=N)
    manager.process.send_signal(signal.SIGSTOP)
    harness.wait_until(lambda: sum(line["event"] == "end" for line in worker.lines()) == N, what="the worker to let go")
    manager.process.send_signal(signal.SIGCONT)
    harness.wait_until(lambda: sum(line["attempt"] == 2 for line in queues.starts(worker.lines())) == N, what="second attempts")
    queue.op("cancel", {"ids": [f"h{n}" for n in range(N)]})
    queue.settle()
    queue.check(worker.lines(), Limits(outcomes=("cancelled",)))


@queues.both
def test_everything_killed_at_once_loses_nothing_that_was_acknowledged(queue, make_worker, manager, broker, names):
    """F60, as far as a kill shows it: what was acknowledged was on disk."""
    worker = make_worker(queues={"q": 4}, prefetch=4)
    producer = queue.producer()
    for round_ in range(5):
        jobs = [{"id": f"r{round_}-{n}", "type": "sleep", "payload": {"ms": 5}} for n in range(100)]
        queue.note(producer.enqueue_send("q", jobs).wait(timeout=60, again=0.5)["result"], jobs)
        queue.dead(f"{names[0]}/{worker.name}", worker.process.pid)
        for process in (worker.process, manager.process, broker.process):
            process.kill()
        for process in (worker.process, manager.process, broker.process):
            process.wait()
        broker.start()
        manager.start(ready=False)
        worker.start()
    queue.settle()
    assert len(queue.acknowledged) == 500
    queue.check(worker.lines())


def test_what_a_former_manager_said_late_is_not_obeyed(queue, make_worker, broker, names):
    """F10, F46: a batch of a lower epoch, and one for a former session, change nothing."""
    worker = make_worker(queues={"q": N})
    hold(queue, worker)
    ghost, topic = broker.client("manager"), broker.topic(f"worker/{names[0]}/{worker.name}/job")
    epoch = queue.steer.record("manager/main/status")["epoch"]
    session = msgpack.unpackb(broker_status(broker, names[0], worker.name))["epoch"]
    notices = [{"id": f"s{n}", "attempt": 1, "reason": "fenced"} for n in range(N)]
    for manager_epoch, worker_epoch in ((epoch - 1, session), (epoch, session - 1)):
        ghost.publish(topic, msgpack.packb({"queue": "q", "manager_epoch": manager_epoch, "worker_epoch": worker_epoch, "lease_ms": 15000,
                                            "abandons": notices, "jobs": [{"id": "ghost", "attempt": 1, "type": "echo"}], "seq": 99}))
    settled(queue, worker)


def broker_status(broker, node, worker):
    client = broker.client("admin")
    client.subscribe(broker.topic(f"worker/{node}/{worker}/status"))
    return client.wait_for(lambda m: m.payload).payload


@queues.both
def test_a_batch_and_a_report_that_come_twice_count_once(queue, make_worker, broker, names):
    """F46: QoS 1 may deliver again; every message that passes is sent a second time by somebody else."""
    seen = broker.client("admin")
    echo = {"job": broker.client("manager"), "report": broker.client("worker")}
    repeated = set()

    def repeat(_mqtt, _data, message):
        if message.payload not in repeated:
            repeated.add(message.payload)
            echo[message.topic.rpartition("/")[2]].paho.publish(message.topic, message.payload, 1)
    seen.paho.on_message = repeat
    seen.subscribe(broker.topic("worker/+/+/job"), broker.topic("queue/q/report"))
    worker = make_worker(queues={"q": 8})
    queue.add(*({"id": f"j{n}", "type": "fail" if n % 3 == 0 else "echo", "payload": {"times": 1, "delay_ms": 1}} for n in range(300)))
    queue.settle()
    assert repeated
    queue.check(worker.lines())
    assert max(line["attempt"] for line in worker.lines()) == 2
