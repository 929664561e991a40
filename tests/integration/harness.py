"""What system tests share: the broker from the files of broker-config/, and an MQTT client that records.

Nothing here sleeps: everything waits for an event with a deadline. Must not use code of ours to speak MQTT.
"""
import os
import pathlib
import pwd
import secrets
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

SOURCE = pathlib.Path(os.environ.get("REEVE_SOURCE", pathlib.Path(__file__).parents[2]))


def programs():
    """The folder of the programs: REEVE_BIN, else the `dev` build, which must not be of other sources than these."""
    if "REEVE_BIN" in os.environ:
        return pathlib.Path(os.environ["REEVE_BIN"])
    build = SOURCE / "build/dev"
    said = subprocess.run(["ninja", "-C", build, "-n"], capture_output=True, text=True, check=False).stdout
    if "no work to do" not in said:
        raise RuntimeError(f"{build} is not what these sources make: build it (ninja -C {build}), or say in REEVE_BIN what to test")
    return build / "bin"


BIN = programs()
MOSQUITTO = "/usr/sbin/mosquitto"
ROLES = ("admin", "operator", "viewer", "producer", "manager", "worker")
DEADLINE = 20.0  # seconds: far more than anything here takes, so that a loaded machine fails nothing


NO_SUBSCRIBERS = 0x10  # PUBACK: taken, and of interest to nobody


class Late(AssertionError):
    """What was waited for did not happen in time."""


def wait_until(predicate, deadline=DEADLINE, what="condition", interval=0.01):
    """Poll what announces itself by no event (a file, a process); returns its first true value."""
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise Late(f"not within {deadline:g} s: {what}")
        time.sleep(interval)


def free_port():
    """A port that was free a moment ago. Mosquitto can't bind 0, so Broker.start() tries again when it was taken."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Mqtt(paho.Client):
    """Debian's 1.6 reads the reason of a PUBACK and tells it to nobody."""

    puback = 0

    def _handle_pubackcomp(self, cmd):
        packet = self._in_packet["packet"]
        self.puback = packet[2] if len(packet) > 2 else 0
        return super()._handle_pubackcomp(cmd)  # calls on_publish


@dataclass
class Message:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    at: float  # time.monotonic()
    properties: object = None


@dataclass
class Client:
    """One MQTT session. `messages` grows as they arrive; `wait_for` looks at all of them, old ones too."""

    paho: paho.Client
    version: int
    messages: list = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    connack: object = None  # its reason code
    connack_properties: object = None
    lost: object = None
    acks: dict = field(default_factory=dict)  # message id -> reason of PUBACK, SUBACK, UNSUBACK

    def _note(self, change):
        with self.changed:
            change()
            self.changed.notify_all()

    def wait(self, predicate, deadline=DEADLINE, what="condition"):
        """Wait until predicate() is true; it is asked again whenever something arrived."""
        with self.changed:
            if not self.changed.wait_for(predicate, deadline):
                raise Late(f"not within {deadline:g} s: {what}; last: {self.messages[-5:]}")
            return predicate()

    def wait_for(self, predicate, deadline=DEADLINE, what="message"):
        """The first message, arrived or to come, for which predicate(message) is true."""
        return self.wait(lambda: next((m for m in self.messages if predicate(m)), None), deadline, what)

    def wait_topic(self, topic, deadline=DEADLINE):
        return self.wait_for(lambda m: m.topic == topic, deadline, topic)

    def of(self, topic):
        with self.changed:
            return [m for m in self.messages if m.topic == topic]

    def clear(self):
        with self.changed:
            self.messages.clear()

    def subscribe(self, *filters, qos=1):
        rc, mid = self.paho.subscribe([(f, qos) for f in filters])
        assert rc == paho.MQTT_ERR_SUCCESS, paho.error_string(rc)
        self.wait(lambda: mid in self.acks, what=f"SUBACK of {filters}")
        return self.acks.pop(mid)

    def publish(self, topic, payload=b"", qos=1, retain=False, wait=True, response=None, correlation=None):
        """Publish; with QoS 1 wait for the PUBACK and return its reason code (0 on MQTT 3.1.1, whatever happened)."""
        properties = None
        if response or correlation:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic = response
            if correlation:
                properties.CorrelationData = correlation
        info = self.paho.publish(topic, payload, qos, retain, properties)
        assert info.rc == paho.MQTT_ERR_SUCCESS, paho.error_string(info.rc)
        if qos and wait:
            self.wait(lambda: info.mid in self.acks, what=f"PUBACK of {topic}")
            return self.acks.pop(info.mid)
        return None

    def close(self):
        """Leave with DISCONNECT: no will."""
        self.paho.disconnect()
        self.paho.loop_stop()

    def cut(self):
        """Drop the connection as a killed process does: the broker sends the will."""
        sock = self.paho.socket()
        if sock:
            sock.shutdown(socket.SHUT_RDWR)
        self.wait(lambda: self.lost is not None, what="connection cut")
        self.paho.loop_stop()


def connect(port, username=None, password=None, client_id="", version=5, will=None, keepalive=60, expect=0,
            deadline=DEADLINE):
    """A connected Client; `expect` is the reason code the broker must answer with, None = any. will: (topic, payload)."""
    version = {5: paho.MQTTv5, 4: paho.MQTTv311}[version]
    options = {} if version == paho.MQTTv5 else {"clean_session": True}
    client = Client(Mqtt(client_id=client_id, protocol=version, **options), version)
    mqtt = client.paho
    if username is not None:
        mqtt.username_pw_set(username, password)
    if will:
        mqtt.will_set(will[0], will[1], 1, True)

    def on_connect(_mqtt, _data, _flags, reason, properties=None):
        client.connack_properties = properties
        client._note(lambda: setattr(client, "connack", getattr(reason, "value", reason)))

    def on_disconnect(_mqtt, _data, reason, _properties=None):
        client._note(lambda: setattr(client, "lost", getattr(reason, "value", reason)))

    def on_ack(_mqtt, _data, mid, reasons=None, _properties=None):
        client._note(lambda: client.acks.__setitem__(mid, reasons))

    def on_message(_mqtt, _data, m):
        message = Message(m.topic, m.payload, m.qos, bool(m.retain), time.monotonic(), getattr(m, "properties", None))
        client._note(lambda: client.messages.append(message))

    def on_socket_open(_mqtt, _data, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each round trip takes 40 ms

    mqtt.on_connect, mqtt.on_disconnect, mqtt.on_message = on_connect, on_disconnect, on_message
    mqtt.on_socket_open = on_socket_open
    mqtt.on_subscribe = on_ack
    mqtt.on_publish = lambda _mqtt, _data, mid: on_ack(_mqtt, _data, mid, mqtt.puback)
    mqtt.reconnect_on_failure = False
    mqtt.connect("127.0.0.1", port, keepalive)
    mqtt.loop_start()
    client.wait(lambda: client.connack is not None or client.lost is not None, deadline, "CONNACK")
    if expect is not None and client.connack != expect:
        mqtt.loop_stop()
        raise AssertionError(f"CONNACK {client.connack} for user {username!r}, expected {expect}")
    return client


class Broker:
    """Mosquitto as a site starts it, from the templates in broker-config/.

        broker = Broker(tmp_path); broker.start()
        viewer = broker.client("viewer"); viewer.subscribe(broker.topic("node/+/status"))
    """

    def __init__(self, directory, node="alpha", root="reeve/v1/local", conf=None, acl=None, users=(), wrapper=()):
        """conf: {key: value} replaces or adds lines; acl: text appended; users: more usernames than the roles and
        the node; wrapper: command line before mosquitto's own arguments, e.g. the path of reeve-worker-broker."""
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.node, self.root, self.conf, self.extra_acl = node, root, conf or {}, acl or ""
        self.wrapper = list(wrapper)
        self.port = None
        self.process = None
        self.stderr = self.directory / "broker.log"
        self.users = {name: secrets.token_urlsafe(18) for name in (*ROLES, node, *users)}
        self.clients = []

    # ---- files

    @property
    def config(self):
        return self.directory / "mosquitto.conf"

    @property
    def store(self):
        return self.directory / "mosquitto.db"

    def topic(self, below):
        return f"{self.root}/{below}"

    def write_files(self):
        values = {"PORT": self.port, "DIR": self.directory, "USER": pwd.getpwuid(os.geteuid()).pw_name,
                  "ROOT": self.root, "NODE": self.node}
        self._write("mosquitto.conf", self._override(self._fill("mosquitto.conf.in", values)))
        self._write("acl", self._fill("acl.in", values) + self.extra_acl)
        self._write("passwords", "".join(f"{name}:{word}\n" for name, word in self.users.items()))
        subprocess.run(["mosquitto_passwd", "-U", self.directory / "passwords"], check=True)

    def _fill(self, template, values):
        text = (SOURCE / "broker-config" / template).read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    def _override(self, text):
        lines = [line for line in text.splitlines() if line.split(" ")[0] not in self.conf]
        return "\n".join([*lines, *(f"{k} {v}" for k, v in self.conf.items() if v is not None)]) + "\n"

    def _write(self, name, text):
        path = self.directory / name
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)

    # ---- process

    def start(self, wait=True):
        """Start it, on the port of the last start if there was one, and wait until it answers."""
        if self.port is None:
            for _ in range(5):
                self.port = free_port()
                self.write_files()
                self._spawn()
                if self._answers():
                    return self
            raise Late(f"broker does not start: {self.log()[-2000:]}")
        self._spawn()
        if wait and not self._answers():
            raise Late(f"broker does not start again: {self.log()[-2000:]}")
        return self

    def _spawn(self):
        command = [*self.wrapper, "--config", self.config] if self.wrapper else [MOSQUITTO, "-c", self.config]
        with open(self.stderr, "ab") as log:
            self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _answers(self):
        """True once it accepts connections, false if it ended."""
        def tried():
            if self.process.poll() is not None:
                return "ended"
            with socket.socket() as sock:
                return "answers" if sock.connect_ex(("127.0.0.1", self.port)) == 0 else None
        return wait_until(tried, what=f"broker on port {self.port}") == "answers"

    @property
    def pid(self):
        """Of mosquitto itself, also behind a wrapper."""
        if not self.wrapper:
            return self.process.pid
        pid = self.process.pid
        return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def signal(self, number):
        os.kill(self.pid, number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL to mosquitto: nothing saved, no wills."""
        self.signal(signal.SIGKILL)
        return self.process.wait(DEADLINE)

    def stop(self):
        """SIGTERM: saves its store and publishes the wills of all who are connected."""
        if self.process is not None and self.process.poll() is None:
            end = time.monotonic() + DEADLINE
            while self.process.poll() is None and time.monotonic() < end:
                self.process.terminate()  # Mosquitto forgets one that comes before its main loop
                try:
                    self.process.wait(1)
                except subprocess.TimeoutExpired:
                    pass
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        return self.process.returncode if self.process else None

    def log(self):
        return self.stderr.read_text(errors="replace") if self.stderr.exists() else ""

    # ---- clients

    def client(self, role=None, password=None, **options):
        """A connected session of a role (or any username); None = without credentials. Closed by close()."""
        if role is not None and password is None:
            password = self.users.get(role, "")
        client = connect(self.port, role, password, **options)
        self.clients.append(client)
        return client

    def close_clients(self):
        while self.clients:
            self.clients.pop().close()

    def close(self):
        self.close_clients()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        self.stop()
