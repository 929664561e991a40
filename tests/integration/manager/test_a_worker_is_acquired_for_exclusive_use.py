"""A pool's worker for exclusive use: one holder at a time, until the lease ends, whoever dies meanwhile."""
import time

import harness

PROBE = {"type": "probe", "ready": {"mode": "notify"}, "stop": {"grace": "5s"}}


def apply(steer, size, pool="demo", **spec):
    steer.pool(pool, "apply", {"template": PROBE, "size": size, **spec})
    return steer.wait_ready(pool, size)["members"]


def acquire(steer, holder="olga", pool="demo", **args):
    return steer.pool(pool, "acquire", {"holder": holder, **args})["result"]


def wait_event(steer, kind, pool="demo", deadline=20, **fields):
    def seen():
        return next((e for e in steer.pool_events.get(pool, []) if e["kind"] == kind and
                     all(e.get(k) == v for k, v in fields.items())), None)
    return steer.wait(seen, deadline, lambda: f"event {kind} {fields}; last {steer.pool_events.get(pool, [])[-4:]}")


def now_ms():
    return int(time.time() * 1000)


def test_a_lease_is_given_renewed_released_and_runs_out(names, make_node, manager, steer):
    make_node(names[0])
    apply(steer, 2, acquire={"lease": "20s", "lease_max": "1m"})
    first = acquire(steer)
    assert set(first) >= {"lease_id", "worker", "node", "until", "fence", "holder"}
    assert 15_000 < first["until"] - now_ms() <= 20_000
    second = acquire(steer, "ivan")
    assert second["worker"] != first["worker"] and second["fence"] > first["fence"]
    steer.wait_pool("demo", lambda s: s["acquired"] == 2)
    steer.refused("pool/demo", "acquire", {"holder": "eve"}, code="conflict", says="idle and free", phase=None)
    renewed = steer.pool("demo", "renew", {"lease_id": first["lease_id"], "lease": "50s"})["result"]
    assert 45_000 < renewed["until"] - now_ms() <= 50_000
    steer.pool("demo", "release", second["lease_id"])
    wait_event(steer, "released", lease_id=second["lease_id"])
    assert acquire(steer, "eve")["worker"] == second["worker"]  # reused as it is

    # Waiting: served as soon as one is free, or told when the time is over.
    waiting = steer.command("pool/demo", "acquire", {"holder": "ada", "wait": "30s"})
    steer.refused("pool/demo", "acquire", {"holder": "bob", "wait": "300ms"}, code="timeout", says="in time", phase=None)
    assert not waiting.terminals()
    steer.pool("demo", "release", first["lease_id"])
    given = waiting.terminal()["result"]
    assert given["worker"] == first["worker"] and given["holder"] == "ada"
    # Without renewal it ends by itself.
    renewed = steer.pool("demo", "renew", {"lease_id": given["lease_id"], "lease": "1s"})["result"]
    expired = wait_event(steer, "lease_expired", lease_id=given["lease_id"])
    assert expired["at"] >= renewed["until"] - 50
    steer.refused("pool/demo", "renew", {"lease_id": given["lease_id"]}, code="not_found", says="ran out")
    steer.wait_pool("demo", lambda s: s["acquired"] == 1)

    # Wrong arguments are named, and dry runs change nothing.
    refused = [("acquire", {"lease": "2m"}, "invalid", "args.lease is longer than 1m"), ("acquire", {"lease": "long"}, "invalid", "lease"),
               ("acquire", {"hodler": "x"}, "invalid", "holder"), ("acquire", {"holder": ""}, "invalid", "holder"),
               ("acquire", {"wait": "-1s"}, "invalid", "wait"), ("renew", {}, "invalid", "lease_id"),
               ("renew", {"lease_id": "x"}, "not_found", "no lease x"), ("release", {"lease_id": ""}, "invalid", "lease_id")]
    for op, args, code, says in refused:
        steer.refused("pool/demo", op, args, code=code, says=says)
    steer.refused("pool/dmeo", "acquire", code="not_found", says="did you mean 'demo'?")
    assert steer.pool("demo", "acquire", dry_run=True)["result"]["worker"] == given["worker"]
    assert steer.record("pool/demo/status")["acquired"] == 1


def test_many_acquirers_never_share_a_worker(names, make_node, manager, steer):
    for name in names[:2]:
        make_node(name)
    apply(steer, 8, acquire={"lease": "1m"})
    commands = [steer.command("pool/demo", "acquire", {"holder": f"h{i}", "wait": "20s"}, wait=False) for i in range(40)]
    steer.wait(lambda: sum(len(c.terminals()) for c in commands) >= 8, what="8 of 40 acquirers served")
    held, served = {}, 0
    while served < 40:
        done = [c for c in commands if c.terminals() and c.id not in held]
        for command in done:
            result = command.terminal()
            assert result["phase"] == "done", result
            held[command.id] = result["result"]
            served += 1
        out = [r for r in held.values() if not r.get("over")]
        assert len({r["worker"] for r in out}) == len(out) <= 8, out
        for result in out[:3]:
            result["over"] = True
            steer.pool("demo", "release", result["lease_id"])
        if served < 40:
            steer.wait(lambda: any(c.terminals() and c.id not in held for c in commands), what=f"one more than {served}")
    assert len({r["fence"] for r in held.values()}) == 40
    # By the manager's own account, in the order of its events: nobody had what another held.
    busy = {}
    for event in steer.pool_events["demo"]:
        if event["kind"] == "acquired":
            assert event["worker"] not in busy, event
            busy[event["worker"]] = event["lease_id"]
        elif event["kind"] == "released":
            assert busy.pop(event["worker"]) == event["lease_id"]


def test_a_lease_ends_with_its_holder_and_outlives_the_manager(names, make_node, manager, steer):
    make_node(names[0])
    apply(steer, 3, acquire={"lease": "5m"})
    holder = steer.pool("holders", "apply", {"template": PROBE, "size": 1}) and steer.wait_ready("holders", 1)["members"][0]
    path = f"{holder['node']}/{holder['worker']}"
    mortal = acquire(steer, path)
    named = acquire(steer, "olga")
    short = acquire(steer, "ivan", lease="6s")
    steer.wait_pool("demo", lambda s: s["acquired"] == 3)
    manager.kill()
    manager.start()
    # Nobody else gets them; the one whose time was up meanwhile is free again.
    begun = now_ms()
    given = acquire(steer, "ada", wait="30s")
    assert given["worker"] == short["worker"] and given["fence"] > max(r["fence"] for r in (mortal, named, short))
    assert now_ms() >= short["until"] - 50 or begun > short["until"]
    assert steer.pool("demo", "renew", {"lease_id": named["lease_id"]})["result"]["worker"] == named["worker"]
    steer.do(f"worker/{path}", "stop")
    assert "its holder died" in wait_event(steer, "lease_ended", lease_id=mortal["lease_id"])["message"]
    steer.wait_pool("demo", lambda s: s["acquired"] == 2)
    assert steer.pool("demo", "renew", {"lease_id": named["lease_id"]})["phase"] == "done"
    # A worker that is gone takes its lease with it.
    steer.do(f"node/{named['node']}", "remove", {"workers": [named["worker"]], "force": True}, phase=None)


def test_what_happens_on_release_and_who_goes_last(names, make_node, manager, steer):
    make_node(names[0])
    for policy in ("restart", "replace"):
        apply(steer, 1, policy, acquire={"on_release": policy})
    held = acquire(steer, pool="restart")
    topic = f"worker/{held['node']}/{held['worker']}/process"
    run = steer.record(topic)["run"]
    waiting = steer.command("pool/restart", "acquire", {"holder": "ada", "wait": "30s"})
    steer.pool("restart", "release", held["lease_id"])
    given = waiting.terminal()["result"]  # the same worker, but a new run of it
    assert given["worker"] == held["worker"]
    assert steer.record(topic)["run"] > run and steer.record(topic)["state"] == "running"

    held = acquire(steer, pool="replace")
    waiting = steer.command("pool/replace", "acquire", {"holder": "ada", "wait": "30s"})
    steer.pool("replace", "release", held["lease_id"])
    assert waiting.terminal()["result"]["worker"] != held["worker"]
    harness.wait_until(lambda: (held["node"], held["worker"]) not in steer.running_of("replace"), what="the released one gone")

    # Scale-in takes whoever is not acquired, busy or not; the acquired one is waited for.
    apply(steer, 3)
    held = acquire(steer)
    other = next(m for m in steer.record("pool/demo/status")["members"] if m["worker"] != held["worker"])
    steer.do(f"worker/{other['node']}/{other['worker']}", "busy", {"jobs": 1})
    steer.wait_verdict(other["node"], other["worker"], lambda v: v["availability"] == "processing")
    steer.pool("demo", "scale", "1")
    steer.wait_pool("demo", lambda s: s["leaving"] == 1 and s["ready"] == 1)
    steer.do(f"worker/{other['node']}/{other['worker']}", "busy", {"jobs": 0})
    assert steer.wait_ready("demo", 1)["members"][0]["worker"] == held["worker"]
    steer.pool("demo", "scale", "0")
    steer.wait_pool("demo", lambda s: s["leaving"] == 1)
    steer.pool("demo", "renew", {"lease_id": held["lease_id"]})
    assert steer.verdict(held["node"], held["worker"])["availability"] == "idle"  # not even drained
    steer.pool("demo", "release", held["lease_id"])
    steer.wait_ready("demo", 0)
