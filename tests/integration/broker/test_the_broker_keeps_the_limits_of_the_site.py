"""The limits in mosquitto.conf.in do what they are there for: nothing acknowledged is dropped, nothing grows without bound."""
import os
import re
import stat

import harness


def test_a_wildcard_subscription_sees_5000_retained_records(make_broker):
    """With the preset of max_queued_messages a subscriber gets about 1,000 of them."""
    broker = make_broker().start()
    node = broker.client("alpha")
    node.paho.max_queued_messages_set(0)
    topics = {broker.topic(f"worker/alpha/w-{n}/process") for n in range(5000)}
    for topic in topics:
        node.publish(topic, b"x", retain=True, wait=False)
    node.wait(lambda: len(node.acks) == 5000, what="5000 PUBACKs")
    viewer = broker.client("viewer")
    viewer.subscribe(broker.topic("worker/#"))
    viewer.wait(lambda: len(viewer.messages) >= 5000, what="5000 records")
    assert {m.topic for m in viewer.messages} == topics


def test_a_denied_publish_costs_the_message_and_not_the_session(broker):
    """With max_queued_messages 0, Mosquitto 2.0.11 disconnects after the PUBACK of a denied publish, and the will goes out."""
    for version in (5, 4):
        viewer = broker.client("viewer", version=version)
        own = broker.topic("reply/viewer/probe")
        viewer.subscribe(own)
        for qos in (0, 1):
            viewer.publish(broker.topic("node/alpha/cmd/stop"), b"x", qos=qos)
        viewer.publish(own)
        viewer.wait_topic(own)
        assert viewer.lost is None


def test_a_client_may_have_1000_messages_in_flight(broker):
    """MQTT 5 tells it in the CONNACK. The preset of 20 makes Paho C stall."""
    told = broker.client("operator").connack_properties
    assert told.ReceiveMaximum == 1000
    assert told.MaximumPacketSize == 1048576


def test_a_packet_over_a_mebibyte_is_refused_and_the_broker_goes_on(broker):
    client = broker.client("worker")
    client.publish(broker.topic("worker/alpha/w/event"), b"x" * 1_040_000)
    big = broker.client("worker")
    big.publish(broker.topic("worker/alpha/w/event"), b"x" * 1_100_000, wait=False)
    big.wait(lambda: big.lost is not None, what="disconnect")
    client.publish(broker.topic("worker/alpha/w/event"), b"still here")
    assert broker.process.poll() is None


def test_it_listens_on_the_loopback_only(broker):
    listening = []
    for name in ("tcp", "tcp6"):
        for line in open(f"/proc/{broker.pid}/net/{name}", encoding="ascii"):
            found = re.match(r" *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F:]+ 0A ", line)
            if found and int(found[2], 16) == broker.port:
                listening.append(found[1])
    assert listening == ["0100007F"]


def test_retained_records_outlive_an_orderly_restart(broker):
    topic = broker.topic("node/alpha/status")
    broker.client("alpha").publish(topic, b"kept", retain=True)
    assert broker.stop() == 0
    broker.start()
    viewer = broker.client("viewer")
    viewer.subscribe(topic)
    message = viewer.wait_topic(topic)
    assert message.payload == b"kept" and message.retain


def test_retained_records_are_saved_within_seconds(broker):
    """autosave_interval 5: the preset is half an hour."""
    topic = broker.topic("node/alpha/status")
    broker.client("alpha").publish(topic, b"kept", retain=True)
    harness.wait_until(lambda: broker.store.exists() and b"kept" in broker.store.read_bytes(), what="autosave")
    broker.kill()
    broker.start()
    viewer = broker.client("viewer")
    viewer.subscribe(topic)
    assert viewer.wait_topic(topic).payload == b"kept"


def test_files_with_secrets_are_private_and_hold_no_plain_password(broker):
    for name in ("passwords", "acl", "mosquitto.conf"):
        assert stat.S_IMODE(os.stat(broker.directory / name).st_mode) == 0o600, name
    assert stat.S_IMODE(os.stat(broker.directory).st_mode) == 0o700
    hashes = (broker.directory / "passwords").read_text()
    assert hashes.count(":$7$") == len(broker.users)
    assert not any(word in hashes for word in broker.users.values())


def test_nothing_of_the_templates_is_left_unfilled(broker):
    for name in ("acl", "mosquitto.conf"):
        lines = [line for line in (broker.directory / name).read_text().splitlines() if not line.startswith("#")]
        assert not re.search("@[A-Z]+@", "\n".join(lines)), name


def test_what_interests_nobody_is_acknowledged_as_such(broker):
    """A command that is never answered: was it lost, or was nobody there who takes it?"""
    admin = broker.client("admin")
    assert admin.publish(broker.topic("queue/q/cmd/apply"), b"x") == harness.NO_SUBSCRIBERS
    admin.subscribe(broker.topic("queue/+/cmd/+"))
    assert admin.publish(broker.topic("queue/q/cmd/apply"), b"x") == 0
