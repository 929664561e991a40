"""Retained, repeated, expired and far-dated commands; one id is one execution and one answer."""

import pytest

import nodes
from conftest import three_brokers
from nodes import SLEEPER


@pytest.fixture
def worker(make_node, admin):
    """Node with the running worker `a`; (node, its record)."""
    node = make_node(workers=[{"name": "a", "command": SLEEPER}])
    return node, admin.wait_state("a", "running")


def body(admin, command, **fields):
    import msgpack
    return msgpack.packb({"id": command.id, "reply_to": admin.reply_topic(command.id), **fields})


def test_a_retained_command_is_refused_when_it_is_published(worker, admin):
    """[cmd-1] With MQTT 5 the flag shows also on the live message (retain as published): refused at once, nothing is
    done. Clearing the topic afterwards is no command."""
    node, record = worker
    for op, topic_worker in (("stop", "a"), ("shutdown", "")):
        command = nodes.Command(admin, admin.new_id(), op)
        admin.publish(topic_worker, op, body(admin, command), retain=True)
        reply = command.terminal()
        assert reply["phase"] == "rejected" and "retained" in reply["message"], reply
        admin.publish(topic_worker, op, b"", retain=True)
    admin.do("", "list")
    assert node.running and admin.process("a")["pid"] == record["pid"]
    assert admin.describe()["counters"]["retained"] == 2


@three_brokers
def test_a_retained_command_that_the_broker_kept_is_not_done_at_the_next_session(worker, admin, kind):
    """[cmd-1] What is kept while no daemon is there comes back at its start on MQTT 3.1.1, flagged, and is refused; on
    MQTT 5 it is not even asked for. The worker runs on in either case."""
    node, record = worker
    node.kill()
    command = nodes.Command(admin, admin.new_id(), "stop")
    admin.publish("a", "stop", body(admin, command), retain=True)
    node.start()
    if kind.version == 4:
        reply = command.terminal()
        assert reply["phase"] == "rejected" and reply["message"].startswith("retained"), reply
    admin.do("", "list")
    assert admin.wait_process("a", lambda p: p["epoch"] > record["epoch"])["pid"] == record["pid"]
    assert admin.process("a")["state"] == "running" and nodes.alive(record["pid"])
    assert kind.version == 4 or not command.replies
    admin.publish("a", "stop", b"", retain=True)


@three_brokers
def test_the_same_id_twice_is_one_execution_and_the_same_reply(worker, admin):
    """[cmd-4] restart, twice with one id: one new run; the second answer is the first one, word for word."""
    _, record = worker
    first = admin.do("a", "restart", command_id="same-1")
    command = admin.command("a", "restart", command_id="same-1")
    admin.wait(lambda: len(command.terminals()) == 2)
    assert command.terminals()[1] == first
    assert admin.wait_state("a", "running", run=2)["run"] == record["run"] + 1


@three_brokers
@pytest.mark.parametrize("end", ["kill -9", "SIGTERM"])
def test_the_same_id_is_known_across_a_restart_of_the_daemon(worker, admin, end):
    """[cmd-4] The journal is on disk before `accepted`: a repeat after kill -9 or an orderly end gets the stored reply
    and executes nothing; with other arguments it is a conflict."""
    node, record = worker
    first = admin.do("a", "restart", command_id="same-2")
    if end == "kill -9":
        node.kill()
    else:
        assert node.stop() == 0
    node.start()
    command = admin.command("a", "restart", command_id="same-2")
    admin.wait(lambda: len(command.terminals()) == 2)
    assert command.terminals()[1] == first
    admin.command("a", "stop", command_id="same-2")
    admin.wait(lambda: len(command.terminals()) == 3)
    assert command.terminals()[2]["phase"] == "rejected" and command.terminals()[2]["code"] == "conflict"
    assert admin.wait_state("a", "running")["run"] == record["run"] + 1


@three_brokers
def test_the_same_id_with_other_arguments_is_a_conflict(worker, admin):
    """[cmd-4] Another op, another worker, other args or another expectation under a used id: rejected, conflict; the
    order of keys and the form (JSON, msgpack) do not make it another."""
    admin.do("a", "signal", {"signal": "CONT"}, command_id="same-3")
    for worker_name, op, args, envelope in (("a", "signal", {"signal": "TERM"}, {}), ("a", "stop", {}, {}),
                                            ("", "signal", {"signal": "CONT", "workers": "a"}, {}),
                                            ("a", "signal", {"signal": "CONT"}, {"expect": {"state": "running"}})):
        admin.replies.pop("same-3")
        reply = admin.command(worker_name, op, args, command_id="same-3", **envelope).terminal()
        assert reply["code"] == "conflict" and "7 days" in reply["message"], reply
    admin.replies.pop("same-3")
    command = admin.command("a", "signal", {"signal": "CONT"}, command_id="same-3", form="json")
    assert command.terminal()["phase"] == "done"
    assert admin.process("a")["state"] == "running"


def test_a_repeat_while_it_is_in_hand_joins_it(make_node, admin):
    """[cmd-4] The same id while the first is under way: told so, and both reply addresses get the one terminal reply."""
    make_node(workers=[{"name": "a", **nodes.STUBBORN, "stop": {"grace": "500ms"}}])
    admin.wait_state("a", "running")
    first = admin.command("a", "stop", command_id="join-1")
    first.phase("accepted")
    other = nodes.Command(admin, "join-other", "repeat")
    import msgpack
    admin.publish("a", "stop", msgpack.packb({"id": "join-1", "reply_to": admin.reply_topic(other.id)}))
    assert other.phase("running")["message"] == "already in hand"
    assert other.terminal()["phase"] == "done" and first.terminal()["phase"] == "done"


@three_brokers
def test_an_expired_command_is_not_done(worker, admin):
    """[cmd-2] expires_at in the past: phase expired, by how much is said, nothing happens, also when asked again."""
    _, record = worker
    for _ in range(2):
        reply = admin.do("a", "stop", None, "expired", expires_at=nodes.now_ms() - 5000)
        assert "expired" in reply["message"] and reply["code"] == "timeout", reply
    assert nodes.alive(record["pid"])


@three_brokers
def test_an_expiry_beyond_the_memory_of_ids_is_refused(worker, admin):
    """A command valid for longer than ids are remembered could be replayed: refused. A minute less is taken."""
    _, record = worker
    week = 7 * 24 * 3600 * 1000
    admin.refused("a", "stop", None, "invalid", "7 days", expires_at=nodes.now_ms() + week + 60000)
    admin.refused("a", "stop", None, "invalid", "7 days", expires_at=2 ** 62)
    assert nodes.alive(record["pid"])
    admin.do("a", "stop", expires_at=nodes.now_ms() + week - 60000)


def test_a_signal_is_never_sent_twice_even_when_the_outcome_is_not_known(make_node, admin):
    """`signal` can't be repeated: after a restart of the daemon an open one fails and says that it is not done again."""
    node = make_node(workers=[{"name": "a", "command": ["sh", "-c", "trap 'echo got' USR1; echo up; while :; do sleep 0.02; done"],
                               "ready": {"log": "^up$"}}])
    admin.wait_state("a", "running")
    admin.do("a", "signal", {"signal": "USR1"}, command_id="once-1")
    admin.wait(lambda: admin.logs("a").count("got") == 1 or None, what="the signal arrives")
    node.kill()
    import sqlite3
    with sqlite3.connect(node.state / "reeved.db") as database:  # as if killed between the act and its reply
        database.execute("UPDATE journal SET phase='accepted', reply=NULL, terminal=0 WHERE id='once-1'")
    database.close()
    node.start()
    command = nodes.Command(admin, "once-1", "signal")
    reply = admin.wait(lambda: [r for r in command.terminals() if r["phase"] == "failed"])[0]
    assert "not done again" in reply["message"], reply
    assert admin.logs("a").count("got") == 1


def test_commands_without_an_address_that_fail_answer_to_anonymous(worker, admin, broker):
    """[cmd-3] Nobody listens: a refusal goes to reply/anonymous/<id>; a success only to event and audit."""
    seen = len(admin.client.messages)
    admin.publish("", "stop", b"nobody")
    message = admin.client.wait_for(lambda m: m.topic.startswith(broker.topic("reply/anonymous/")))
    assert b"nobody" in message.payload
    admin.publish("a", "stop", b"")
    admin.wait_state("a", "stopped")
    admin.do("", "list")
    assert len([m for m in admin.client.messages[seen:] if "/anonymous/" in m.topic]) == 1


def test_two_daemons_of_one_name_one_stays_and_the_other_leaves_with_125(worker, admin, make_node):
    """[session-7] The one with the higher epoch stays and goes on; the other ends with 125, says no goodbye, keeps its
    workers alive, and the alarm duplicate/<name> opens. No kick loop: the epoch of the one that stays does not move."""
    node, record = worker
    other = make_node("other", start=False, workers=[])
    other.start(ready=False)
    gone = {}

    def one_ended():
        for candidate in (node, other):
            if not candidate.running:
                gone["who"] = candidate
                return True
        return False
    import harness
    harness.wait_until(one_ended, what="one of them leaves")
    left, stays = gone["who"], other if gone["who"] is node else node
    assert left.wait() == 125
    assert stays.running
    admin.wait(lambda: admin.record(f"alarm/duplicate/{node.name}"))
    assert nodes.alive(record["pid"])
    epoch = admin.wait_status(lambda s: s["pid"] == stays.pid)["epoch"]
    admin.do("", "describe")
    assert admin.status()["state"] == "online" and admin.status()["epoch"] == epoch
    if not node.running:
        stays.stop()
        node.start()
    else:
        other.left_behind_ok = True


def test_two_daemons_can_not_share_a_state_folder(worker, admin):
    """The second exits 1 and says why; the first is not disturbed."""
    node, record = worker
    second = nodes.Node(node.broker, node.directory.parent / "second", state_dir=node.state)
    second.write_config()
    second.start(ready=False)
    assert second.wait() == 1
    assert "another reeved runs" in second.log()
    admin.do("", "list")
    assert node.running and nodes.alive(record["pid"])
    second.left_behind_ok = True
