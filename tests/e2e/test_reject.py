"""Connections that are refused."""
from harness import IPV4

import pytest


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", IPV4])
def test_no_listener(host, address):
    # IBTA reject reason 8: invalid service id.
    client = host.run("rping", "-c", "-a", address, "-p", 7999, "-C", 1)
    assert client.status() != 0
    assert "RDMA_CM_EVENT_REJECTED, error 8" in client.output


def test_no_listener_any_more(host):
    listener = host.run("cm_listen", "127.0.0.1", 7471)
    listener.line("^listening")
    listener.say("quit")
    listener.succeeds()
    client = host.run("cm_connect", "127.0.0.1", 7471)
    client.line("^EVENT RDMA_CM_EVENT_REJECTED 8$")


def test_loopback_listener_is_reached_through_loopback_only(host):  # [spec 1.9.7]
    listener = host.run("cm_listen", "127.0.0.1", 7471)
    listener.line("^listening")
    host.run("cm_connect", IPV4, 7471).line("^EVENT RDMA_CM_EVENT_REJECTED 8$")
    client = host.run("cm_connect", "127.0.0.1", 7471)
    client.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_server_rejects(host):
    listener = host.run("cm_listen", IPV4, 7471, "hold")
    listener.line("^listening")
    client = host.run("cm_connect", IPV4, 7471)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    listener.say("reject")
    listener.line("^reject: ok$")
    client.line("^EVENT RDMA_CM_EVENT_REJECTED 28$")  # IBTA: consumer reject
    assert client.status() == 1
