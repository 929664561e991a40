"""Broken networks for tests: a namespace whose link can be cut, slowed and made lossy, and a proxy of our own.

Each ends what it made. Namespaces need root; `needs_namespaces` skips where they are not to be had.
"""
import os
import secrets
import selectors
import shutil
import socket
import struct
import subprocess
import threading

import pytest

from watching import nodes


def run(*command, check=True):
    return subprocess.run([str(c) for c in command], check=check, capture_output=True, text=True)


def namespaces_possible():
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("ip", "iptables", "nsenter")):
        return False
    name = f"reeve-{secrets.token_hex(3)}"
    made = run("ip", "netns", "add", name, check=False).returncode == 0
    if made:
        run("ip", "netns", "del", name, check=False)
    return made


needs_namespaces = pytest.mark.skipif(not namespaces_possible(), reason="needs root, ip, iptables and network namespaces")


class Namespace:
    """A network of its own with one link to the host: `wrapper` before a command puts it there.

    Only the network is another: /sys and the control groups are the host's, so not `ip netns exec`.
    """

    def __init__(self):
        mark = secrets.token_hex(3)
        self.name, self.outside, self.inside = f"reeve-{mark}", f"rv{mark}o", f"rv{mark}i"
        subnet = secrets.randbelow(1 << 14) << 2
        self.host = f"10.213.{subnet >> 8}.{(subnet & 255) + 1}"
        self.address = f"10.213.{subnet >> 8}.{(subnet & 255) + 2}"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.outside, "type", "veth", "peer", "name", self.inside, "netns", self.name)
        run("ip", "addr", "add", f"{self.host}/30", "dev", self.outside)
        run("ip", "link", "set", self.outside, "up")
        self._in("ip", "addr", "add", f"{self.address}/30", "dev", self.inside)
        self._in("ip", "link", "set", self.inside, "up")
        self._in("ip", "link", "set", "lo", "up")

    @property
    def wrapper(self):
        return ["nsenter", f"--net=/run/netns/{self.name}", "--"]

    def _in(self, *command, check=True):
        return run(*self.wrapper, *command, check=check)

    def drop(self, direction="both"):
        """Packets vanish: to_host, from_host or both. Nobody is told."""
        if direction in ("both", "to_host"):
            self._in("iptables", "-I", "OUTPUT", "-o", self.inside, "-j", "DROP")
        if direction in ("both", "from_host"):
            self._in("iptables", "-I", "INPUT", "-i", self.inside, "-j", "DROP")

    def lose(self, share):
        """This share of the packets vanishes, either way."""
        for chain, flag in (("OUTPUT", "-o"), ("INPUT", "-i")):
            self._in("iptables", "-I", chain, flag, self.inside, "-m", "statistic", "--mode", "random",
                     "--probability", share, "-j", "DROP")

    def heal(self):
        for chain in ("INPUT", "OUTPUT"):
            self._in("iptables", "-F", chain)

    def full_speed(self):
        run("tc", "qdisc", "del", "dev", self.outside, "root")
        self._in("tc", "qdisc", "del", "dev", self.inside, "root")

    def slow(self, rate):
        """tbf on both ends of the link, with a queue of 3 s, as slow links have."""
        for command, device in ((run, self.outside), (self._in, self.inside)):
            command("tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, "burst", "3000", "latency",
                    "3s")

    def close(self):
        run("ip", "link", "del", self.outside, check=False)
        run("ip", "netns", "del", self.name, check=False)

    def url(self, broker):
        return f"mqtt://{self.host}:{broker.port}"


def listen_also(broker, address):
    """Let a running broker listen there as well; its port stays."""
    broker.close_clients()
    broker.stop()
    text = broker.config.read_text()
    if isinstance(broker, nodes.Nats):
        text = text.replace("mqtt { host: 127.0.0.1", "mqtt { host: 0.0.0.0")
    else:
        text += f"listener {broker.port} {address}\n"
    broker.config.write_text(text)
    broker.start()


class Proxy:
    """A TCP proxy on 127.0.0.1 in one thread: `slice_bytes` at a time in each direction, and connections can be reset."""

    def __init__(self, port, slice_bytes=65536):
        self.target, self.slice_bytes, self.pairs, self.accepted = port, slice_bytes, {}, 0
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.wake_read, self.wake_write = socket.socketpair()
        self.selector.register(self.wake_read, selectors.EVENT_READ)
        self.order = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def reset(self):
        """RST to every client, and FIN to the broker; returns when it is done."""
        self._tell("reset")

    def close(self):
        self._tell("close")
        self.thread.join()

    def _tell(self, order):
        with self.changed:
            self.order = order
            self.wake_write.send(b"x")
            assert self.changed.wait_for(lambda: self.order is None, 20), "proxy hangs"

    def _accept(self):
        client, _ = self.listener.accept()
        with self.changed:
            self.accepted += 1
            self.changed.notify_all()
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            self._reset(client)
            return
        for sock, other in ((client, server), (server, client)):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs[sock] = other
            self.selector.register(sock, selectors.EVENT_READ)

    @staticmethod
    def _reset(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def _forget(self, sock):
        other = self.pairs.pop(sock, None)
        if other is None:
            return
        self.pairs.pop(other, None)
        for each in (sock, other):
            self.selector.unregister(each)
            each.close()

    def _pump(self, sock):
        other = self.pairs.get(sock)
        if other is None:
            return
        try:
            data = sock.recv(4096)
            for start in range(0, len(data), self.slice_bytes):
                other.sendall(data[start:start + self.slice_bytes])
        except OSError:
            data = b""
        if not data:
            self._forget(sock)

    def _obey(self):
        self.wake_read.recv(100)
        order = self.order
        for sock in list(self.pairs):
            if sock in self.pairs:
                if order == "reset" and sock.getsockname()[1] == self.port:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._forget(sock)
        with self.changed:
            self.order = None
            self.changed.notify_all()
        return order != "close"

    def _run(self):
        going = True
        while going:
            for key, _ in self.selector.select():
                if key.fileobj is self.wake_read:
                    going = self._obey()
                elif key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj in self.pairs:
                    self._pump(key.fileobj)
        for sock in (self.listener, self.wake_read, self.wake_write):
            sock.close()
        self.selector.close()
