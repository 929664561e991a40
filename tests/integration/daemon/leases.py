"""Leases as a manager grants them, and a worker that writes down when it lived: the other half of [lease-1..7].

The safety that matters is of times on one clock: `Timeline` tells of CLOCK_BOOTTIME, and so does `Renewer.granted`.
Nothing here sleeps; every wait has a deadline. Must not use code of ours to speak MQTT or msgpack.
"""
import json
import os
import pathlib
import secrets
import threading
import time

import harness
import msgpack

# Writes a line when it starts, every 20 ms, and when it is asked to end. argv: file, "stubborn" or "meek".
LIVES = """
import json, os, signal, sys, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
def say(what):
    line = {"what": what, "node": os.environ.get("REEVE_NODE"), "worker": os.environ.get("REEVE_WORKER"), "pid": os.getpid(),
            "run": int(os.environ.get("REEVE_RUN", 0)), "fence": int(os.environ.get("REEVE_FENCE", 0)),
            "at": int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)}
    os.write(out, (json.dumps(line) + "\\n").encode())
def asked(number, frame):
    say("asked")
    if sys.argv[2] == "meek":
        say("stop")
        os._exit(0)
signal.signal(signal.SIGTERM, asked)
say("start")
while True:
    time.sleep(0.02)
    say("alive")
"""


def boot_ms():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)


class Timeline:
    """The file of workers that ran LIVES, of one node or of several."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def spec(self, name="single", fence=1, after="3s", stubborn=False, **more):
        """A leased worker that writes here."""
        return {"name": name, "command": ["/usr/bin/python3", "-S", "-E", "-c", LIVES, str(self.path),
                                          "stubborn" if stubborn else "meek"],
                "fence": fence, **({"self_stop_after": after} if after else {}), **more}

    def lines(self):
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines() if line.endswith("}")]

    def lives(self):
        """[{node, worker, run, pid, fence, first, last, asked (None = never)}] in order of their first line."""
        found = {}
        for line in self.lines():
            life = found.setdefault((line["node"], line["pid"]), {
                **{key: line[key] for key in ("node", "worker", "run", "pid", "fence")}, "first": line["at"], "asked": None})
            life["last"] = line["at"]
            if line["what"] == "asked" and life["asked"] is None:
                life["asked"] = line["at"]
        return list(found.values())

    def wait_lives(self, count, deadline=harness.DEADLINE):
        harness.wait_until(lambda: len(self.lives()) >= count, deadline, f"{count} lives in {self.path}")
        return self.lives()

    def assert_never_two(self):
        """At no instant two of them."""
        lives = sorted(self.lives(), key=lambda life: life["first"])
        for before, after in zip(lives, lives[1:]):
            assert before["last"] < after["first"], f"two at once: {before} and {after}"
            assert before["fence"] <= after["fence"], f"an older fence after a newer one: {before} and {after}"


class Renewer:
    """A manager as far as leases go: answers every status of the node with `renew`, while `on`."""

    def __init__(self, broker, node, leases, version=5, on=True):
        self.broker, self.node, self.leases, self.on = broker, node, dict(leases), on
        self.beats, self.granted, self.replies = [], [], []  # beats: numbers; granted: (boot ms, beat)
        self.changed = threading.Condition()
        self.client = broker.client("manager", version=version)
        inner = self.client.paho.on_message

        def on_message(mqtt, data, message):
            self._take(message)
            inner(mqtt, data, message)
        self.client.paho.on_message = on_message
        self.client.subscribe(broker.topic(f"node/{node}/status"), broker.topic("reply/manager/+"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.on = False
        self.broker.clients = [c for c in self.broker.clients if c is not self.client]
        self.client.close()

    def _take(self, message):
        value = msgpack.unpackb(message.payload) if message.payload else None
        with self.changed:
            if "/reply/" in message.topic:
                if value and value.get("id", "").startswith("lease-"):
                    self.replies.append(value)
            elif value and value.get("beat"):
                self.beats.append(value["beat"])
                if self.on:
                    self.renew(value["beat"])
            self.changed.notify_all()

    def renew(self, beat, leases=None):
        """One renewal now; its time is written down before it leaves."""
        self.granted.append((boot_ms(), beat))
        command_id = f"lease-{secrets.token_hex(8)}"
        body = {"id": command_id, "reply_to": self.broker.topic(f"reply/manager/{command_id}"), "beat": beat,
                "leases": self.leases if leases is None else leases}
        self.client.paho.publish(self.broker.topic(f"node/{self.node}/cmd/renew"), msgpack.packb(body), 1)
        return command_id

    def wait(self, predicate, deadline=harness.DEADLINE, what="condition"):
        with self.changed:
            if not self.changed.wait_for(predicate, deadline):
                raise harness.Late(f"not within {deadline:g} s: {what}; replies {self.replies[-3:]}")
            return predicate()

    def answer(self, command_id):
        return self.wait(lambda: next((r for r in self.replies if r["id"] == command_id and r["phase"] != "accepted"), None),
                         what=f"answer to {command_id}")

    def wait_beat(self, above=0):
        return self.wait(lambda: next((b for b in reversed(self.beats) if b > above), None), what=f"beat above {above}")

    def last_grant(self):
        """Boot ms of the last renewal that went out: by this and self_stop_after the worker has to be gone."""
        return self.granted[-1][0]
