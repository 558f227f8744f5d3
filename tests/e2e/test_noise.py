"""Datagrams that no honest peer sends: nothing crashes, nothing grows, what is connected goes on, they are counted."""
import re
from pathlib import Path

import pytest

from harness import IPV4, wait_for

PORT = 7471

# Deterministic: nothing at all, junk of every length up to 600 bytes, and headers that are almost right (any opcode, QPN and
# length, ICRC wrong).
JUNK = f"""
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

# Spoofed: the ICRC is right, and so are the numbers of the queue pairs that the command line gives, but the sender (127.0.0.1)
# is not the peer. To QP 1 go MADs: any of the connection manager's messages, with random ids and contents.
SPOOFED = f"""
import random, socket, sys, zlib
chance = random.Random(1974)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO: DF and identification 0, as the ICRC covers them
s.bind(("127.0.0.1", 0))
source, destination = socket.inet_aton("127.0.0.1"), socket.inet_aton("{IPV4}")
def send(opcode, qpn, rest):
    bth = bytes([opcode, 0, 0xff, 0xff, 0xff]) + qpn.to_bytes(3, "big") + b"\\x80" + chance.randbytes(3)
    length = 8 + len(bth) + len(rest) + 4
    ip = bytes([0x45, 0xff]) + (20 + length).to_bytes(2, "big") + b"\\0\\0\\x40\\0\\xff\\x11\\xff\\xff" + source + destination
    udp = s.getsockname()[1].to_bytes(2, "big") + (4791).to_bytes(2, "big") + length.to_bytes(2, "big") + b"\\xff\\xff"
    icrc = zlib.crc32(b"\\xff" * 8 + ip + udp + bth + rest)
    s.sendto(bth[:4] + b"\\0" + bth[5:] + rest + icrc.to_bytes(4, "little"), ("{IPV4}", 4791))
aeth, reth = 4, 16
qpns = [int(word) for word in sys.argv[1:]]
for n in range(4000):
    qpn = chance.choice([*qpns, *qpns, chance.getrandbits(24) | 2])
    send(4, qpn, chance.randbytes(64))           # SEND only
    send(10, qpn, chance.randbytes(reth + 64))   # WRITE only
    send(12, qpn, chance.randbytes(reth))        # READ request
    send(17, qpn, chance.randbytes(aeth))        # acknowledge
    attribute = chance.choice([*range(0x10, 0x1b), chance.getrandbits(16)])
    mad = bytes([1, 7, 2, 3, 0, 0, 0, 0]) + chance.randbytes(8) + attribute.to_bytes(2, "big") + chance.randbytes(6) + chance.randbytes(232)
    send(100, 1, bytes.fromhex("80010000") + b"\\0\\0\\0\\1" + mad)
print("sent 20000")
"""


def send_until_counted(host, names, script, *arguments):
    """Most of a burst may find the socket's buffer full, so it is sent until every kind has been counted."""
    def send():
        host.start("/usr/bin/python3", "-c", script, *arguments).succeeds()
        devices = host.hawser("devices", "-v").succeeds()
        return all(sum(int(n) for n in re.findall(rf"{name} (\d+)", devices)) > 0 for name in names)
    wait_for(f"counted: {names}", send)


def resident_kib(pid):
    return int(re.search(r"^VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


@pytest.fixture
def transfer(host):
    """A server and a client that move data; they end well."""
    server = host.run("cm_transfer", "server", IPV4, PORT, 4)
    server.line("^listening")
    client = host.run("cm_transfer", "client", IPV4, PORT, 4)
    client.line("^round 3$")
    yield server, client
    client.line("^round", count=client.count("^round") + 5)
    client.say("stop")
    assert "done: 4 connections" in client.succeeds()
    assert "done: 4 connections" in server.succeeds()


def test_junk(host, transfer):
    send_until_counted(host, ["malformed", "bad ICRC"], JUNK)


def test_spoofed(host, transfer):
    qpns = [i["qpn"] for i in host.ids() if i["state"] == "CONNECT"]
    assert len(qpns) == 8
    send_until_counted(host, ["unknown address", "unknown QP", "dropped"], SPOOFED, *qpns)
    # What it could take up it has taken up: the same again finds nothing more to fill.
    before = {pid: resident_kib(pid) for pid in host.pids()}
    assert len(before) == 3  # server, client, agent
    host.start("/usr/bin/python3", "-c", SPOOFED, *qpns).succeeds()
    assert {pid: kib - before[pid] for pid in before if (kib := resident_kib(pid)) > before[pid] + 1024} == {}
