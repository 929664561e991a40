"""[lease-1..7]: without a manager's renewal a leased worker does not start, and does not go on; it comes back by itself with
the next one. What is no renewal for it (another fence, a beat that nobody sent, one of long ago) prolongs nothing."""
import os
import signal

import harness
import pytest

import nodes
from leases import Renewer, Timeline, boot_ms

WAITS = "waits for its lease from the manager"
ENDED = "lease ended: no renewal for 2s"


@pytest.fixture
def timeline(tmp_path):
    return Timeline(tmp_path / "timeline")


@pytest.fixture
def renewer(broker, node, kind):
    made = Renewer(broker, node.name, {"single": 1}, kind.version, on=False)
    yield made
    made.close()


def environment(pid):
    return dict(item.split("=", 1) for item in nodes.read_proc(pid, "environ").decode().split("\0") if "=" in item)


def test_it_starts_with_the_first_renewal_and_not_before(node, admin, renewer, timeline):
    """`apply` is done when the worker waits; state and reason are to be seen; the renewal starts it without a command."""
    reply = admin.apply(timeline.spec(after="2s", pool="swap", account="acme", attributes={"tier": "gold"}))
    assert reply["message"] == WAITS and reply["result"]["state"] == "stopped", reply
    waiting = admin.wait_process("single", lambda p: p and p.get("why") == WAITS)
    assert (waiting["state"], waiting["desired"], waiting["run"], waiting["failures"]) == ("stopped", "running", 0, 0), waiting
    assert (waiting["pool"], waiting["account"], waiting["attributes"], waiting["fence"]) == (
        "swap", "acme", {"tier": "gold"}, 1), waiting
    assert admin.do("single", "start")["message"] == WAITS
    assert not timeline.lives()
    renewer.on = True
    running = admin.wait_state("single", "running")
    assert running["restarts"] == 0 and running["failures"] == 0
    env = environment(running["pid"])
    assert (env["REEVE_POOL"], env["REEVE_ACCOUNT"], env["REEVE_FENCE"]) == ("swap", "acme", "1"), env
    assert admin.status()["heartbeat_ms"] <= 667


def test_it_ends_by_itself_and_comes_back_by_itself(node, admin, renewer, timeline):
    """The manager falls silent: within the lease the process is gone, nothing counts as a failure, and it stays wanted. A
    worker that does not end in order is killed by then. With the next renewal there is a new run."""
    renewer.on = True
    admin.apply(timeline.spec(after="2s", stubborn=True))
    first = admin.wait_state("single", "running")
    renewer.on = False
    ended = admin.wait_state("single", "stopped")
    life = timeline.lives()[0]
    assert life["last"] <= renewer.last_grant() + 2000, (life, renewer.granted[-1])
    assert life["asked"] is not None and life["last"] > life["asked"], "it was asked to end before it was killed"
    ended = admin.wait_process("single", lambda p: p and WAITS in p.get("why", ""))
    assert ended["why"] == f"{ENDED} · {WAITS}" and ended["exit"]["cause"] == "lease", ended
    assert (ended["desired"], ended["failures"], ended["restarts"]) == ("running", 0, 0), ended
    assert not node.processes("single")
    admin.wait_event("worker_state", worker="single", to="stopped", cause=ENDED)
    renewer.on = True
    again = admin.wait_state("single", "running", run=2)
    assert again["run"] == first["run"] + 1 and again["restarts"] == 0
    timeline.assert_never_two()


def test_renewals_keep_it_running_over_many_leases(node, admin, renewer, timeline):
    """Three leases long, with one status in two left unanswered: the same process."""
    admin.apply(timeline.spec(after="2s"))
    renewer.on = True
    before = admin.wait_state("single", "running")
    renewer.on = False
    answered, started = 0, boot_ms()
    beat = renewer.beats[-1]
    while boot_ms() < started + 6000:
        beat = renewer.wait_beat(beat)
        answered += 1
        if answered % 2 == 0:
            renewer.renew(beat)
    after = admin.process("single")
    assert (after["pid"], after["run"], after["state"]) == (before["pid"], before["run"], "running")
    assert timeline.lives()[0]["asked"] is None


def test_what_is_no_renewal_is_refused_by_name(node, admin, renewer, timeline):
    """Each worker by itself: one that is refused takes nothing from the others. Nothing of it is in the audit."""
    admin.apply(timeline.spec(after="2s", fence=7), timeline.spec("other", after="2s", fence=3),
                {"name": "free", "command": nodes.SLEEPER})
    beat = renewer.wait_beat()
    reply = renewer.answer(renewer.renew(beat, {"single": 6, "other": 3, "free": 0, "nobody": 1, "single2": "x"}))
    assert reply["phase"] == "done" and reply["result"]["renewed"] == 1, reply
    refused = reply["result"]["refused"]
    assert "fence 6 is below the spec's, 7" in refused["single"]
    assert "no self_stop_after" in refused["free"] and "no such worker" in refused["nobody"]
    admin.wait_state("other", "running")
    assert "fence 8 is above" in renewer.answer(renewer.renew(beat, {"single": 8}))["result"]["refused"]["single"]
    for wrong in (beat + 100000, beat - 100000, 1, 0, -1):
        said = renewer.answer(renewer.renew(wrong, {"single": 7}))["result"]
        assert said["renewed"] == 0 and "sent no such beat" in said["refused"]["single"], said
    for wrong in ("soon", None, 1.5):
        assert renewer.answer(renewer.renew(wrong))["phase"] == "rejected"
    harness.wait_until(lambda: boot_ms() > beat + 2000, what="that the lease of the beat is over")
    old = renewer.answer(renewer.renew(beat, {"single": 7}))["result"]
    assert old["renewed"] == 0 and "its lease is over" in old["refused"]["single"], old
    assert admin.process("single")["state"] == "stopped"
    noted = [entry["phase"] for entry in admin.history.get(f"audit/{node.name}", []) if entry.get("op") == "renew"]
    assert noted == ["rejected"] * 3, noted
    assert admin.describe()["counters"]["leases_refused"] >= 10


def test_a_fence_only_grows_and_takes_effect_with_the_next_run(node, admin, renewer, timeline):
    """Raised alone it restarts nothing; from then on the renewal has to name it, and the next run has it. A lower one is
    refused: it comes from somebody whose turn is over."""
    renewer.on = True
    admin.apply(timeline.spec(after="2s", fence=1, pool="a", labels={"x": "1"}))
    before = admin.wait_state("single", "running")
    reply = admin.apply(timeline.spec(after="2s", fence=5, pool="b", account="c", labels={"x": "2"}, attributes={"y": "3"}))
    assert reply["result"]["change"] == "changed", reply
    after = admin.wait_process("single", lambda p: p and p.get("fence") == 5)
    assert (after["pid"], after["run"], after["pool"]) == (before["pid"], before["run"], "b"), after
    admin.apply(timeline.spec(after="2s", fence=4), phase="rejected")
    renewer.leases = {"single": 5}
    admin.do("single", "restart")
    again = admin.wait_state("single", "running", run=2)
    assert environment(again["pid"])["REEVE_FENCE"] == "5"
    timeline.assert_never_two()


def test_a_crash_goes_by_the_policy_while_the_lease_holds(node, admin, renewer, timeline):
    renewer.on = True
    admin.apply(timeline.spec(after="4s", restart={"initial": "10ms"}))
    before = admin.wait_state("single", "running")
    os.kill(before["pid"], signal.SIGKILL)
    again = admin.wait_state("single", "running", run=2)
    assert again["restarts"] == 1 and again["exit"]["signal"] == "SIGKILL", again


def test_a_daemon_that_comes_back_takes_over_what_its_lease_still_lets_live(node, admin, renewer, timeline):
    """kill -9 of the daemon within the lease: the same process goes on. Longer than the lease: the shim has ended it, and
    the next daemon says so and waits."""
    renewer.on = True
    admin.apply(timeline.spec(after="4s"))
    before = admin.wait_state("single", "running")
    node.kill()
    node.start()
    after = admin.wait_process("single", lambda p: p["epoch"] > before["epoch"] and p["state"] == "running")
    assert (after["pid"], after["run"]) == (before["pid"], before["run"])
    renewer.wait_beat(renewer.beats[-1])
    node.kill()
    renewer.on = False
    harness.wait_until(lambda: not node.shims(), what="the shim has ended the worker and left")
    assert timeline.lives()[0]["last"] <= renewer.last_grant() + 4000
    node.start()
    ended = admin.wait_process("single", lambda p: p and WAITS in p.get("why", "") and p["epoch"] > after["epoch"])
    assert ended["state"] == "stopped" and "no renewal for 4s" in ended["why"] and ended["failures"] == 0, ended
    renewer.on = True
    admin.wait_state("single", "running", run=2)
    timeline.assert_never_two()


def test_a_waiting_worker_can_be_stopped_removed_and_freed(node, admin, renewer, timeline):
    admin.apply(timeline.spec(after="2s"))
    admin.do("single", "stop")
    stopped = admin.wait_process("single", lambda p: p and p["desired"] == "stopped")
    assert stopped["state"] == "stopped" and WAITS not in stopped.get("why", ""), stopped
    renewer.on = True
    renewer.answer(renewer.renew(renewer.wait_beat()))
    assert admin.process("single")["state"] == "stopped" and not timeline.lives(), "a renewal starts nobody who is not wanted"
    renewer.on = False
    admin.apply({**timeline.spec(after=None), "fence": 1})
    admin.wait_state("single", "running")
    admin.do("single", "remove")
    admin.wait_gone("single")
