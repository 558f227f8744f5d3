"""Debian's rping, unmodified: SEND, RDMA READ and RDMA WRITE, verified."""
import re

import pytest

from harness import IPV4, IPV6, run_pair

pytestmark = pytest.mark.every_user
PORT = 7174
ADDRESSES = ["127.0.0.1", "::1", IPV4, IPV6]


def ping_lines(output):
    return len(re.findall(r"^ping data: rdma-ping-\d+:", output, re.M))


@pytest.mark.parametrize("address", ADDRESSES)
def test_ten_verified_pings(host, address):
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


def test_persistent_server_and_eight_clients_at_once(host):
    _, clients = run_pair(host, ["rping", "-s", "-P", "-a", "127.0.0.1", "-V"],
                          ["rping", "-c", "-a", "127.0.0.1", "-v", "-V", "-C", 10], PORT, server_ends=False, clients=8)
    assert [ping_lines(client.output) for client in clients] == [10] * 8


def test_queue_pairs_of_the_programs_own(host):
    _, [client] = run_pair(host, ["rping", "-s", "-q", "-a", "127.0.0.1", "-V", "-C", 10],
                           ["rping", "-c", "-q", "-a", "127.0.0.1", "-v", "-V", "-C", 10], PORT)
    assert ping_lines(client.output) == 10
