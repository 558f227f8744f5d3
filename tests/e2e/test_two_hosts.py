"""Two hosts and a cable between them, an agent in each: what works on one host works between two."""
import collections
import os
import re
import signal

import pytest

from harness import (IPV4, IPV6, LINK_LOCAL, PEER_IPV4, ROCE_PORT, Capture, run_pair, wait_for)

RPING_PORT, PORT = 7174, 7471
ENDED = "^EVENT RDMA_CM_EVENT_(REJECTED|DISCONNECTED|UNREACHABLE|CONNECT_ERROR)"
ADDRESSES = [IPV4, IPV6, f"{LINK_LOCAL}%hw0"]


def ping_lines(process):
    return process.count(r"^ping data: rdma-ping-\d+:")


# -- the programs of rdmacm-utils and ibverbs-utils

@pytest.mark.every_user
@pytest.mark.parametrize("address", ADDRESSES)
def test_rping(hosts, address):
    server, client = hosts
    _, [ping] = run_pair(server, ["rping", "-s", "-a", address, "-v", "-V", "-C", 10],
                         ["rping", "-c", "-a", address, "-v", "-V", "-C", 10], RPING_PORT, peer=client)
    assert ping_lines(ping) == 10


def test_rping_wildcard_listener_and_own_queue_pairs(hosts):
    server, client = hosts
    _, [ping] = run_pair(server, ["rping", "-s", "-q", "-a", "::", "-V", "-S", 60000, "-C", 10],
                         ["rping", "-c", "-q", "-a", IPV4, "-v", "-V", "-S", 60000, "-C", 10], RPING_PORT, peer=client)
    assert ping_lines(ping) == 10


def test_rping_persistent_server(hosts):
    server, client = hosts
    serving = server.run("rping", "-s", "-P", "-a", IPV4, "-V")
    server.listening(serving, RPING_PORT)
    pings = []
    for _ in range(4):  # one after the other: two requests at once are one too many for it (README)
        pings.append(client.run("rping", "-c", "-a", IPV4, "-v", "-V", "-C", 100))
        pings[-1].line("^ping data")
    for ping in pings:
        ping.succeeds()
        assert ping_lines(ping) == 100
    assert serving.running


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_ucmatose(hosts, address):
    server, client = hosts
    ends = run_pair(server, ["ucmatose", "-b", address, "-c", 100], ["ucmatose", "-s", address, "-c", 100], PORT, peer=client)
    for end in (ends[0], ends[1][0]):
        assert "test complete" in end.output and "return status 0" in end.output


@pytest.mark.parametrize("address, connections", [(IPV4, 1000), (IPV6, 100)])
def test_cmtime(hosts, address, connections):
    server, client = hosts
    _, [timed] = run_pair(server, ["cmtime", "-b", address], ["cmtime", "-s", address, "-c", connections], PORT,
                          server_ends=False, peer=client)
    assert re.search(r"^connect\s*:", timed.output, re.M)


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_rdma_server_and_client(hosts, address):
    server, client = hosts
    run_pair(server, ["rdma_server", "-s", address], ["rdma_client", "-s", address], PORT, peer=client)


@pytest.mark.parametrize("kind", ["IPv4", "IPv6"])
def test_ibv_rc_pingpong(hosts, kind):
    server, client = hosts
    index = 0 if kind == "IPv4" else 1
    common = ["ibv_rc_pingpong", "-d", "hw_hw0", "-g", index, "-c"]
    serving = server.run(*common)
    server.tcp_listening(serving, 18515)
    assert "1000 iters" in client.run(*common, IPV4).succeeds()
    assert "1000 iters" in serving.succeeds()


# -- refusals

@pytest.fixture
def listener(hosts):
    listener = hosts[0].run("cm_listen", "::", PORT, "hold")
    listener.line("^listening")
    return listener


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_listener(hosts, listener, address):
    hosts[1].run("cm_connect", address, PORT + 1).line("^EVENT RDMA_CM_EVENT_REJECTED 8$")


@pytest.mark.parametrize("address", ADDRESSES)
def test_server_rejects(hosts, listener, address):
    client = hosts[1].run("cm_connect", address, PORT)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    listener.say("reject")
    client.line("^EVENT RDMA_CM_EVENT_REJECTED 28$")


def test_link_local_listener_is_reached_through_its_interface(hosts):
    server, client = hosts
    listener = server.run("cm_listen", f"{LINK_LOCAL}%hw0", PORT)
    listener.line("^listening")
    client.run("cm_connect", f"{LINK_LOCAL}%hw0", PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    # The device listens, but nobody at this address of it [spec 1.9].
    client.run("cm_connect", IPV6, PORT).line("^EVENT RDMA_CM_EVENT_REJECTED 28$")


def test_link_local_listener_needs_a_scope(hosts):
    assert hosts[0].run("cm_listen", LINK_LOCAL, PORT).line("^bind: (.*)$")[1] == "EINVAL"


def test_address_that_nobody_has(hosts):
    # The neighbour never answers: the deadline of rdma_resolve_addr decides.
    hosts[1].run("cm_connect", "10.72.0.99", PORT).line("^EVENT RDMA_CM_EVENT_ADDR_ERROR -110$")


def test_network_without_a_route(hosts):
    assert hosts[1].run("cm_connect", "192.0.2.1", PORT).line("^resolve_addr: (.*)$")[1] == "ENETUNREACH"


# -- interfaces whose MTUs differ: the client's decides the path's

@pytest.mark.parametrize("server_mtu, client_mtu", [(9000, 1500), (1500, 1500), (1500, 576)])
def test_path_of_the_clients_mtu(hosts, server_mtu, client_mtu):
    server, client = hosts
    server.ip(f"link set hw0 mtu {server_mtu}")
    client.ip(f"link set hw0 mtu {client_mtu}")
    run_pair(server, ["rping", "-s", "-a", IPV4, "-V", "-S", 20000, "-C", 5],
             ["rping", "-c", "-a", IPV4, "-V", "-S", 20000, "-C", 5], RPING_PORT, peer=client)


def test_path_larger_than_the_server_can_take(hosts, listener):
    # A connection that no packet of its size could pass: IBTA 26, invalid path MTU.
    hosts[1].ip("link set hw0 mtu 9000")
    hosts[1].run("cm_connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_REJECTED 26$")


# -- a peer without a stack

def retransmissions(host, process):
    [counters] = [p["counters"] for p in host.devices()["processes"] if p["pid"] == process.pid]
    return counters["cm"]["REQ retransmissions"]


def test_request_to_a_host_without_a_stack_is_sent_again_until_there_is_one(hosts):
    # Its kernel answers ICMP port unreachable, which ends nothing [spec 5.6].
    server, client = hosts
    connecting = client.run("cm_connect", IPV4, PORT)
    connecting.line("^connect: ok$")
    wait_for("a retransmission", lambda: retransmissions(client, connecting) > 0)
    listener = server.run("cm_listen", IPV4, PORT)
    connecting.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    listener.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_host_that_stays_without_a_stack_is_unreachable(hosts):
    # After the last retry; here two, a quarter of a second after one another.
    impatient = {"HAWSER_CM_RESPONSE_TIMEOUT": "16", "HAWSER_CM_RETRIES": "2"}
    hosts[1].run("cm_connect", IPV4, PORT, env=impatient).line("^EVENT RDMA_CM_EVENT_UNREACHABLE -110$")


# -- ends that die

def test_client_killed_before_accept(hosts, listener):
    client = hosts[1].run("cm_connect", IPV4, PORT)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    client.kill()
    listener.say("accept")
    if listener.line("^accept: (.*)$|^no connection$")[1] == "ok":
        listener.line(ENDED)


@pytest.mark.parametrize("victim", ["server", "client"])
@pytest.mark.parametrize("address", [IPV4, f"{LINK_LOCAL}%hw0"])
def test_killed_when_established(hosts, listener, victim, address):
    client = hosts[1].run("cm_connect", address, PORT)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    listener.say("accept")
    for end in (listener, client):
        end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    killed, survivor = (listener, client) if victim == "server" else (client, listener)
    killed.kill()
    assert survivor.line(ENDED)[1] == "DISCONNECTED"
    survivor.line("^COMPLETION flushed$", count=4)


@pytest.mark.parametrize("victim", ["server", "client"])
def test_killed_in_mid_transfer(hosts, victim):
    server, client = hosts
    serving = server.run("cm_transfer", "server", IPV4, PORT, 8)
    serving.line("^listening")
    sending = client.run("cm_transfer", "client", IPV4, PORT, 8)
    sending.line("^round 10$")
    if victim == "client":
        sending.kill()
        serving.line("^connection . disconnected$", count=8)
        assert "done: 8 connections" in serving.succeeds()
    else:
        serving.kill()
        assert sending.status() == 1
        assert "COMPLETION" in sending.output


def test_both_agents_killed_while_connections_move_data(hosts):
    server, client = hosts
    serving = server.run("cm_transfer", "server", IPV4, PORT, 8)
    serving.line("^listening")
    sending = client.run("cm_transfer", "client", IPV4, PORT, 8)
    sending.line("^round 3$")
    killed = {host: host.agent() for host in hosts}
    for agent in killed.values():
        os.kill(agent, signal.SIGKILL)
    sending.line("^round", count=sending.count("^round") + 3)
    listener = server.run("cm_listen", IPV4, PORT + 1)  # a new connection needs both successors
    listener.line("^listening")
    client.run("cm_connect", IPV4, PORT + 1).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    assert all(host.agent() not in (None, killed[host]) for host in hosts)
    sending.say("stop")
    assert "done: 8 connections" in sending.succeeds()
    assert "done: 8 connections" in serving.succeeds()


def test_cable_pulled_and_put_back(hosts):
    # As with a kernel: nothing happens at once, and what is sent again passes.
    server, client = hosts
    serving = server.run("cm_transfer", "server", IPV4, PORT, 2)
    serving.line("^listening")
    sending = client.run("cm_transfer", "client", IPV4, PORT, 2)
    sending.line("^round 3$")
    server.ip("link set hw0 down")
    wait_for("no carrier", lambda: client.devices()["devices"][1]["state"] == "DOWN")
    server.ip("link set hw0 up")
    sending.line("^round", count=sending.count("^round") + 3)
    sending.say("stop")
    assert "done: 2 connections" in sending.succeeds()


# -- loss, and what passes on the cable

def test_loss(hosts):
    lossy = {"HAWSER_FAULT": "loss=5%,duplicate=1%,seed=5"}
    server, client = hosts
    serving = server.run("cm_transfer", "server", IPV6, PORT, 4, env=lossy)
    serving.line("^listening")
    sending = client.run("cm_transfer", "client", IPV6, PORT, 4, 20, env=lossy)
    assert sending.status(240) == 0, sending.describe()
    assert serving.status(240) == 0, serving.describe()


@pytest.mark.parametrize("address", ADDRESSES)
def test_captured_run(hosts, tmp_path, address):
    tmp_path.chmod(0o777)
    server, client = hosts
    capture = Capture(server, tmp_path / "run.pcap", "hw0")
    run_pair(server, ["rping", "-s", "-a", address, "-V", "-S", 10000, "-C", 20],
             ["rping", "-c", "-a", address, "-V", "-S", 10000, "-C", 20], RPING_PORT, peer=client)
    capture.stop()
    server.start(server.tree.hawser, "check-capture", capture.path, administrator=True).succeeds()
    datagrams = len(capture.tshark("-Y", f"udp.dstport == {ROCE_PORT}"))
    assert datagrams > 100
    assert len(capture.tshark("-Y", "infiniband.bth")) == datagrams
    assert capture.tshark("-Y", "_ws.malformed") == []
    if address == IPV4:  # both directions, whole (one path MTU and the headers) and never fragmented
        assert capture.tshark("-Y", "ip.flags.mf == 1 or ip.frag_offset > 0") == []
        sources = collections.Counter(capture.tshark("-T", "fields", "-e", "ip.src"))
        assert sources.keys() == {IPV4, PEER_IPV4}
    attributes = collections.Counter(capture.tshark("-Y", "infiniband.mad.mgmtclass == 0x07", "-T", "fields", "-e", "infiniband.mad.attributeid"))
    assert attributes["0x0010"] == attributes["0x0013"] == attributes["0x0014"] == 1  # REQ REP RTU: nothing was sent again
