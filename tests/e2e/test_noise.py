"""Datagrams that no honest peer sends: nothing crashes, what is connected goes on, they are counted."""
import re

from harness import IPV4

PORT = 7471
# Deterministic: nothing at all, junk of every length up to 600 bytes, and headers that are almost right (any opcode, QPN and
# length, ICRC wrong).
NOISE = f"""
import random, socket, sys
chance = random.Random(4791)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for length in range(600):
    s.sendto(chance.randbytes(length), ("{IPV4}", 4791))
for n in range(3000):
    qpn = chance.choice([0, 1, 2, 17, 0xffffff, chance.getrandbits(24)])
    bth = bytes([chance.getrandbits(8), chance.getrandbits(8) & 0xf0, 0xff, 0xff, 0]) + qpn.to_bytes(3, "big") + chance.randbytes(4)
    s.sendto(bth + chance.randbytes(chance.choice([0, 4, 16, 28, 260, 264, 1028])), ("{IPV4}", 4791))
print("sent 3600")
"""


def test_noise(host):
    server = host.run("cm_transfer", "server", IPV4, PORT, 4)
    server.line("^listening")
    client = host.run("cm_transfer", "client", IPV4, PORT, 4)
    client.line("^round 3$")
    host.start("/usr/bin/python3", "-c", NOISE).succeeds()
    client.line("^round", count=client.count("^round") + 5)
    devices = host.hawser("devices", "-v").succeeds()
    assert sum(int(n) for n in re.findall(r"(?:malformed|bad ICRC|unknown QP)\D*(\d+)", devices)) > 0, devices
    client.say("stop")
    client.succeeds()
    server.succeeds()
