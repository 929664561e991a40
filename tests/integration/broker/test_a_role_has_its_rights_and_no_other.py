"""The table of rights in broker-config/README.md is what the broker does with acl.in: every row, role and direction.

Denied means not delivered: Mosquitto grants every SUBSCRIBE and acknowledges denied publishes (S18). Each round ends in a
marker that takes the same way as what it follows, so that nothing is concluded from time passing.
"""
import re
import uuid

import harness
import pytest

NODE = "alpha"
FOREIGN = "beta"
COLUMNS = ("viewer", "operator", "admin", "manager", "node", "worker", "producer")
# May do everything; exists in the tests' ACL only. Publishes what readers should (not) see, sees what writers (don't) get through.
WITNESS = "witness"
WITNESS_ACL = f"\nuser {WITNESS}\ntopic readwrite #\ntopic readwrite $CONTROL/#\ntopic read $SYS/#\n"
NAMES = {"worker": "mm-1", "pool": "swap", "queue": "swaps", "job": "j-1", "account": "main", "manager": "m-1",
         "kind": "duplicate", "subject": "mm-1", "id": "01j", "somebody": "somebody-else"}


def table():
    """Rows of the README: (topic pattern, {column: rights})."""
    rows = []
    for line in (harness.SOURCE / "broker-config/README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 1 + len(COLUMNS) and cells[0].startswith("`"):
            rows.append((cells[0].strip("`"), dict(zip(COLUMNS, cells[1:]))))
    return rows


def expand(pattern, node, who):
    """The topics a row stands for: names filled in, `<a b c>` one topic each."""
    topics = [pattern]
    while any("<" in topic for topic in topics):
        found = re.search("<([^>]+)>", next(topic for topic in topics if "<" in topic)).group(1)
        if found == "node":
            values = [node]
        elif found == "self":
            values = [who]
        elif found in NAMES:
            values = [NAMES[found]]
        else:
            values = ["no-such-op" if word == "other" else word for word in found.split()]
        topics = [topic.replace(f"<{found}>", value) for topic in topics for value in values]
    return topics


def cases():
    """(column, topic, rights) for the own node and, where a row names a node, for a foreign one."""
    for pattern, rights in table():
        for column in COLUMNS:
            who = NODE if column == "node" else column
            for topic in expand(pattern, NODE, who):
                yield column, topic, rights[column]
            if "<node>" in pattern:
                denied = column in ("node", "worker") and not pattern.startswith("fleet")
                for topic in expand(pattern, FOREIGN, who):
                    yield column, topic, "-" if denied else rights[column]


CASES = list(cases())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    broker = harness.Broker(tmp_path_factory.mktemp("site"), node=NODE, acl=WITNESS_ACL, users=(WITNESS, "stranger"),
                            conf={"sys_interval": 1})  # so that there is something in $SYS that must not be seen
    broker.start()
    yield broker
    broker.close()


@pytest.fixture
def witness(site):
    client = site.client(WITNESS)
    client.subscribe("#")
    yield client
    site.close_clients()


def username(column):
    return NODE if column == "node" else column


def marker(site, who):
    return site.topic(f"reply/{who}/marker-{uuid.uuid4().hex}")


def test_the_table_covers_every_role_and_topic_of_the_protocol():
    assert len(table()) >= 35
    below = {pattern.split("/")[0] for pattern, _ in table()}
    assert below == {"node", "worker", "fleet", "pool", "queue", "job", "account", "manager", "alarm", "audit", "reply"}
    for pattern, rights in table():
        assert set(rights.values()) <= {"r", "w", "rw", "-"}, pattern


@pytest.mark.parametrize("version", [5, 4])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_role_writes_what_the_table_says(site, witness, column, version):
    mine = [(topic, rights) for who, topic, rights in CASES if who == column]
    client = site.client(username(column), version=version)
    for topic, _ in mine:
        client.publish(site.topic(topic), b"x")
    end = marker(site, username(column))
    client.publish(end)
    witness.wait_topic(end)
    arrived = {m.topic for m in witness.messages}
    assert [(t, "w" if site.topic(t) in arrived else "-") for t, _ in mine] == [
        (t, "w" if "w" in rights else "-") for t, rights in mine]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_role_reads_what_the_table_says(site, witness, column):
    mine = [(topic, rights) for who, topic, rights in CASES if who == column]
    client = site.client(username(column))
    client.subscribe("#", site.topic("+/+/cmd/+"), site.topic("reply/+/+"))
    for topic, _ in mine:
        witness.publish(site.topic(topic), b"x")
    end = marker(site, username(column))
    witness.publish(end)
    client.wait_topic(end)
    arrived = {m.topic for m in client.messages}
    assert [(t, "r" if site.topic(t) in arrived else "-") for t, _ in mine] == [
        (t, "r" if "r" in rights else "-") for t, rights in mine]


@pytest.mark.parametrize("column", COLUMNS)
def test_retained_records_are_filtered_like_others(site, witness, column):
    mine = [(topic, rights) for who, topic, rights in CASES if who == column]
    for topic, _ in mine:
        witness.publish(site.topic(topic), b"x", retain=True)
    try:
        client = site.client(username(column))
        client.subscribe("#")
        end = marker(site, username(column))
        witness.publish(end)
        client.wait_topic(end)
        arrived = {m.topic for m in client.messages if m.retain}
        assert {t for t, _ in mine if site.topic(t) in arrived} == {t for t, rights in mine if "r" in rights}
    finally:
        for topic, _ in mine:
            witness.publish(site.topic(topic), b"", retain=True)


def test_nobody_connects_without_a_password(site):
    for version, refused in ((5, 135), (4, 5)):
        assert site.client(None, version=version, expect=None).connack == refused
        assert site.client("admin", password="", version=version, expect=None).connack == refused
        assert site.client("admin", password="admin", version=version, expect=None).connack == refused
        assert site.client("nobody", password="x", version=version, expect=None).connack == refused


def test_a_user_without_rules_has_its_own_replies_and_nothing_else(site, witness):
    stranger = site.client("stranger")
    stranger.subscribe("#")
    for topic in (site.topic("node/alpha/status"), site.topic("node/alpha/cmd/stop"), "any/topic"):
        stranger.publish(topic, b"x")
        witness.publish(topic, b"from witness")
    end = marker(site, "stranger")
    stranger.publish(end)
    witness.wait_topic(end)
    stranger.wait_topic(end)
    assert [m.topic for m in stranger.messages] == [end]
    assert not [m for m in witness.messages if m.payload == b"x"]


@pytest.mark.parametrize("topic", ["worker/alpha/mm-1/lwt", "node/alpha/status", "worker/beta/mm-1/lwt"])
def test_a_forged_will_is_not_delivered(site, witness, topic):
    forger = site.client("viewer", will=(site.topic(topic), b"forged"))
    forger.cut()
    # The broker deals with the will before it answers who comes after the death was seen.
    end = marker(site, "viewer")
    site.client("viewer").publish(end)
    witness.wait_topic(end)
    assert not witness.of(site.topic(topic))


def test_an_own_will_is_delivered(site, witness):
    topic = site.topic("worker/alpha/mm-1/lwt")
    site.client("worker", will=(topic, b"epoch")).cut()
    assert witness.wait_topic(topic).payload == b"epoch"
    witness.publish(topic, b"", retain=True)


@pytest.mark.parametrize("column", COLUMNS)
def test_the_broker_shows_and_gives_nothing_of_itself(site, witness, column):
    witness.subscribe("$SYS/#")
    witness.wait_topic("$SYS/broker/uptime")
    client = site.client(username(column))
    client.subscribe("$SYS/#", "$SYS/broker/version", "$CONTROL/#", "$share/g/$SYS/#")
    client.publish("$CONTROL/dynamic-security/v1", b"{}")
    client.publish("$SYS/broker/version", b"forged", retain=True)
    end = marker(site, username(column))
    client.subscribe(end)
    client.publish(end)
    client.wait_topic(end)
    assert [m.topic for m in client.messages] == [end]
    assert not [m for m in witness.messages if m.payload == b"forged"]


@pytest.mark.parametrize("client_id", ["+", "#", "a/b", "mm-1/status"])
def test_a_client_id_widens_no_rule(site, witness, client_id):
    client = site.client("viewer", client_id=client_id)
    client.subscribe("#")
    client.publish(site.topic("node/alpha/cmd/stop"), b"x")
    client.publish(site.topic("reply/operator/1"), b"x")
    witness.publish(site.topic("reply/operator/1"), b"y")
    end = marker(site, "witness")
    other = site.client(WITNESS)
    other.publish(end)
    witness.wait_topic(end)
    assert not [m for m in witness.messages if m.payload == b"x"]
    assert not [m for m in client.messages if m.topic == site.topic("reply/operator/1")]


def test_a_shared_subscription_delivers_no_more_than_a_plain_one(site, witness):
    viewer = site.client("viewer")
    viewer.subscribe("$share/g/" + site.topic("#"))
    for topic in ("node/alpha/cmd/stop", "audit/alpha", "worker/alpha/mm-1/log"):
        witness.publish(site.topic(topic), b"x")
    end = marker(site, "viewer")
    witness.publish(end)
    viewer.wait_topic(end)
    assert {m.topic for m in viewer.messages} == {end}


@pytest.mark.parametrize("below", ["spam", "node/alpha/status/deeper", "worker/alpha/mm-1/no-such-leaf", "reply/alpha/1/2", ""])
def test_nobody_fills_the_broker_with_topics_of_its_own_making(site, witness, below):
    for column in COLUMNS:
        client = site.client(username(column))
        client.publish(site.topic(below), b"x", retain=True)
        end = marker(site, username(column))
        client.publish(end)
        witness.wait_topic(end)
    assert not witness.of(site.topic(below))
