"""What a person, a phone or a program publishes on a command topic does what it says, for those who may."""
import json
import time

import msgpack
import harness
import pytest

import nodes
from conftest import three_brokers
from nodes import SLEEPER, STUBBORN


def run_one(admin, name="a", **spec):
    admin.apply({"name": name, "command": SLEEPER, **spec})
    return admin.wait_state(name, "running")


@three_brokers
def test_an_empty_message_stops_a_worker(node, admin):
    """Nobody asked for a reply: the process record says that it is stopped, and the pid is gone. Expected
    in the audit: who is not known, what and its outcome are."""
    record = run_one(admin)
    admin.publish("a", "stop", b"")
    stopped = admin.wait_state("a", "stopped")
    assert not nodes.alive(record["pid"])
    assert stopped["exit"]["signal"] == "SIGTERM", stopped
    topic = f"audit/{node.name}"
    audit = admin.wait(lambda: next((r for r in admin.history.get(topic, []) if r["op"] == "stop"), None))
    assert audit["phase"] == "done" and audit["topic"] == admin.topic("a", "stop"), audit


@three_brokers
@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_map_with_id_and_reply_address_is_answered_there(node, admin, form):
    """First `accepted`, then one terminal reply with the exit in it; `seq` grows; `by` names the node."""
    record = run_one(admin)
    command = admin.command("a", "stop", {"grace": "5s"}, form=form)
    reply = command.terminal()
    assert command.phases == ["accepted", "done"], command.replies
    assert [r["seq"] for r in command.replies] == [1, 2]
    assert reply["by"] == node.name and reply["result"]["exit"]["signal"] == "SIGTERM", reply
    assert reply["result"]["exit"]["run"] == record["run"]
    assert not nodes.alive(record["pid"]), "`done` before the process was gone [cmd-6]"


@three_brokers
def test_arguments_may_stand_beside_the_envelope(node, admin):
    """'{"grace":"100ms"}' typed by hand means args.grace: the stubborn worker is killed soon."""
    record = run_one(admin, **STUBBORN, stop={"grace": "1h"})
    admin.publish("a", "stop", json.dumps({"grace": "100ms"}).encode())
    assert admin.wait_state("a", "stopped")["exit"]["signal"] == "SIGKILL"
    assert not nodes.alive(record["pid"])


@three_brokers
def test_text_is_the_main_argument(node, admin):
    """`-m 100ms` on cmd/stop is the grace time; on the node's cmd/start it is the worker's name."""
    record = run_one(admin, **STUBBORN, stop={"grace": "1h"})
    admin.publish("a", "stop", b" 100ms\n")
    assert admin.wait_state("a", "stopped")["exit"]["signal"] == "SIGKILL"
    admin.publish("", "start", b"a")
    again = admin.wait_state("a", "running", run=record["run"] + 1)
    admin.publish("a", "signal", b"KILL")
    admin.wait_process("a", lambda p: p["exit"]["run"] == again["run"] and p["exit"]["signal"] == "SIGKILL")


def test_mqtt_5_carries_the_reply_address_and_correlation(node, admin):
    """An empty message and a text with a response topic are answered there, with the correlation data."""
    run_one(admin)
    for payload, correlation in ((b"", b"\x00one"), (b"5s", b"two")):
        topic = admin.reply_topic(f"c-{len(payload)}")
        admin.publish("a", "stop", payload, response=topic, correlation=correlation)
        message = admin.client.wait_for(lambda m, t=topic: m.topic == t and msgpack.unpackb(m.payload)["phase"] == "done")
        assert message.properties.CorrelationData == correlation


@three_brokers
def test_text_where_none_is_taken_is_refused_by_name(node, admin):
    """[payload-3]. Nobody can be answered: reply/anonymous/<id> gets the refusal, nothing happens to the worker."""
    record = run_one(admin)
    admin.publish("a", "restart", b"now")
    reply = admin.wait(lambda: next((r for rs in admin.replies.values() for r in rs
                                            if r["phase"] == "rejected"), None))
    assert "restart" in reply["message"] and "takes no text" in reply["message"], reply
    assert admin.process("a")["pid"] == record["pid"]


@three_brokers
def test_only_who_may_is_obeyed(node, admin, broker, kind):
    """The operator's password stops a worker. The viewer's can't, nor can a worker's; nothing reaches the
    daemon. Without a password, or with a wrong one, nobody connects."""
    run_one(admin)
    roles = ["viewer"] if kind.broker is nodes.Nats else ["viewer", "worker"]
    for role in roles:
        client = broker.client(role, version=kind.version)
        client.publish(admin.topic("a", "stop"), b"")
        client.publish(admin.topic("", "shutdown"), b"")
    operator = nodes.Control(broker, node, "operator", kind.version)
    operator.do("a", "stop")
    # Everything that was published before the operator's command came before it, had it come at all.
    assert node.log().count("op=stop phase=done") == 1, node.log()
    assert "op=shutdown" not in node.log()


@three_brokers
@pytest.mark.parametrize("user", [None, "operator", "nobody"])
def test_nobody_connects_without_the_right_password(broker, kind, user):
    """S01. No name, a name with a wrong password, an unknown name: CONNACK refuses each."""
    client = harness.connect(broker.port, user, user and "wrong", version=kind.version, expect=None)
    assert client.connack not in (None, 0), f"{user} is connected: {client.connack}"


@three_brokers
def test_the_operator_may_not_define_workers(node, admin, broker, kind):
    """Rights by role: `apply` and `remove` are the admin's (Mosquitto's files; NATS here has one right for all)."""
    if kind.broker is nodes.Nats:
        pytest.skip("the tests' nats-server knows viewers and others only")
    run_one(admin)
    operator = nodes.Control(broker, node, "operator", kind.version)
    operator.publish("", "apply", json.dumps({"name": "b", "command": SLEEPER}).encode())
    operator.publish("a", "remove", b"")
    operator.do("a", "restart")
    admin.wait_state("a", "running", run=2)
    assert admin.process("b") is None
    assert node.log().count("op=apply") == 1 and "op=remove" not in node.log()


@three_brokers
def test_a_selector_means_many_and_the_reply_tells_of_each(node, admin):
    """Names, globs, lists, type, exchange, labels, state; `all`. A reply about many counts and lists them."""
    admin.apply({"name": "mm-1", "type": "maker", "command": SLEEPER, "exchange": "kraken", "labels": {"desk": "a"}},
                {"name": "mm-2", "type": "maker", "command": SLEEPER, "labels": {"desk": "b"}},
                {"name": "swap-1", "type": "swap", "command": SLEEPER, "labels": {"desk": "a"}})
    cases = [({"workers": "mm-*"}, {"mm-1", "mm-2"}), ({"workers": ["mm-1", "swap-?"]}, {"mm-1", "swap-1"}),
             ({"type": "swap"}, {"swap-1"}), ({"workers": "type=maker"}, {"mm-1", "mm-2"}),
             ({"exchange": "kraken"}, {"mm-1"}), ({"labels": {"desk": "a"}}, {"mm-1", "swap-1"}),
             ({"labels": {"desk": "*"}, "type": "maker"}, {"mm-1", "mm-2"}),
             ({"state": "running"}, {"mm-1", "mm-2", "swap-1"}), ({"all": True}, {"mm-1", "mm-2", "swap-1"}),
             ({"workers": "*"}, {"mm-1", "mm-2", "swap-1"})]
    for args, expected in cases:
        assert set(admin.do("", "list", args)["result"]["workers"]) == expected, args
    reply = admin.do("", "stop", {"workers": "mm-*"})
    assert reply["result"]["done"] == 2 and set(reply["result"]["workers"]) == {"mm-1", "mm-2"}, reply
    assert admin.process("swap-1")["state"] == "running"
    assert set(admin.do("", "list", {"state": "stopped"})["result"]["workers"]) == {"mm-1", "mm-2"}


def test_a_selector_that_fits_nothing_says_so(node, admin):
    """A misspelt name is refused with the nearest one; no selector at all is refused with what could be given."""
    admin.apply({"name": "mm-1", "command": SLEEPER})
    admin.refused("", "stop", {"workers": "mm-2"}, "not_found", "did you mean 'mm-1'?")
    admin.refused("", "stop", {"workers": ["mm-1", "zz-9"]}, "not_found", "zz-9")
    admin.refused("", "stop", {"type": "swap"}, "not_found", "no worker")
    admin.refused("", "stop", {}, "invalid", "which workers?")
    admin.refused("", "stop", {"worker": "mm-1"}, "invalid", "did you mean 'workers'?")
    admin.refused("", "stop", {"workers": 5}, "invalid", "args.workers")
    admin.refused("", "stop", {"workers": ["mm-1", 5]}, "invalid", "args.workers[1]")
    admin.refused("", "stop", {"labels": "a"}, "invalid", "args.labels")
    admin.refused("nobody", "stop", None, "not_found", "no worker")
    admin.refused("", "strat", {"workers": "mm-1"}, "not_found", "did you mean 'start'?")
    assert admin.process("mm-1")["state"] == "running"


@pytest.mark.parametrize("key", ["broker_worker", "manager_worker"])
def test_wildcards_spare_the_workers_that_are_the_sites(make_node, broker, admin, key):
    """`broker_worker` carries the commands and `manager_worker` gives them: `all`, globs and selectors pass them by; its
    own name, also in a list, means one. Expected of drain with `stop: true`: the same. Both say `origin: site`."""
    node = make_node(**{key: "mosquitto"}, workers=[
        {"name": "mosquitto", "command": SLEEPER, "type": "broker"}, {"name": "a", "command": SLEEPER}])
    for args in ({"all": True}, {"workers": "*"}, {"workers": "mos*"}, {"type": "broker"}, {"state": "running"},
                 {"workers": ["mos*", "a"]}):
        command = admin.command("", "restart", args)
        command.terminal()
        assert admin.process("mosquitto")["run"] == 1, args
    assert admin.process("mosquitto")["origin"] == "site" and admin.process("a")["origin"] == "file"
    admin.do("", "drain", {"stop": True})
    admin.wait_state("a", "stopped")
    assert admin.process("mosquitto")["state"] == "running"
    admin.do("", "undrain")
    admin.do("", "restart", {"workers": ["mosquitto", "a"]})
    admin.wait_state("mosquitto", "running", run=2)
    admin.do("", "stop", {"workers": "mosquitto"})
    admin.wait_state("mosquitto", "stopped")
    assert node.running


def test_dry_run_answers_what_would_change_and_changes_nothing(node, admin):
    """[cmd-7] for every op that changes something: phase done, result.dry_run, and pid, run and desired state as they
    were; nothing in the journal."""
    record = run_one(admin)
    before = node.journal()
    for op, args in (("stop", None), ("kill", None), ("restart", None), ("start", None), ("reset", None),
                     ("remove", None), ("signal", {"signal": "KILL"})):
        reply = admin.do("a", op, args, dry_run=True)
        assert reply["result"]["dry_run"] is True and "a" in reply["result"]["workers"], (op, reply)
    for op, args in (("drain", {"stop": True}), ("undrain", None), ("shutdown", None), ("reload", None)):
        assert admin.do("", op, args, dry_run=True)["result"]["dry_run"] is True, op
    plan = admin.apply({"name": "a", "command": ["sleep", "5"]}, {"name": "b", "command": SLEEPER}, dry_run=True)
    assert plan["result"]["workers"]["a"]["change"] == "restarted", plan
    assert plan["result"]["workers"]["b"]["change"] == "added", plan
    admin.apply({"name": "a", "command": SLEEPER, "bogus": 1}, phase="rejected", dry_run=True)
    admin.do("", "list")
    assert node.running and admin.process("b") is None
    assert {k: admin.process("a")[k] for k in ("pid", "run", "state")} == {k: record[k] for k in ("pid", "run", "state")}
    assert admin.status()["state"] == "online"
    assert node.journal() == before


def test_expect_guards_a_command(node, admin):
    """[cmd-2] expect {epoch, run, version, state}: what does not hold refuses the command, what holds lets it pass."""
    record = run_one(admin)
    for wrong in ({"run": record["run"] + 1}, {"state": "stopped"}, {"epoch": 1}, {"version": 99}):
        admin.refused("a", "stop", None, "conflict", f"expected {next(iter(wrong))}", expect=wrong)
    admin.refused("a", "stop", None, "invalid", "expect", expect={"runn": 1})
    assert nodes.alive(record["pid"])
    right = {"run": record["run"], "state": "running", "epoch": record["epoch"], "version": record["version"]}
    admin.do("a", "stop", expect=right)


def test_stop_with_grace_kills_what_ignores_it_and_not_before(node, admin):
    """F04, [cmd-6]: SIGTERM, and SIGKILL after the grace time: not before it; `done` only after the end."""
    record = run_one(admin, **STUBBORN, stop={"grace": "400ms"})
    began = time.monotonic()
    reply = admin.do("a", "stop")
    took = time.monotonic() - began
    assert 0.4 <= took < 5, took
    assert reply["result"]["exit"]["signal"] == "SIGKILL" and not nodes.alive(record["pid"])
    assert admin.process("a")["exit"]["cause"] == "kill", admin.process("a")


def test_stop_signal_of_the_spec_is_used(node, admin):
    """stop.signal: INT arrives as INT, and a program that ends by it with code 0 has ended cleanly."""
    run_one(admin, command=["sh", "-c", "trap 'exit 7' INT; echo up; while :; do sleep 0.05; done"],
            stop={"signal": "INT"}, ready={"log": "up"})
    assert admin.do("a", "stop")["result"]["exit"]["code"] == 7


def test_a_worker_answers_for_its_own_ops_and_the_node_for_a_worker_that_is_not_there(node, admin, broker):
    """An op that is none of the daemon's belongs to the worker; when it is stopped or unknown the node answers."""
    admin.apply({"name": "p", "type": "probe"})
    admin.wait(lambda: admin.record(f"worker/{node.name}/p/status"))
    reply = admin.do("p", "echo", {"text": "hello"})
    assert reply["result"]["text"] == "hello" and reply["by"] != node.name, reply
    assert admin.wait_process("p", lambda p: p["speaks"])
    admin.do("p", "stop")
    admin.refused("p", "echo", {"text": "x"}, "conflict", "worker is stopped")
    admin.refused("p", "strat", None, "conflict", "did you mean 'start'?")
    admin.refused("q", "echo", None, "not_found", "no worker 'q'")
