"""Libraries and an agent of different builds: whoever is not served is told that it is another version."""
import os
import sys

import pytest

PORT = 7471
OTHER_VERSION = 999

# What both sides of another build would do, as far as they come. Argument: the agent's uid.
AGENT = f"""
import socket, struct, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind("\\0hawser-agent-" + sys.argv[1])
listener.listen()
print("ready", flush=True)
while True:
    session, _ = listener.accept()
    if session.recv(8192):
        session.send(struct.pack("=HHIi", {OTHER_VERSION}, 100, 0, 71))
    session.close()
"""
LIBRARY = f"""
import socket, struct, sys
session = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
session.connect("\\0hawser-agent-" + sys.argv[1])
session.send(struct.pack("=HHI", {OTHER_VERSION}, 1, 7) + b"\\x04test")
print("version", *struct.unpack_from("=HHI", session.recv(8192)), flush=True)
print("closed" if session.recv(8192) == b"" else "open", flush=True)
"""


@pytest.fixture
def uid(host):
    return {"nobody": 65534, "root": 0}.get(host.user, os.geteuid())


def test_library_meets_an_agent_of_another_version(host, uid):
    agent = host.start(sys.executable, "-c", AGENT, uid)
    agent.line("^ready$")
    program = host.run("cm_listen", "127.0.0.1", PORT)
    assert program.status() != 0
    message = program.line("hawserd, pid ([0-9]+)\\) is of another version of Hawser: it speaks version ([0-9]+)")
    assert message.groups() == (str(agent.pid), str(OTHER_VERSION))
    assert "no agent stays" not in program.output


def test_agent_meets_a_library_of_another_version(host, uid):
    listener = host.run("cm_listen", "127.0.0.1", PORT)
    listener.line("^listening")
    stranger = host.start(sys.executable, "-c", LIBRARY, uid)
    version = int(stranger.line("^version ([0-9]+) 100 0$")[1])
    assert 0 < version < OTHER_VERSION
    stranger.line("^closed$")
    stranger.succeeds()
    listener.say("quit")
    listener.succeeds()
