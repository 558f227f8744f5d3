"""What the outside world does to devices and ids (docs/events.md): real interfaces come, go and change, and cm_events
prints what its program is told."""
import re

import pytest

from harness import IPV4, IPV6, wait_for

PORT = 7471


def device_names(process):
    """The devices as the program sees them now, with what it prints of each."""
    before = process.count("^DEVICES")
    process.say("devices")
    process.line("^DEVICES", count=before + 1)
    listing = process.output.split("\nDEVICES")[before].splitlines()
    return {m[1]: m[2] for m in (re.match(r"DEVICE (\S+) (.*)", line) for line in listing) if m}


@pytest.fixture
def listener(hosts):
    listener = hosts[0].run("cm_events", "listen", "::", PORT)
    listener.line("^listening")
    return listener


@pytest.fixture
def connected(hosts, listener):
    client = hosts[1].run("cm_events", "connect", IPV4, PORT)
    for end in (listener, client):
        end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    return listener, client


# -- a connection's life

def test_from_address_to_timewait(connected):
    listener, client = connected
    client.say("disconnect")
    for end in (listener, client):
        end.line("^EVENT RDMA_CM_EVENT_DISCONNECTED 0$")
        end.line("^EVENT RDMA_CM_EVENT_TIMEWAIT_EXIT 0$")
    for event in ("ADDR_RESOLVED", "ROUTE_RESOLVED"):
        assert client.count(f"^EVENT RDMA_CM_EVENT_{event} 0$") == 1
    assert listener.count("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$") == 1


def test_response_to_a_queue_pair_of_the_programs_own(hosts, listener):
    client = hosts[1].run("cm_events", "connect", IPV4, PORT, "own")
    client.line("^EVENT RDMA_CM_EVENT_CONNECT_RESPONSE 0$")
    client.line("^establish: ok$")
    listener.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_queue_pair_that_cannot_follow(hosts):
    # Its program has put it into ERROR when the response comes.
    listener = hosts[0].run("cm_listen", IPV4, PORT, "hold")
    listener.line("^listening")
    client = hosts[1].run("cm_events", "connect", IPV4, PORT)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    client.say("break")
    client.line("^broken$")
    listener.say("accept")
    client.line("^EVENT RDMA_CM_EVENT_CONNECT_ERROR -22$")
    client.say("quit")  # only its end ends the connection: librdmacm leaves that to the program
    listener.line("^EVENT RDMA_CM_EVENT_REJECTED")


def test_response_whose_sender_has_ended(hosts):  # [spec 6.4.21]
    # A REJ has followed it when the client looks: the queue pair gets no attributes any more, and that is all it is told.
    listener = hosts[0].run("cm_listen", IPV4, PORT, "hold")
    listener.line("^listening")
    client = hosts[1].run("cm_connect", IPV4, PORT, "deaf")
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    listener.say("accept")
    hosts[1].reaches(client, "REP_RCVD", "MRA_REP_SENT")
    listener.kill()
    hosts[1].reaches(client, "TIMEWAIT", "")
    client.say("hear")
    client.line("^EVENT RDMA_CM_EVENT_CONNECT_ERROR -22$")
    client.status()
    assert client.count("RDMA_CM_EVENT_(REJECTED|DISCONNECTED|UNREACHABLE)") == 0, client.describe()


# -- interfaces

def test_interface_appears_and_wildcard_listener_extends_to_it(hosts, listener):
    server, client = hosts
    for host, address in ((server, "10.73.0.1"), (client, "10.73.0.2")):
        host.sysctl("net.ipv4.conf.all.arp_ignore=1")  # else hw0 answers for mv0 too, and the neighbour has two MACs
        host.ip("link add mv0 link hw0 type macvlan mode bridge")
        host.ip(f"addr add {address}/24 dev mv0")
        host.ip("link set mv0 up")
    wait_for("the new device", lambda: "10.73.0.1" in device_names(listener).get("hw_mv0", ""))
    client.run("cm_connect", "10.73.0.1", PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_interface_goes(hosts, connected, how):
    server, client = hosts
    listener, connector = connected
    if how == "deleted":  # of a veth both ends go at once
        server.ip("link del hw0")
    else:
        server.ip("link set hw0 name hw9")  # as an administrator would, since the other host has a hw0 of its own
        listener.line("^ASYNC hw_hw0 IBV_EVENT_DEVICE_FATAL$")
        server.give("hw9", client)
    listener.line("^ASYNC hw_hw0 IBV_EVENT_DEVICE_FATAL$")
    listener.line("^EVENT RDMA_CM_EVENT_DEVICE_REMOVAL 0$")
    listener.line("^destroyed$")
    wait_for("the device has left the list", lambda: device_names(listener).keys() == {"hw_lo"})
    if how == "deleted":
        connector.line("^EVENT RDMA_CM_EVENT_DEVICE_REMOVAL 0$")
    else:
        wait_for("the device is the other host's", lambda: "hw_hw9" in device_names(connector))
    # The wildcard listener goes on.
    server.run("cm_connect", "127.0.0.1", PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_listener_on_the_address_of_an_interface_that_goes(hosts):
    listener = hosts[0].run("cm_events", "listen", IPV4, PORT)
    listener.line("^listening")
    hosts[0].ip("link del hw0")
    listener.line("^EVENT RDMA_CM_EVENT_DEVICE_REMOVAL 0$")
    listener.line("^destroyed$")


def test_interface_that_comes_again_is_a_device_again(hosts, listener):
    server, client = hosts
    server.ip("link del hw0")
    listener.line("^ASYNC hw_hw0 IBV_EVENT_DEVICE_FATAL$")
    server.wire_to(client)
    client.run("cm_connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_link_down_and_up(hosts, connected):
    server, _ = hosts
    listener, client = connected
    server.ip("link set hw0 down")
    for end in (listener, client):  # the cable has two ends
        end.line("^ASYNC hw_hw0 IBV_EVENT_PORT_ERR$")
    assert device_names(client)["hw_hw0"].startswith("DOWN")
    server.ip("link set hw0 up")
    for end in (listener, client):
        end.line("^ASYNC hw_hw0 IBV_EVENT_PORT_ACTIVE$")
        assert end.count("^EVENT RDMA_CM_EVENT_(DISCONNECTED|DEVICE_REMOVAL|UNREACHABLE)") == 0
    client.say("disconnect")
    for end in (listener, client):
        end.line("^EVENT RDMA_CM_EVENT_DISCONNECTED 0$")


def test_disconnect_while_nothing_can_be_sent(hosts, listener):  # [spec 5.6.14]
    impatient = {"HAWSER_CM_RESPONSE_TIMEOUT": "16", "HAWSER_CM_RETRIES": "2"}
    client = hosts[1].run("cm_events", "connect", IPV4, PORT, env=impatient)
    client.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    hosts[1].ip("link set hw0 down")
    client.line("^ASYNC hw_hw0 IBV_EVENT_PORT_ERR$")
    client.say("disconnect")
    client.line("^EVENT RDMA_CM_EVENT_DISCONNECTED -110$")


# -- addresses

def test_address_added_and_removed(hosts, listener):
    server, client = hosts
    server.ip("addr add 10.72.0.9/24 dev hw0")
    listener.line("^ASYNC hw_hw0 IBV_EVENT_GID_CHANGE$")
    assert "::ffff:10.72.0.9" in device_names(listener)["hw_hw0"]
    connecting = client.run("cm_connect", "10.72.0.9", PORT)
    connecting.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    server.ip("addr del 10.72.0.9/24 dev hw0")
    listener.line("^ASYNC hw_hw0 IBV_EVENT_GID_CHANGE$", count=2)
    assert "::ffff:10.72.0.9" not in device_names(listener)["hw_hw0"]
    # Ids bound to it stay until they are used, as in the kernel.
    assert listener.count("^EVENT RDMA_CM_EVENT_(DISCONNECTED|DEVICE_REMOVAL)") == 0
    assert server.run("cm_listen", "10.72.0.9", PORT + 1).line("^bind: (.*)$")[1] == "EADDRNOTAVAIL"


# -- MACs

def test_neighbour_changes_its_mac(hosts, connected):
    # The server's host announces its new MAC (net.ipv4.conf.*.arp_notify), as a machine that takes an address over does.
    server, _ = hosts
    listener, client = connected
    server.sysctl("net.ipv4.conf.hw0.arp_notify=1")
    server.ip("link set hw0 address 02:72:00:00:00:99")
    client.line("^EVENT RDMA_CM_EVENT_UNREACHABLE -110$")


def test_interface_changes_its_mac(hosts, connected):
    # As a bond does when it fails over to a card with another one.
    hosts[0].ip("link set hw0 address 02:72:00:00:00:98")
    connected[0].line("^EVENT RDMA_CM_EVENT_ADDR_CHANGE 0$")
    assert connected[0].running


def test_neighbour_that_does_not_answer(hosts):
    hosts[1].run("cm_events", "connect", "10.72.0.99", PORT).line("^EVENT RDMA_CM_EVENT_ADDR_ERROR -110$")
    hosts[1].run("cm_events", "connect", "fd72::99", PORT).line("^EVENT RDMA_CM_EVENT_ADDR_ERROR -110$")


def test_no_listener(hosts, listener):
    hosts[1].run("cm_events", "connect", IPV6, PORT + 1).line("^EVENT RDMA_CM_EVENT_REJECTED 8$")
