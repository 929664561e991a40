"""Random payloads for command topics: bytes, msgpack-like, JSON-like, and mutations of them. What a test knows to be keys of
its ops goes to KEYS. Must not know whom they are sent to."""
import json
import string

import msgpack


def mutate(rng, payload):
    data = bytearray(payload)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        choice = rng.randrange(4)
        if choice == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif choice == 1:
            data[at:at] = rng.randbytes(rng.randint(1, 4))
        elif choice == 2:
            del data[at:at + rng.randint(1, 8)]
        else:
            data = data[:at]
    return bytes(data)


def random_value(rng, depth=0):
    kinds = [lambda: None, lambda: rng.random() < 0.5, lambda: rng.randint(-2**63, 2**64 - 1), lambda: rng.uniform(-1e300, 1e300),
             lambda: "".join(rng.choices(string.printable + "äöü\u2028\0", k=rng.randint(0, 20))),
             lambda: rng.randbytes(rng.randint(0, 20))]
    if depth < 5:
        kinds += [lambda: [random_value(rng, depth + 1) for _ in range(rng.randint(0, 4))],
                  lambda: {random_key(rng): random_value(rng, depth + 1) for _ in range(rng.randint(0, 4))}] * 2
    return rng.choice(kinds)()


KEYS = ("id", "args", "reply_to", "issued_at", "expires_at", "issuer", "expect", "priority", "workers", "grace", "signal",
        "tail", "follow", "type", "state", "labels", "name", "command", "worker", "signed", "key", "sig")


def random_key(rng):
    return rng.choice(KEYS) if rng.random() < 0.7 else "".join(rng.choices(string.ascii_lowercase + "./+#\0", k=3))


def random_payload(rng):
    roll = rng.random()
    if roll < 0.25:
        return rng.randbytes(rng.randint(1, 64))
    body = {random_key(rng): random_value(rng) for _ in range(rng.randint(0, 6))}
    if roll < 0.5:
        return mutate(rng, msgpack.packb(body))
    text = json.dumps(body, default=lambda b: b.hex()).encode()
    return mutate(rng, text) if roll < 0.75 else rng.choice([text, msgpack.packb(body)])
