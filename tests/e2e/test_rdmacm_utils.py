"""The other programs of Debian's rdmacm-utils, unmodified."""
import re

import pytest

from harness import IPV4, IPV6, run_pair

pytestmark = pytest.mark.every_user
PORT = 7471


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", IPV4, IPV6])
def test_ucmatose_100_connections(host, address):
    server, [client] = run_pair(host, ["ucmatose", "-b", address, "-c", 100], ["ucmatose", "-s", address, "-c", 100], PORT)
    for end in (server, client):
        assert "test complete" in end.output and "return status 0" in end.output


@pytest.mark.parametrize("address, connections", [("127.0.0.1", 1000), (IPV6, 100)])
def test_cmtime(host, address, connections):
    # Its server serves for ever.
    _, [client] = run_pair(host, ["cmtime", "-b", address], ["cmtime", "-s", address, "-c", connections], PORT,
                           server_ends=False)
    assert re.search(r"^connect\s*:", client.output, re.M)


@pytest.mark.parametrize("address", ["127.0.0.1", IPV4, IPV6])
def test_rdma_server_and_client(host, address):
    run_pair(host, ["rdma_server", "-s", address], ["rdma_client", "-s", address], PORT)
