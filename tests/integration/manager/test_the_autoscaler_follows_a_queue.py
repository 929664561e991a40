"""The size follows what a queue says of itself; every decision tells its inputs, formula and result."""
import datetime

import msgpack
import nodes
import pytest

PROBE = {"type": "probe", "ready": {"mode": "notify"}, "stop": {"grace": "5s"}}


@pytest.fixture
def queue(broker):
    """queue("jobs", 120): what would be said of a queue, with the credentials of who says it. None: it is gone."""
    client = broker.client("manager")

    def say(name, waiting, at=None, **more):
        status = {"waiting": waiting, "oldest_ms": 0, "service_ms": 100, "at": at or nodes.now_ms(), **more}
        payload = b"" if waiting is None else msgpack.packb(status)
        assert client.publish(broker.topic(f"queue/{name}/status"), payload, retain=True) == 0
    return say


def apply(steer, pool="demo", **spec):
    return steer.pool(pool, "apply", {"template": PROBE, **spec})["result"]


def decisions(steer, pool="demo"):
    with steer.client.changed:
        return [e for e in steer.pool_events.get(pool, []) if e["kind"] == "autoscale"]


def wait_decision(steer, predicate, pool="demo", after=0, deadline=20):
    def seen():
        return next((d for d in decisions(steer, pool)[after:] if predicate(d)), None)
    return steer.wait(seen, deadline, lambda: f"a decision; last {decisions(steer, pool)[-3:]}")


def scaled(size):
    return lambda d: d["size"] == size and d["from"] != size


def check_told(decision):
    assert set(decision) >= {"metric", "known", "waiting", "oldest_ms", "service_ms", "ready", "busy", "from", "size",
                             "recommended", "floor", "ceiling", "reason", "at", "message"}, decision
    if decision["size"] == decision["from"]:
        assert decision["reason"].startswith("nothing, because "), decision
    else:
        assert decision["reason"].startswith(f"scaled {decision['from']} -> {decision['size']}"), decision


def test_it_grows_by_its_step_cools_down_and_shrinks_around_the_busy(names, make_node, manager, steer, queue):
    for name in names[:2]:
        make_node(name)
    apply(steer, min=1, max=6, scaling={"queue": "jobs", "up_above": 50, "down_below": 5, "up_by": 2, "cooldown": "4s"})
    steer.wait_ready("demo", 1)
    nothing = wait_decision(steer, lambda d: not d["known"])
    assert nothing["reason"] == "nothing, because there is no measurement" and nothing["size"] == 1
    assert steer.wait_pool("demo", lambda s: "scaling" in s)["scaling"]["reason"] == nothing["reason"]
    queue("jobs", 50)
    assert "between 5 and 50" in wait_decision(steer, lambda d: d["known"])["reason"]
    queue("jobs", 120)
    first = wait_decision(steer, scaled(3))
    assert first["formula"] == "waiting 120 > 50, 1 workers: +2" and first["reason"] == "scaled 1 -> 3"
    assert (first["waiting"], first["recommended"], first["floor"], first["ceiling"]) == (120, 3, 1, 6)
    cooling = wait_decision(steer, lambda d: "cooling down" in d["reason"])
    assert cooling["size"] == 3 and cooling["at"] > first["at"]
    second = wait_decision(steer, scaled(5))
    assert second["at"] - first["at"] >= 3900
    members = steer.wait_ready("demo", 5)["members"]
    # Shrinks one at a time; the three that are busy stay until the end, although they are the youngest.
    busy = {(m["node"], m["worker"]) for m in members[-3:]}
    for node, worker in busy:
        steer.do(f"worker/{node}/{worker}", "busy", {"jobs": 1})
        steer.wait_verdict(node, worker, lambda v: v["availability"] == "processing")
    queue("jobs", 0)
    after = len(decisions(steer))
    assert wait_decision(steer, scaled(4), after=after)["at"] - second["at"] >= 3900
    wait_decision(steer, scaled(3), after=after)
    left = steer.wait_ready("demo", 3)
    assert {(m["node"], m["worker"]) for m in left["members"]} == busy and left["busy_workers_killed_by_scaling"] == 0
    for decision in decisions(steer):
        check_told(decision)
        assert decision["size"] - decision["from"] in (-1, 0, 2)


def test_a_cool_down_outlives_the_manager(names, make_node, manager, steer, queue):
    make_node(names[0])
    apply(steer, min=1, max=6, scaling={"queue": "jobs", "cooldown": "25s"})
    steer.wait_ready("demo", 1)
    queue("jobs", 200)
    first = wait_decision(steer, scaled(3))
    steer.wait_ready("demo", 3)
    manager.kill()
    manager.start()
    after = len(decisions(steer))
    queue("jobs", 200)
    cooling = wait_decision(steer, lambda d: "cooling down" in d["reason"], after=after)
    assert cooling["size"] == 3
    left = int(cooling["reason"].split()[-2])
    assert abs(first["at"] + 25_000 - cooling["at"] - left * 1000) <= 1100, (first, cooling)  # not begun anew
    queue("jobs", 200)
    second = wait_decision(steer, scaled(5), after=after, deadline=40)
    assert second["at"] - first["at"] >= 24_900


def test_floors_targets_and_what_is_old(names, make_node, manager, steer, queue):
    make_node(names[0])
    # A floor by the clock comes at once, without step or measurement, and may lie above the pool's own ceiling.
    now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
    schedule = {"cron": f"{now.minute} {now.hour} * * *", "for": "2h", "min": 4, "max": 5}
    apply(steer, "floor", min=1, max=3, scaling={"up_by": 1, "cooldown": "1h", "schedules": [schedule]})
    floor = wait_decision(steer, scaled(4), "floor")
    assert "the floor by schedule" in floor["reason"] and not floor["known"]
    steer.wait_ready("floor", 4)
    apply(steer, "floor", min=1, max=3, scaling={"cooldown": "0", "down_by": 5})
    queue("floor", 0)
    wait_decision(steer, scaled(1), "floor")
    steer.wait_ready("floor", 1)

    apply(steer, "target", min=0, max=9, scaling={"queue": "t", "target": 20, "up_by": 9, "down_by": 9, "cooldown": "0"})
    steer.wait_ready("target", 0)
    queue("t", 120)
    assert "ceil(120 / 20) = 6" in wait_decision(steer, scaled(6), "target")["formula"]
    steer.wait_ready("target", 6)
    queue("t", None)
    after = len(decisions(steer, "target"))
    wait_decision(steer, lambda d: d["reason"] == "nothing, because there is no measurement", "target", after)
    # What the broker kept from an hour ago is none, either.
    manager.stop()
    queue("t", 0, at=nodes.now_ms() - 3_600_000)
    manager.start()
    after = len(decisions(steer, "target"))
    gone = wait_decision(steer, lambda d: True, "target", after)
    assert not gone["known"] and gone["size"] == 6
    queue("t", 0)
    wait_decision(steer, scaled(0), "target", after)
    steer.wait_ready("target", 0)
    queue("t", 1)
    wait_decision(steer, scaled(1), "target", after)  # from nobody the first comes with the first job

    # Busy workers over ready ones; no queue is needed for it.
    apply(steer, "share", size=2, min=1, max=6, scaling={"metric": "utilisation", "target": 0.5, "cooldown": "0"})
    for member in steer.wait_ready("share", 2)["members"]:
        steer.do(f"worker/{member['node']}/{member['worker']}", "busy", {"jobs": 1})
    grown = wait_decision(steer, scaled(4), "share")
    assert grown["formula"].startswith("busy 2 / 2")
