"""[cmd-1..4] [payload-3] at a worker: what is executed, what is not, and what the sender hears."""
import os
import random
import time

import msgpack


def test_echo_answers_all_four_forms_of_a_payload(start, operator, broker, version):
    probe = start(version=version)
    operator.record(probe.topic("status"))
    forms = [(b"", {}), (b"hello there", {"text": "hello there"}), (b'{"size": 5}', {"size": 5}),
             (msgpack.packb({"deep": {"er": [1, b"\x00\xff"]}}), {"deep": {"er": [1, b"\x00\xff"]}})]
    for number, (payload, expected) in enumerate(forms):
        operator.client.publish(probe.topic("cmd/echo"), payload, response=broker.topic(f"reply/operator/form-{number}"),
                                correlation=b"c%d" % number)
        message = operator.client.wait_topic(broker.topic(f"reply/operator/form-{number}")) if version == 5 else None
        if version == 5:
            reply = msgpack.unpackb(message.payload)
            assert reply["phase"] == "done" and reply["result"] == expected, payload
            assert message.properties.CorrelationData == b"c%d" % number
            assert reply["by"] == "alpha/mm-1" and reply["seq"] == 1
    if version == 4:  # no response topic on this version: the envelope's own reply_to, and the event without one
        assert operator.ask(probe, "echo", {"a": 1})["result"] == {"a": 1}
        operator.client.wait(lambda: len([e for e in operator.records(probe.topic("event"))
                                          if e["detail"]["op"] == "echo"]) == 4, what="four events")


def test_a_command_without_an_address_shows_as_an_event(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    operator.client.publish(probe.topic("cmd/pause"), b"")
    event = operator.record(probe.topic("event"))
    assert event["kind"] == "command" and event["detail"]["op"] == "pause" and event["detail"]["phase"] == "done"
    operator.client.publish(probe.topic("cmd/sleep"), b"")
    refusal = operator.client.wait_for(lambda m: "/reply/anonymous/" in m.topic)
    assert "ms is missing" in msgpack.unpackb(refusal.payload)["message"]


def test_a_retained_command_is_refused(start, operator, broker, version):
    """One that the broker kept from before, where the version delivers it; and on MQTT 5 also one published just now."""
    probe = start(version=version, name="early")
    operator.record(probe.topic("status"))
    probe.close()
    kept = {"id": "kept", "reply_to": broker.topic("reply/operator/kept")}
    operator.client.publish(probe.topic("cmd/pause"), msgpack.packb(kept), retain=True)
    again = start(version=version, name="early")
    operator.record(again.topic("status"), lambda r: r["pid"] == again.pid)
    if version == 4:
        reply = operator.reply("kept")
        assert reply["phase"] == "rejected" and reply["code"] == "retained"
    else:
        now = operator.ask(again, "pause", id="now", retain=True)
        assert now["phase"] == "rejected" and now["code"] == "retained"
        assert not operator.replies("kept"), "MQTT 5 asks for no retained commands"
    assert operator.ask(again, "describe")["result"]["availability"] == "idle"


def test_the_same_id_runs_once_and_gets_the_same_reply(start, operator, version):
    probe = start(version=version)
    operator.record(probe.topic("status"))
    first = operator.ask(probe, "allocate", {"bytes": 1000}, id="twice")
    operator.send(probe, "allocate", {"bytes": 1000}, id="twice")
    second = operator.reply("twice", number=2)
    assert first["result"] == second["result"] == {"allocated_bytes": 1000}
    assert operator.ask(probe, "allocate", {"bytes": 1})["result"] == {"allocated_bytes": 1001}
    other = operator.send(probe, "allocate", {"bytes": 7}, id="twice")
    conflict = operator.reply(other, number=3)
    assert conflict["phase"] == "rejected" and conflict["code"] == "conflict"
    operator.send(probe, "echo", {"bytes": 1000}, id="twice")  # another command with the same arguments
    assert operator.reply("twice", number=4)["code"] == "conflict"


def test_the_same_id_while_in_hand_runs_once(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    operator.send(probe, "sleep", {"ms": 500}, id="slow")
    operator.send(probe, "sleep", {"ms": 500}, id="slow")
    assert operator.reply("slow")["phase"] == "done"
    operator.ask(probe, "echo")  # anything later has been answered by now
    assert [r["phase"] for r in operator.replies("slow")] == ["accepted", "running", "done"]


def test_a_thousand_ids_later_the_memory_is_bounded(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    for number in range(1100):
        operator.client.publish(probe.topic("cmd/echo"), msgpack.packb(
            {"id": f"n-{number}", "args": {"n": number}, "reply_to": operator.broker.topic(f"reply/operator/n-{number}")}),
            wait=False)
    assert operator.reply("n-1099")["result"] == {"n": 1099}
    assert operator.ask(probe, "describe")["result"]["calls"]["remembered"] == 1024


def test_an_expired_command_is_never_run(start, operator, version):
    probe = start(version=version)
    operator.record(probe.topic("status"))
    now = int(time.time() * 1000)
    late = operator.ask(probe, "allocate", {"bytes": 1000}, issued_at=now - 5000, expires_at=now - 1000)
    assert late["phase"] == "expired"
    assert operator.ask(probe, "allocate", {"bytes": 1}, expires_at=now + 60000)["result"] == {"allocated_bytes": 1}


def test_an_expectation_that_does_not_hold_is_a_conflict(start, operator):
    probe = start(run=3)
    status = operator.record(probe.topic("status"))
    good = {"epoch": status["epoch"], "run": 3, "state": "running"}
    assert operator.ask(probe, "echo", expect=good)["phase"] == "done"
    for wrong in ({"epoch": status["epoch"] - 1}, {"run": 2}, {"state": "paused"}):
        reply = operator.ask(probe, "echo", expect=wrong)
        assert reply["phase"] == "rejected" and reply["code"] == "conflict", wrong
    assert operator.ask(probe, "echo", expect={"version": 1})["code"] == "invalid"


def test_wrong_arguments_and_unknown_commands_are_named(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    cases = [("sleep", {}, "ms is missing"), ("sleep", {"ms": "soon"}, "'soon' is not a duration"),
             ("sleep", {"mss": 1}, "did you mean ms?"), ("spin", {"ms": 1, "block": 7}, "true or false"),
             ("exit", {"code": "x"}, "a whole number"), ("ecko", {}, "did you mean echo?"),
             ("pauze", {}, "did you mean pause?"), ("pause", {"why": "x"}, "why is no argument")]
    for op, args, says in cases:
        reply = operator.ask(probe, op, args)
        assert reply["phase"] == "rejected" and says in reply["message"], (op, args, reply)


def test_ops_of_the_daemon_are_left_to_the_daemon(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    ids = [operator.send(probe, op) for op in ("start", "stop", "restart", "kill", "signal", "reset", "remove", "logs")]
    operator.ask(probe, "echo")
    assert not [r for i in ids for r in operator.replies(i)]


def test_configure_takes_all_or_nothing(start, operator):
    probe = start(config={"tick": "0"})
    operator.record(probe.topic("status"))
    wrong = operator.ask(probe, "configure", {"tick": "often"})
    assert wrong["phase"] == "failed" and "tick" in wrong["message"]
    dry = operator.ask(probe, "configure", {"tick": "50ms"}, dry_run=True)
    assert dry["phase"] == "done"
    assert operator.ask(probe, "describe")["result"]["config"]["tick"] in ("0", "0ms", "0s")
    assert operator.ask(probe, "configure", {"tick": "50ms"})["phase"] == "done"
    operator.record(probe.topic("metrics"))
    assert operator.ask(probe, "describe")["result"]["config"]["tick"] == "50ms"


def test_a_dry_run_changes_nothing(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    assert operator.ask(probe, "exit", {"code": 3}, dry_run=True)["phase"] == "done"
    assert operator.ask(probe, "echo")["phase"] == "done"


def test_random_payloads_on_every_command_end_nothing(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    seed = int(os.environ.get("REEVE_SEED", "20261122"))
    print(f"REEVE_SEED={seed}")
    dice = random.Random(seed)
    ops = ("echo", "sleep", "allocate", "spin", "pause", "resume", "configure", "describe", "nonsense")
    heads = (b"", b"{", b"\x81", b"\xde\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x82\xa2id", b"\x81\xa4args")
    for number in range(2000):
        payload = dice.choice(heads) + dice.randbytes(dice.randrange(1, 200))
        operator.client.publish(probe.topic(f"cmd/{dice.choice(ops)}"), payload, wait=number % 100 == 99)
    assert operator.ask(probe, "echo", {"alive": True})["result"] == {"alive": True}
    assert probe.process.poll() is None
