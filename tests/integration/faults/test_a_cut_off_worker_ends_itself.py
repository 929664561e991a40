"""F61: a node that is cut off ends its leased worker by itself, in time, with or without its daemon [lease-3] [lease-4].

On one clock: the last sign of life of the worker stands before the last renewal that left + self_stop_after, which is when a
manager may start the worker somewhere else."""
import signal

import harness
import nodes
import pytest
from leases import Renewer, Timeline, boot_ms
from network import listen_also, needs_namespaces

AFTER_MS = 3000
BACK = 60  # s: the longest back-off, 36 s, and some


@pytest.fixture
def timeline(tmp_path):
    return Timeline(tmp_path / "timeline")


@pytest.fixture
def cut_off(broker, namespace, make_node):
    """A node whose only way to the broker is the link."""
    listen_also(broker, namespace.host)
    return make_node(wrapper=namespace.wrapper, heartbeat="5s",
                     broker_options={"url": namespace.url(broker), "keep_alive": "5s"})


@pytest.fixture
def renewer(cut_off, broker, kind):
    with Renewer(broker, cut_off.name, {"single": 1}, kind.version) as made:
        yield made


@pytest.fixture
def admin(cut_off, kind, broker):
    with nodes.Control(broker, broker.node, "admin", kind.version) as control:
        yield control


def ended(timeline, node):
    """Once no process of the worker is left: its life."""
    harness.wait_until(lambda: not node.processes("single"), what="end of the worker's processes")
    return timeline.lives()[-1]


@needs_namespaces
@pytest.mark.parametrize("daemon", ["lives", "killed", "stopped"])
@pytest.mark.parametrize("stubborn", [False, True], ids=["meek", "stubborn"])
def test_a_partition_ends_the_worker_within_its_lease(cut_off, admin, renewer, timeline, namespace, daemon, stubborn):
    """The daemon goes on, is killed, or is stopped at the moment of the cut; the worker ends in order or not. When the
    link is back the next renewal starts the next run, and at no instant there were two."""
    admin.apply(timeline.spec(after=f"{AFTER_MS}ms", stubborn=stubborn, stop={"grace": "500ms"}))
    admin.wait_state("single", "running")
    renewer.wait_beat(renewer.beats[-1])
    namespace.drop()
    if daemon == "killed":
        cut_off.kill()
    elif daemon == "stopped":
        cut_off.signal(signal.SIGSTOP)
    life = ended(timeline, cut_off)
    granted = renewer.last_grant()
    assert life["last"] <= granted + AFTER_MS, f"{life['last'] - granted} ms after the last renewal"
    assert life["asked"] is not None and life["asked"] >= life["last"] - 800, "asked to end first, by its grace time"
    assert life["last"] > granted + AFTER_MS // 2, "not before it had to"
    namespace.heal()
    if daemon == "killed":
        cut_off.start()
    elif daemon == "stopped":
        cut_off.signal(signal.SIGCONT)
    again = admin.wait_state("single", "running", run=2, deadline=BACK)
    assert again["run"] == 2 and again["failures"] == 0 and again["restarts"] == 0, again
    timeline.wait_lives(2)
    timeline.assert_never_two()


@needs_namespaces
def test_renewals_that_were_held_up_prolong_nothing(cut_off, admin, renewer, timeline, namespace):
    """The daemon stands still while renewals come in. What it reads when it goes on was granted long ago, and the worker
    does not run by it."""
    admin.apply(timeline.spec(after=f"{AFTER_MS}ms"))
    admin.wait_state("single", "running")
    beat = renewer.wait_beat(renewer.beats[-1])
    cut_off.signal(signal.SIGSTOP)
    renewer.on = False
    granted = renewer.last_grant()
    life = ended(timeline, cut_off)
    assert life["last"] <= granted + AFTER_MS
    harness.wait_until(lambda: boot_ms() > granted + AFTER_MS, what="that every lease so far is over")
    late = renewer.renew(beat)
    cut_off.signal(signal.SIGCONT)
    answer = renewer.answer(late)
    assert answer["result"]["renewed"] == 0 and "its lease is over" in answer["result"]["refused"]["single"], answer
    waiting = admin.wait_process("single", lambda p: p and "waits for its lease" in p.get("why", ""), deadline=BACK)
    assert waiting["state"] == "stopped" and len(timeline.lives()) == 1
    renewer.on = True
    admin.wait_state("single", "running", run=2, deadline=BACK)
