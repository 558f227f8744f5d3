"""UDP port 4791 is somebody else's: the message says whose, and what to do."""
import pytest

from harness import ROCE_PORT

HOLD = f"""
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", {ROCE_PORT}))
print("held", flush=True)
input()
"""


def fails(host):
    program = host.run("rping", "-s", "-a", "127.0.0.1")
    assert program.status() != 0
    assert str(ROCE_PORT) in program.output
    return program.output


def test_process_of_the_same_user(host):
    holder = host.start("/usr/bin/python3", "-c", HOLD)
    holder.line("^held$")
    output = fails(host)
    assert str(holder.pid) in output and "python3" in output


def test_process_of_another_user(host):
    if host.user != "nobody":
        pytest.skip("needs root to act as two users")
    holder = host.start("/usr/bin/python3", "-c", HOLD, administrator=True)
    holder.line("^held$")
    assert "uid 0" in fails(host)


def test_free_again(host):
    holder = host.start("/usr/bin/python3", "-c", HOLD)
    holder.line("^held$")
    fails(host)
    holder.kill()
    host.run("cm_listen", "127.0.0.1", 7471).line("^listening")


@pytest.mark.parametrize("first, second, uid", [("root", "nobody", 0), ("nobody", "root", 65534)])
def test_hawser_of_another_user(host, first, second, uid):
    if host.user != "nobody":
        pytest.skip("needs root to act as two users")
    server = host.run("cm_listen", "127.0.0.1", 7471, user=first)
    server.line("^listening")
    program = host.run("rping", "-c", "-a", "127.0.0.1", user=second)
    assert program.status() != 0
    assert f"the Hawser of uid {uid}" in program.output and "network namespace" in program.output
    assert server.running
