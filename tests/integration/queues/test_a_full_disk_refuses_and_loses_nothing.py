"""The manager's disk is full: enqueue is refused with the reason, nothing acknowledged is lost, what workers say is kept by them, and with room
everything goes on by itself."""
import subprocess

import harness
import pytest
import queues


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "reeve-test", path], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def manager(small_disk, make_manager):
    return make_manager(state_dir=small_disk / "state")


def fill(disk):
    filler = disk / "filler"
    with open(filler, "ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return filler


def add_until_refused(queue, first=0):
    """Jobs of 4 KiB, ten a time, until a batch is not taken whole; the refusal."""
    for n in range(first, first + 20000, 10):
        jobs = [{"id": f"j{i}", "type": "sleep", "payload": {"ms": 0, "pad": "x" * 4096}} for i in range(n, n + 10)]
        reply = queue.steer.queue(queue.name, "enqueue", {"jobs": jobs}, phase=None, deadline=30)
        if reply["phase"] != "done":
            return reply
        assert not reply["result"]["rejected"], reply
        queue.note(reply["result"], jobs)
    raise AssertionError("the disk does not get full")


def test_what_does_not_fit_is_refused_with_the_reason_and_the_rest_is_done(make_queue, make_worker, small_disk, manager):
    queue = make_queue("q", keep_completed={"age": "1s"})
    queue.op("pause")
    others = small_disk / "others"  # what somebody else has there, and will remove
    others.write_bytes(b"x" * (4 << 20))
    refusal = add_until_refused(queue)
    assert refusal["code"] == "io" and "disk" in refusal["message"], refusal
    assert len(queue.acknowledged) > 100
    filler = fill(small_disk)
    queue.refused("enqueue", {"type": "echo", "id": "late"}, "io", "disk", phase=None)
    for one in queue.acknowledged[::97]:
        assert queue.show(one["job"])["state"] == "waiting"
    filler.unlink()
    others.unlink()
    worker = make_worker(queues={"q": 4})
    harness.wait_until(lambda: queue.steer.queue("q", "resume", phase=None)["phase"] == "done", what="resume")
    queue.settle()
    done = {line["job"] for line in worker.lines() if line["event"] == "end" and line["outcome"] == "done"}
    assert {one["job"] for one in queue.acknowledged} <= done and "late" not in done
    harness.wait_until(lambda: queue.steer.queue("q", "enqueue", {"id": "late", "type": "echo"}, phase=None)["phase"] == "done",
                       what="room for another one, when what was kept of the others is gone", interval=0.1)
    queue.wait_state("late", "completed")


@queues.both
@pytest.mark.parametrize("killed", [False, True], ids=["", "manager-killed"])
def test_ends_that_can_not_be_written_are_kept_by_the_worker_and_written_with_room(make_queue, make_worker, small_disk, manager, killed):
    queue = make_queue("q", lease="15s")
    worker = make_worker(queues={"q": 8})
    queue.add(*({"id": f"s{n}", "type": "sleep", "payload": {"ms": 700}} for n in range(6)))
    worker.wait_line("start", count=6)
    filler = fill(small_disk)
    worker.wait_line("end", count=6)
    # Some may have found room in a page of their own; then there is none to be held back, and nothing to be seen here.
    queue.refused("enqueue", {"jobs": [{"id": f"big{n}", "type": "echo", "payload": "x" * 4096} for n in range(20)]}, "io", "disk", phase=None)
    if killed:
        manager.kill()
        manager.start(ready=False)
    filler.unlink()
    queue.settle()
    queue.check(worker.lines())
    assert len(queues.starts(worker.lines())) == 6, "each once: what was done is not done again"
