"""A producer that does not wait for its answers: `enqueue` after `enqueue`, as fast as the broker takes them, and no look at any reply.

argv: port, user, password, root, queue, messages, jobs in each, bytes of each. A process of its own, so that it slows nobody's Python."""
import sys

import msgpack
import paho.mqtt.client as paho

port, user, password, root, queue, messages, jobs, size = (int(a) if a.isdigit() else a for a in sys.argv[1:])
client = paho.Client(protocol=paho.MQTTv311, clean_session=True)
client.username_pw_set(user, password)
client.max_inflight_messages_set(100)
client.connect("127.0.0.1", port)
client.loop_start()
last = None
for n in range(messages):
    batch = [{"id": f"f{n}-{i}", "type": "nobody-does-this", "payload": "x" * size} for i in range(jobs)]
    body = {"id": f"flood-{n}", "reply_to": f"{root}/reply/{user}/flood-{n}", "args": {"jobs": batch}}
    last = client.publish(f"{root}/queue/{queue}/cmd/enqueue", msgpack.packb(body), 1)
    if n % 100 == 99:
        last.wait_for_publish(60)
last.wait_for_publish(60)
client.disconnect()
