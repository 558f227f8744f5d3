"""A Linux kernel (rdma_rxe, ib_cm, rdma_cm; see guest.py) as Hawser's peer, each as the server of the other.

The same unmodified programs run on both sides: over Hawser on the host, over the kernel in the guest.
"""
import os
import re
import signal
from typing import NamedTuple

import pytest

from harness import (IPV4, IPV6, LINK_LOCAL, PEER_IPV4, PEER_IPV6, PEER_LINK_LOCAL, Capture, gids, run_pair,
                     wait_for)

RPING_PORT, PORT, UDP_PORT = 7174, 7471, 7174
GROUP = "239.1.2.3"
ENDED = "^EVENT RDMA_CM_EVENT_(REJECTED|DISCONNECTED|UNREACHABLE|CONNECT_ERROR)"
HOST = {"ipv4": IPV4, "ipv6": IPV6, "link-local": f"{LINK_LOCAL}%hw0"}
GUEST = {"ipv4": PEER_IPV4, "ipv6": PEER_IPV6, "link-local": f"{PEER_LINK_LOCAL}%hw0"}
every_address = pytest.mark.parametrize("family", ["ipv4", "ipv6", "link-local"])
both_families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


class Ends(NamedTuple):
    server: object
    client: object
    server_address: dict
    client_address: dict


@pytest.fixture(params=["kernel-serves", "hawser-serves"])
def ends(request, host, guest):
    return Ends(guest, host, GUEST, HOST) if request.param == "kernel-serves" else Ends(host, guest, HOST, GUEST)


def run_ends(ends, server_argv, client_argv, port, **options):
    server, [client] = run_pair(ends.server, server_argv, client_argv, port, peer=ends.client, **options)
    return server, client


def ping_lines(process):
    return process.count(r"^ping data: rdma-ping-\d+:")


# -- Debian's programs

@every_address
def test_rping(ends, family):
    address = ends.server_address[family]
    _, client = run_ends(ends, ["rping", "-s", "-a", address, "-V", "-C", 10],
                         ["rping", "-c", "-a", address, "-v", "-V", "-C", 10], RPING_PORT)
    assert ping_lines(client) == 10


@both_families
def test_rping_of_many_packets(ends, family):
    address = ends.server_address[family]
    run_ends(ends, ["rping", "-s", "-a", address, "-V", "-S", 65535, "-C", 30],
             ["rping", "-c", "-a", address, "-V", "-S", 65535, "-C", 30], RPING_PORT)


def test_rping_persistent_server(ends):
    server = ends.server.run("rping", "-s", "-P", "-a", ends.server_address["ipv4"], "-V")
    ends.server.listening(server, RPING_PORT)
    clients = []
    for _ in range(4):  # one after the other: two requests at once are one too many for it (README)
        clients.append(ends.client.run("rping", "-c", "-a", ends.server_address["ipv4"], "-v", "-V", "-C", 100))
        clients[-1].line("^ping data")
    for client in clients:
        client.succeeds()
        assert ping_lines(client) == 100
    assert server.running


@both_families
def test_ucmatose(ends, family):
    address = ends.server_address[family]
    for end in run_ends(ends, ["ucmatose", "-b", address, "-c", 200], ["ucmatose", "-s", address, "-c", 200], PORT):
        assert "test complete" in end.output and "return status 0" in end.output


@both_families
def test_udaddy(ends, family):
    address = ends.server_address[family]
    for end in run_ends(ends, ["udaddy", "-b", address, "-c", 10], ["udaddy", "-s", address, "-c", 10], UDP_PORT):
        assert "data transfers complete" in end.output and "return status 0" in end.output


@pytest.mark.parametrize("options", [[], ["-o"]], ids=["full-member", "send-only"])
def test_mckey(ends, options):
    def run(end, address, *more):
        # It does not flush what it says, and a sender that starts before its receiver has joined sends to nobody.
        return end.run("stdbuf", "-oL", "mckey", "-m", GROUP, "-b", address, "-C", 20, *more)
    receiver = run(ends.server, ends.server_address["ipv4"])
    receiver.line("receiving data transfers")
    sender = run(ends.client, ends.client_address["ipv4"], "-s", *options)
    for end in (sender, receiver):
        assert "data transfers complete" in end.succeeds() and f"dgid: ::ffff:{GROUP}" in end.output


@pytest.mark.parametrize("family, connections", [("ipv4", 1000), ("ipv6", 200)])
def test_cmtime(ends, family, connections):
    address = ends.server_address[family]
    _, client = run_ends(ends, ["cmtime", "-b", address], ["cmtime", "-s", address, "-c", connections], PORT, server_ends=False)
    assert re.search(r"^connect\s*:", client.output, re.M)


@both_families
def test_rdma_server_and_client(ends, family):
    address = ends.server_address[family]
    run_ends(ends, ["rdma_server", "-s", address], ["rdma_client", "-s", address], PORT)


@both_families
@pytest.mark.parametrize("program, options", [("ibv_rc_pingpong", ["-c"]), ("ibv_ud_pingpong", []), ("ibv_srq_pingpong", [])])
def test_pingpong(ends, program, options, family):
    def command(end, address):
        device, index = gids(end)[address if ":" in address else f"::ffff:{address}"]
        return [program, "-d", device, "-g", index, *options, "-e"]
    server = ends.server.run(*command(ends.server, ends.server_address[family]))
    ends.server.tcp_listening(server, 18515)
    # The server's TCP side, where the two tell one another their numbers, knows IPv4 only.
    client = ends.client.run(*command(ends.client, ends.client_address[family]), ends.server_address["ipv4"])
    assert "1000 iters" in client.succeeds()
    assert "1000 iters" in server.succeeds()


def test_captured_run(ends, host, tmp_path):
    tmp_path.chmod(0o777)
    capture = Capture(host, tmp_path / "run.pcap", "hw0")
    address = ends.server_address["ipv4"]
    run_ends(ends, ["rping", "-s", "-a", address, "-V", "-S", 10000, "-C", 20],
             ["rping", "-c", "-a", address, "-V", "-S", 10000, "-C", 20], RPING_PORT)
    capture.stop()
    host.start(host.tree.hawser, "check-capture", capture.path, administrator=True).succeeds()
    assert capture.tshark("-Y", "_ws.malformed") == []


@both_families
def test_every_operation(ends, host, family, tmp_path):
    tmp_path.chmod(0o777)
    capture = Capture(host, tmp_path / "run.pcap", "hw0")
    server = ends.server.run("cm_operations", "server", ends.server_address[family], PORT)
    server.line("^listening")
    client = ends.client.run("cm_operations", "client", ends.server_address[family], PORT)
    client.line("^sending$")  # and nothing is there to receive it
    wait_for("an RNR NAK", lambda: capture.tshark("-Y", "infiniband.aeth.syndrome.opcode == 1"))
    server.say("receive")
    client.line("^write after that: ")
    server.say("end")
    done = client.succeeds()
    assert "wrong" not in done.replace("wrong key", "") and done.count(": success") == 10
    assert "write with a wrong key: remote access error" in done
    assert re.search("^write after that: work request flushed", done, re.M | re.I)
    received = server.succeeds()
    for line in ("private data hello", "received 5000, immediate 0, data right", "received 21, immediate 12345678, data right",
                 "written, immediate 87654321, data right"):
        assert line in received


def test_storm(ends):
    """Every REQ is on its way before the first answer is read."""
    server = ends.server.run("cm_storm", "server", ends.server_address["ipv4"], PORT, 300)
    server.line("^listening")
    client = ends.client.run("cm_storm", "client", ends.server_address["ipv4"], PORT, 300)
    for end in (server, client):
        end.line("^established 300$")
        end.say("end")
    for end in (client, server):
        end.succeeds()


# -- refusals

@every_address
def test_no_listener(ends, family):
    ends.server.run("cm_listen", ends.server_address[family], PORT).line("^listening")  # so that Hawser is there
    ends.client.run("cm_connect", ends.server_address[family], PORT + 1).line("^EVENT RDMA_CM_EVENT_REJECTED 8$")


@pytest.fixture
def listener(ends):
    listener = ends.server.run("cm_listen", "::", PORT, "hold")
    listener.line("^listening")
    return listener


def connect(ends, family="ipv4", *options):
    return ends.client.run("cm_connect", ends.server_address[family], PORT, *options)


@every_address
def test_server_rejects(ends, listener, family):
    client = connect(ends, family)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    listener.say("reject")
    client.line("^EVENT RDMA_CM_EVENT_REJECTED 28$")


def test_no_service(ends):
    ends.server.run("cm_listen", ends.server_address["ipv4"], PORT).line("^listening")
    ends.client.run("cm_datagram", "connect", ends.server_address["ipv4"], UDP_PORT).line("^EVENT RDMA_CM_EVENT_UNREACHABLE 1$")


@both_families
@pytest.mark.parametrize("answer, event", [("accept", "ESTABLISHED 0"), ("reject", "UNREACHABLE 2")])
def test_service_answers_with_private_data(ends, family, answer, event):
    server = ends.server.run("cm_datagram", "listen", ends.server_address[family], UDP_PORT, "hold", "data=answer")
    server.line("^listening")
    client = ends.client.run("cm_datagram", "connect", ends.server_address[family], UDP_PORT, "data=hello")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.line("^  private data 180: hello")
    server.say(answer)
    client.line(f"^EVENT RDMA_CM_EVENT_{event}$")
    client.line("^  private data 136: answer")


def test_accept_after_the_request_was_repeated(ends, host, listener):
    # A repeated REQ is answered with an MRA, after which the client waits.
    client = connect(ends)
    listener.line("^create_qp: ok$")
    host.reaches(client if ends.client is host else listener, "MRA_REQ_RCVD" if ends.client is host else "MRA_REQ_SENT")
    listener.say("accept")
    for end in (listener, client):
        end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


# -- ends that go, and ends that die

@pytest.fixture
def connection(ends, listener):
    client = connect(ends)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    listener.say("accept")
    for end in (listener, client):
        end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    return listener, client


@pytest.mark.parametrize("who", ["server", "client"])
def test_disconnect(connection, who):
    server, client = connection
    (server if who == "server" else client).say("disconnect")
    for end in connection:
        end.line("^EVENT RDMA_CM_EVENT_DISCONNECTED 0$")
        end.line("^COMPLETION flushed$", count=4)
    client.succeeds()


@pytest.mark.parametrize("victim", ["server", "client"])
def test_killed_when_established(connection, victim):
    server, client = connection
    killed, survivor = (server, client) if victim == "server" else (client, server)
    killed.kill()
    assert survivor.line(ENDED)[1] == "DISCONNECTED"
    survivor.line("^COMPLETION flushed$", count=4)


def test_client_killed_before_accept(ends, listener):
    client = connect(ends)
    listener.line("^create_qp: ok$")
    client.kill()
    listener.say("accept")
    if listener.line("^accept: (.*)$|^no connection$")[1] == "ok":
        listener.line(ENDED)


def test_server_killed_before_accept(ends, listener):
    client = connect(ends)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    listener.kill()
    assert client.line(ENDED)[1] == "REJECTED"


@pytest.mark.parametrize("victim", ["server", "client"])
def test_killed_in_mid_transfer(ends, victim):
    address = ends.server_address["ipv4"]
    server = ends.server.run("cm_transfer", "server", address, PORT, 8)
    server.line("^listening")
    client = ends.client.run("cm_transfer", "client", address, PORT, 8)
    client.line("^round 10$")
    if victim == "client":
        client.kill()
        server.line("^connection . disconnected$", count=8)
        assert "done: 8 connections" in server.succeeds()
    else:
        server.kill()
        assert client.status() == 1
        assert "COMPLETION" in client.output


def test_agent_killed_while_connections_move_data(ends, host):
    address = ends.server_address["ipv4"]
    server = ends.server.run("cm_transfer", "server", address, PORT, 4)
    server.line("^listening")
    client = ends.client.run("cm_transfer", "client", address, PORT, 4)
    client.line("^round 3$")
    os.kill(host.agent(), signal.SIGKILL)
    client.line("^round", count=client.count("^round") + 3)
    listener = ends.server.run("cm_listen", address, PORT + 1)  # a new connection needs the successor
    listener.line("^listening")
    ends.client.run("cm_connect", address, PORT + 1).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    client.say("stop")
    for end in (client, server):
        assert "done: 4 connections" in end.succeeds()


# -- loss

@both_families
def test_loss(ends, host, family):
    address = ends.server_address[family]
    lossy = {"HAWSER_FAULT": "loss=3%,duplicate=1%,seed=5"}
    def run(end, *argv):
        return end.run(*argv, env=lossy) if end is host else end.run(*argv)
    server = run(ends.server, "cm_transfer", "server", address, PORT, 4)
    server.line("^listening")
    client = run(ends.client, "cm_transfer", "client", address, PORT, 4, 20)
    assert client.status(240) == 0, client.describe()
    assert server.status(240) == 0, server.describe()
