"""A worker is killed with jobs in hand, or its machine loses its power: the jobs run elsewhere. How soon is printed, not asserted."""

import harness
import network
import pytest
import queues
from checker import Limits

KILLS = {"probe": 50, "python": 20}
LEASE_S = 3


def in_hand(lines, worker, pid):
    """{job: attempt} that this process has begun and not ended."""
    mine = [line for line in lines if line["worker"].endswith(f"/{worker}") and line["pid"] == pid]
    ended = {(line["job"], line["attempt"]) for line in mine if line["event"] == "end"}
    return {line["job"]: line["attempt"] for line in queues.starts(mine) if (line["job"], line["attempt"]) not in ended}


def first_elsewhere(worker, jobs):
    """The first line that says that one of them was begun anew."""
    def seen():
        return next((line for line in queues.starts(worker.lines()) if line["attempt"] > jobs.get(line["job"], 1 << 60)), None)
    return harness.wait_until(seen, what=f"one of {jobs} to begin elsewhere", interval=0.01)


@queues.both
def test_the_jobs_of_a_killed_worker_begin_elsewhere(make_queue, make_worker, names, kind):
    queue = make_queue("q", poison_after=1000, lease="15s")
    workers = [make_worker(f"w-{n}", queues={"q": 12}, prefetch=0) for n in range(3)]
    queue.add(*({"id": f"h{n}", "type": "hold"} for n in range(12)))
    workers[0].wait_line("start", count=12)
    took = []
    for _ in range(1 + KILLS[kind]):
        queue.wait_workers(3)
        lines = workers[0].lines()
        victim = max(workers, key=lambda worker: len(in_hand(lines, worker.name, worker.process.pid)))
        jobs = in_hand(lines, victim.name, victim.process.pid)
        assert jobs
        queue.dead(f"{names[0]}/{victim.name}", victim.process.pid)
        at = victim.kill_at()
        took.append(first_elsewhere(victim, jobs)["at"] - at)
        victim.start()
    del took[0]  # verdicts are held for a while after the manager's start [session-9]
    p50, p99, highest = queues.spread(took)
    queues.report("worker killed, first of its jobs begins elsewhere", workers=kind, kills=len(took), p50_ms=p50, p99_ms=p99, max_ms=highest)
    queue.op("cancel", {"filter": {"state": "active"}})
    queue.settle()
    queue.check(workers[0].lines(), Limits(outcomes=("cancelled",)))


@pytest.fixture
def space(broker):
    """A network of its own, with a link to the broker."""
    space = network.Namespace()
    network.listen_also(broker, space.host)
    yield space
    space.close()


@network.needs_namespaces
def test_the_jobs_of_a_node_without_power_begin_elsewhere_within_the_lease(space, broker, make_queue, make_worker, names):
    """All its processes die at once, no will is sent and nothing closes a socket: only silence tells."""
    queue = make_queue("q", lease=f"{LEASE_S}s")
    far = make_worker("far", queues={"q": 4}, prefetch=0, url=space.url(broker), wrapper=space.wrapper)
    queue.add(*({"id": f"h{n}", "type": "hold"} for n in range(4)))
    far.wait_line("start", count=4)
    near = make_worker("near", queues={"q": 8}, prefetch=0)
    queue.add({"id": "e", "type": "echo"})
    queue.wait_state("e", "completed")
    jobs = in_hand(far.lines(), "far", far.process.pid)
    space.drop()
    queue.dead(f"{names[0]}/far", far.process.pid)
    at = far.kill_at()
    took = first_elsewhere(near, jobs)["at"] - at
    queues.report("power cut, first of its jobs begins elsewhere", lease_s=LEASE_S, s=round(took, 2))
    assert took < 10, "by the lease; the broker would have noticed after 15 s"
    queue.op("cancel", {"filter": {"state": "active"}})
    queue.settle()
    queue.check(near.lines(), Limits(outcomes=("cancelled", "completed")))


@queues.both
@network.needs_namespaces
def test_a_worker_that_is_cut_off_lets_go_before_its_jobs_begin_elsewhere(space, broker, make_queue, make_worker):
    """It lives, and can't know what became of its jobs: its own lease ends first, so no two ever run [job-14]."""
    queue = make_queue("q", lease=f"{LEASE_S}s")
    far = make_worker("far", queues={"q": 4}, prefetch=0, url=space.url(broker), wrapper=space.wrapper)
    queue.add(*({"id": f"h{n}", "type": "hold", "key": f"k{n}", "payload": {"key": f"k{n}"}} for n in range(4)))
    far.wait_line("start", count=4)
    near = make_worker("near", queues={"q": 8}, prefetch=0)
    queue.add({"id": "e", "type": "echo"})
    queue.wait_state("e", "completed")
    space.drop()
    harness.wait_until(lambda: len([line for line in queues.starts(near.lines()) if line["worker"].endswith("/near")
                                    and line["attempt"] == 2]) == 4, what="all begin elsewhere")
    space.heal()
    queue.add({"id": "e2", "type": "echo"})
    queue.wait_state("e2", "completed")
    queue.op("cancel", {"filter": {"state": "active"}})
    queue.settle()
    lines = near.lines()
    assert {line.get("reason") for line in lines if line["event"] == "end" and line["worker"].endswith("/far")} <= {"lease", None}
    queue.check(lines, Limits(outcomes=("cancelled", "completed")))


@queues.both
def test_a_worker_that_leaves_in_order_hands_back_what_it_has_not_begun(make_queue, make_worker):
    queue = make_queue("q", attempts=1)
    first = make_worker("w-1", queues={"q": 1}, prefetch=5)
    queue.add({"id": "s", "type": "sleep", "payload": {"ms": 800}}, *({"id": f"e{n}", "type": "echo"} for n in range(4)))
    first.wait_line("start", "s")
    second = make_worker("w-2", queues={"q": 1})
    first.process.terminate()
    assert first.process.wait(harness.DEADLINE) == 0
    queue.settle()
    lines = second.lines()
    assert queue.show("s")["attempt"] == 1 and {line["worker"].rpartition("/")[2] for line in queues.starts(lines, "s")} == {"w-1"}
    queue.check(lines)


@queues.both
def test_a_worker_without_a_daemon_that_loses_its_connection_again_and_again_poisons_nothing(broker, make_queue, make_worker):
    """A session that ends is no process that died with the job in hand [job-6]."""
    proxy = network.Proxy(broker.port)
    try:
        queue = make_queue("q", poison_after=2, attempts=2)
        worker = make_worker("far", url=proxy.url)
        queue.add({"id": "h", "type": "hold"})
        for n in range(1, 5):
            worker.wait_line("start", "h")
            seen = proxy.accepted
            proxy.reset()
            harness.wait_until(lambda: proxy.accepted > seen, what="a new session")
            queue.add({"id": f"e{n}", "type": "echo"})
            queue.wait_state(f"e{n}", "completed")
            assert queue.show("h")["state"] in ("active", "waiting"), queue.show("h")
        queue.op("cancel", {"ids": ["h"]})
        queue.settle()
    finally:
        proxy.close()


