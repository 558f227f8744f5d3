"""Debian's rping, unmodified: SEND, RDMA READ and RDMA WRITE, verified."""
import re

import pytest

from harness import IPV4, IPV6, run_pair, wait_for

pytestmark = pytest.mark.every_user
PORT = 7174
ADDRESSES = ["127.0.0.1", "::1", IPV4, IPV6]


def ping_lines(output):
    return len(re.findall(r"^ping data: rdma-ping-\d+:", output, re.M))


@pytest.mark.parametrize("address", ADDRESSES)
def test_ten_verified_pings(host, address):  # [spec 4 #18]
    server, [client] = run_pair(host, ["rping", "-s", "-a", address, "-v", "-V", "-C", 10],
                                ["rping", "-c", "-a", address, "-v", "-V", "-C", 10], PORT)
    assert ping_lines(client.output) == 10


@pytest.mark.parametrize("address", ["127.0.0.1", IPV4])
def test_wildcard_listener_is_reachable_through_every_address(host, address):
    _, [client] = run_pair(host, ["rping", "-s", "-a", "0.0.0.0", "-V", "-C", 3], ["rping", "-c", "-a", address, "-v", "-V", "-C", 3], PORT)
    assert ping_lines(client.output) == 3


def test_large_pings(host):
    _, [client] = run_pair(host, ["rping", "-s", "-a", IPV4, "-V", "-S", 60000, "-C", 50],
                           ["rping", "-c", "-a", IPV4, "-v", "-V", "-S", 60000, "-C", 50], PORT)
    assert ping_lines(client.output) == 50


def connections_of(host, process):
    return sum(i["pid"] == process.pid and i["state"] == "CONNECT" for i in host.ids())


# The server keeps the request that it is about to hand to a thread in one variable: two that come at the same moment
# are one too many for it (librdmacm then says EINVAL to its second rdma_create_qp). So they come one after the other.
def test_persistent_server_and_eight_clients_at_once(host):
    server = host.run("rping", "-s", "-P", "-a", "127.0.0.1", "-V")
    host.listening(server, PORT)
    clients = []
    for _ in range(8):
        clients.append(host.run("rping", "-c", "-a", "127.0.0.1", "-v", "-V"))
        clients[-1].line("^ping data")
    assert connections_of(host, server) == 8
    for client in clients:
        client.line("^ping data", count=client.count("^ping data") + 10)
    server.kill()
    for client in clients:
        client.line("client DISCONNECT EVENT")
        client.succeeds()


def test_persistent_server_and_clients_that_end(host):
    server = host.run("rping", "-s", "-P", "-a", "127.0.0.1", "-V")
    host.listening(server, PORT)
    clients = []
    for _ in range(8):
        clients.append(host.run("rping", "-c", "-a", "127.0.0.1", "-v", "-V", "-C", 200))
        clients[-1].line("^ping data")
    for client in clients:
        client.succeeds()
        assert ping_lines(client.output) == 200
    wait_for("the server has let them all go", lambda: connections_of(host, server) == 0)
    assert server.running


def test_queue_pairs_of_the_programs_own(host):
    _, [client] = run_pair(host, ["rping", "-s", "-q", "-a", "127.0.0.1", "-V", "-C", 10],
                           ["rping", "-c", "-q", "-a", "127.0.0.1", "-v", "-V", "-C", 10], PORT)
    assert ping_lines(client.output) == 10
