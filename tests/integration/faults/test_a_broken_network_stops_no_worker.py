"""F25 to F31: links that swallow, reset, lose, slow down or flap. Workers go on, presence tells the truth
within the documented time, and comes right again when the link does."""
import os
import re

from watching import nodes
import pytest
from network import listen_also, needs_namespaces
from watching import HEARTBEAT_MS, plain, probe

KEEP_ALIVE_S = 5
BACK = 60  # s: the longest back-off, 36 s, and some
# docs/operations.md: who is silent is stale after 2.5 heartbeats; the broker notices after 1.5 keep-alives and up to
# 6 s, the client after two. A loaded machine gets as much again.
STALE_S = 2.5 * HEARTBEAT_MS / 1000
BROKER_NOTICES_S = 1.5 * KEEP_ALIVE_S + 6
CLIENT_NOTICES_S = 2 * KEEP_ALIVE_S + 2.5
SLACK_S = 15
LONG = os.environ.get("REEVE_LONG") == "1"
long_only = pytest.mark.skipif(not LONG, reason="label long")


@pytest.fixture
def cut_off_node(broker, namespace, make_node, kind):
    """make(workers, **options) -> a node in the namespace, whose only way to the broker is the link."""
    listen_also(broker, namespace.host)

    def make(workers, keep_alive=f"{KEEP_ALIVE_S}s", **options):
        return make_node(workers=workers, wrapper=namespace.wrapper,
                         broker_options={"url": namespace.url(broker), "keep_alive": keep_alive}, **options)
    return make


@pytest.fixture
def admin(cut_off_node, kind, broker):
    """After listen_also(), which restarts the broker."""
    with nodes.Control(broker, broker.node, "admin", kind.version) as control:
        yield control


@pytest.fixture
def watch(cut_off_node, make_watch):
    return make_watch()


def pids(admin, *names):
    return {name: (admin.wait_state(name, "running")["pid"], admin.wait_state(name, "running")["run"]) for name in names}


both_brokers = pytest.mark.parametrize("kind", ["mosquitto-5", "nats"], indirect=True)


@needs_namespaces
@both_brokers
@pytest.mark.parametrize("direction", ["both", "to_host", "from_host"])
def test_a_half_open_connection_shows_and_heals(cut_off_node, admin, watch, namespace, direction):
    """F26, F27. Nobody gets a FIN or RST. Readers see it by silence, the broker by keep-alive (it sends the wills),
    daemon and worker by theirs, and after the cut all are back with the same processes."""
    node = cut_off_node([probe(), plain()])
    before = pids(admin, "mm-1", "plain")
    for name, rule in (("mm-1", 2), ("plain", 4)):
        watch.wait_now(name, lambda v, rule=rule: v["rule"] == rule)
    mark, cut = watch.mark(), nodes.now_ms()
    namespace.drop(direction)
    seen = watch.wait_now("plain", lambda v: v["state"] == "unknown", deadline=60)
    assert seen["rule"] == 6
    # With only the way to the client cut its heartbeats still arrive, until it misses the answers.
    bound = STALE_S + (CLIENT_NOTICES_S if direction == "from_host" else 0) + SLACK_S
    assert nodes.now_ms() - cut < bound * 1000, "presence was late"
    node.wait_log("lost=", deadline=CLIENT_NOTICES_S + SLACK_S)
    topic = f"node/{node.name}/lwt"
    admin.client.wait(lambda: admin.record(topic), BROKER_NOTICES_S + SLACK_S, "will of the node")
    watch.wait_now("mm-1", lambda v: v["state"] == "unknown", deadline=30)
    namespace.heal()
    for name, rule in (("mm-1", 2), ("plain", 4)):
        watch.wait_now(name, lambda v, rule=rule: v["rule"] == rule, deadline=BACK)
    assert pids(admin, *before) == before
    assert admin.do("mm-1", "echo", {"text": "there"})["result"] == {"text": "there"}
    assert "restarting" not in watch.states("mm-1", mark) + watch.states("plain", mark)


@needs_namespaces
def test_a_flapping_link_changes_few_verdicts_and_no_process(cut_off_node, admin, watch, namespace):
    """F28: one second on, one second off, eight times. TCP rides it out; what does not is one outage, not eight."""
    cut_off_node([probe(heartbeat_ms=2000), plain()], heartbeat="2s")
    before = pids(admin, "mm-1", "plain")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark = watch.mark()
    for _ in range(8):
        namespace.drop()
        watch.stays(1, mark)
        namespace.heal()
        watch.stays(1, mark)
    watch.wait_now("mm-1", lambda v: v["rule"] == 2, deadline=BACK)
    watch.wait_now("plain", lambda v: v["rule"] == 4, deadline=BACK)
    for name in before:
        assert len(watch.states(name, mark)) <= 5, watch.verdicts(name, mark)
    assert pids(admin, *before) == before


@needs_namespaces
def test_a_lossy_link_is_slower_and_nothing_else(cut_off_node, admin, watch, namespace):
    """F31: a fifth of all packets is lost either way; commands are answered and nobody is taken for dead."""
    cut_off_node([probe(heartbeat_ms=5000), plain()], heartbeat="5s")
    before = pids(admin, "mm-1")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark = watch.mark()
    namespace.lose(0.2)
    for number in range(10):
        assert admin.do("mm-1", "echo", {"number": number}, deadline=60)["result"] == {"number": number}
    admin.do("plain", "restart", deadline=60)
    namespace.heal()
    assert pids(admin, "mm-1") == before
    assert not {"lost", "restarting"} & set(watch.states("mm-1", mark)), watch.verdicts("mm-1", mark)


@long_only
@needs_namespaces
def test_bulk_does_not_starve_the_heartbeat_of_a_slow_link(cut_off_node, admin, watch, namespace):
    """F29: 64 kbit/s for everything, and a worker that writes far more log lines than that while somebody follows
    them. Statuses go first and bulk is dropped, so that nobody looks dead; all as preset."""
    shout = ["sh", "-c", "while :; do echo " + "x" * 400 + "; sleep 0.005; done"]
    cut_off_node([probe(heartbeat_ms=5000), {"name": "shouts", "command": shout, "log": {"max_size": "1M", "files": 1}}],
                 heartbeat="5s", keep_alive="10s")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    admin.wait_state("shouts", "running")
    namespace.slow("64kbit")
    mark = watch.mark()
    follow = admin.command("shouts", "logs", {"follow": "20s"})
    follow.phase("done", deadline=60)
    said = watch.stays(20, mark)
    bad = [line for line in said if line["kind"] == "verdict" and line["state"] in ("lost", "unknown")]
    assert not bad, bad
    assert admin.do("mm-1", "echo", {"text": "there"}, deadline=60)["result"] == {"text": "there"}
    namespace.full_speed()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def epochs(admin, node):
    return [status["epoch"] for status in admin.history.get(f"node/{node.name}/status", []) if status]


def test_resets_leave_no_descriptor_and_no_memory_behind(broker, make_proxy, make_node, kind):
    """F25: connections reset over and over. Each time a new session with a higher epoch; descriptors and memory of
    the daemon stay where they are."""
    proxy = make_proxy()
    node = make_node(workers=[plain()], broker_options={"url": proxy.url})
    with nodes.Control(broker, node, "admin", kind.version) as admin:
        def cycle():
            epoch = epochs(admin, node)[-1]
            proxy.reset()
            admin.wait_status(lambda status: status["epoch"] > epoch, deadline=BACK)
        admin.wait_status(lambda status: True)
        cycle()
        cycle()
        before, memory = descriptors(node.pid), node.rss()
        for _ in range(5):
            cycle()
        assert descriptors(node.pid) == before
        assert node.rss() < memory + (1 << 20), (memory, node.rss())
        said = epochs(admin, node)
        assert said == sorted(said)
        admin.do("plain", "restart")


def test_the_back_off_has_jitter(broker, make_node):
    """F25, [session-8]: nodes that lose the broker at the same moment do not come back at the same moment."""
    node = make_node()
    broker.kill()
    node.wait_log("lost=", count=6, deadline=60)
    delays = [int(ms) for ms in re.findall(r"retry_ms=(\d+)", node.log())]
    for number, delay in enumerate(delays[-6:]):
        assert 80 * 2 ** number <= delay <= 120 * 2 ** number, delays
    assert len({delay % 10 for delay in delays}) > 1, f"no jitter: {delays}"
    broker.start()
    node.wait_log("ready=true", count=2, deadline=BACK)


def test_a_stream_cut_into_single_bytes_is_read_as_one(broker, make_proxy, make_node, kind):
    """F23: every byte either way in a segment of its own, with records of kilobytes."""
    proxy = make_proxy(slice_bytes=1)
    node = make_node(workers=[probe()], broker_options={"url": proxy.url})
    with nodes.Control(broker, node, "admin", kind.version) as admin:
        text = "0123456789abcdef" * 256
        admin.wait_state("mm-1", "running")
        admin.client.wait(lambda: admin.record(f"worker/{node.name}/mm-1/status"), what="status")
        assert admin.do("mm-1", "echo", {"text": text})["result"] == {"text": text}
        admin.apply(plain("other", env={"NOTE": text}))
        admin.wait_state("other", "running")
        assert not admin.undecoded
