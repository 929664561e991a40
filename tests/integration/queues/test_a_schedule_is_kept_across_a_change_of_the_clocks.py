"""Jobs by cron in a time zone [job-15]: once for each time that is due, also across daylight saving and a killed manager, and not while the
last one is live."""
import calendar
import glob
import os
import time

import harness
import pytest

LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
pytestmark = [pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime (Debian's package faketime)"),
              pytest.mark.skipif(b"__asan_init" in (harness.BIN / "reeve-manager").read_bytes(), reason="two preloaded libraries")]
ZONE = "Europe/Berlin"


class Clock:
    """The wall clock of the manager; its monotonic clock is the real one."""

    def __init__(self, path):
        self.path = path
        self.offset = 0

    @property
    def env(self):
        return {"LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def set(self, text):
        """Make it now this time of UTC."""
        self.offset = calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S")) - int(time.time())
        temporary = self.path.with_suffix(".new")
        temporary.write_text(f"{self.offset:+d}\n")
        os.rename(temporary, self.path)


@pytest.fixture
def clock(tmp_path):
    clock = Clock(tmp_path / "clock")
    clock.set("2026-10-24 12:00:00")
    return clock


@pytest.fixture
def manager(make_manager, clock):
    return make_manager(log_level="info", env=clock.env)


def at(text):
    """A job's id says when it was due."""
    return f"nightly-{calendar.timegm(time.strptime(text, '%Y-%m-%d %H:%M:%S')) * 1000}"


def ids(queue):
    return sorted(row["job"] for row in queue.rows())


def wait_ids(queue, *expected):
    harness.wait_until(lambda: ids(queue) == sorted(expected), 30, f"{sorted(expected)}, last {ids(queue)}", 0.1)


def nightly(make_queue, **more):
    return make_queue("q", schedules=[{"name": "nightly", "cron": "30 2 * * *", "time_zone": ZONE, "job": {"type": "echo"}, **more}])


def test_a_time_that_comes_twice_is_due_once_also_with_the_manager_killed_between(make_queue, clock, manager):
    """In the night of 25 October 02:30 is at 00:30 UTC and, after the clocks went back, again at 01:30 UTC."""
    queue = nightly(make_queue, overlap="allow")
    clock.set("2026-10-25 00:29:58")
    wait_ids(queue, at("2026-10-25 00:30:00"))
    manager.kill()
    clock.set("2026-10-25 01:29:58")
    manager.start()
    clock.set("2026-10-25 01:35:00")
    clock.set("2026-10-26 01:29:58")  # the next night, by winter time
    wait_ids(queue, at("2026-10-25 00:30:00"), at("2026-10-26 01:30:00"))


def test_a_time_that_the_clocks_skip_is_due_once_after_the_gap(make_queue, clock, manager):
    """On 29 March 02:00 is 03:00: there is no 02:30."""
    clock.set("2026-03-28 12:00:00")
    manager.kill()
    manager.start()
    queue = nightly(make_queue, overlap="allow")
    clock.set("2026-03-29 00:59:58")
    wait_ids(queue, at("2026-03-29 01:00:00"))
    clock.set("2026-03-30 00:29:58")
    wait_ids(queue, at("2026-03-29 01:00:00"), at("2026-03-30 00:30:00"))


def test_while_the_last_one_is_live_the_next_is_skipped_also_across_a_killed_manager(make_queue, clock, manager):
    queue = nightly(make_queue)
    clock.set("2026-10-25 00:29:58")
    wait_ids(queue, at("2026-10-25 00:30:00"))
    manager.kill()
    manager.start()
    clock.set("2026-10-26 01:29:58")
    seen = queue.status()["at"]
    queue.wait_status(lambda s: s["at"] - seen > 86_400_000)  # it has looked at its schedules since
    clock.set("2026-10-26 12:00:00")
    queue.wait_status(lambda s: s["at"] - seen > 86_400_000 + 3_600_000)
    assert ids(queue) == [at("2026-10-25 00:30:00")]
    queue.op("cancel", {"ids": ids(queue)})
    clock.set("2026-10-27 01:29:58")
    wait_ids(queue, at("2026-10-25 00:30:00"), at("2026-10-27 01:30:00"))


def test_what_was_due_while_no_manager_ran_is_made_up_for_once(make_queue, clock, manager):
    queue = nightly(make_queue, overlap="allow", missed="once")
    queue.op("describe")
    manager.kill()
    clock.set("2026-10-28 12:00:00")  # four nights later
    manager.start()
    harness.wait_until(lambda: len(ids(queue)) == 1, 30, f"one job, last {ids(queue)}", 0.1)
    queue.op("describe")
    assert len(ids(queue)) == 1
