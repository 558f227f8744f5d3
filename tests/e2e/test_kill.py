"""kill -9 of one side: the other side is told, soon, as if a kernel had cleaned up; nothing is left (the host fixture)."""
import signal

import pytest

from harness import IPV4

PORT = 7471
ENDED = "^EVENT RDMA_CM_EVENT_(REJECTED|DISCONNECTED|UNREACHABLE|CONNECT_ERROR)"


@pytest.fixture
def server(host):
    server = host.run("cm_listen", IPV4, PORT, "hold")
    server.line("^listening")
    return server


def test_client_before_accept(host, server):
    client = host.run("cm_connect", IPV4, PORT)
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    client.kill()
    # Its end is told either by the REJ that the agent sends for it, or by the accept that finds nobody.
    server.say("accept")
    accepted = server.line("^accept: (.*)$|^no connection$")
    if accepted[1] == "ok":
        server.line(ENDED)
    server.say("quit")
    server.succeeds()


def test_client_after_its_request_was_answered(host, server):
    client = host.run("cm_connect", IPV4, PORT, "deaf")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.say("accept")
    server.line("^accept: ok$")
    client.kill()
    assert server.line(ENDED)[1] in ("REJECTED", "DISCONNECTED")
    server.say("quit")
    server.succeeds()


@pytest.mark.parametrize("victim", ["server", "client"])
def test_established(host, server, victim):
    client = host.run("cm_connect", IPV4, PORT)
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.say("accept")
    for end in (server, client):
        end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    killed, survivor = (server, client) if victim == "server" else (client, server)
    killed.kill()
    assert survivor.line(ENDED)[1] == "DISCONNECTED"
    survivor.line("^COMPLETION flushed$", count=4)


@pytest.mark.parametrize("victim", ["server", "client"])
def test_in_mid_transfer(host, victim):
    server = host.run("cm_transfer", "server", IPV4, PORT, 8)
    server.line("^listening")
    client = host.run("cm_transfer", "client", IPV4, PORT, 8)
    client.line("^round 20$")
    if victim == "client":
        client.kill()
        server.line("^connection . disconnected$", count=8)
        assert "done: 8 connections" in server.succeeds()
    else:
        server.kill()
        assert client.status() == 1
        assert "COMPLETION" in client.output  # an error, and an end: not a hang


def test_listener_port_answers_reject_8_when_its_process_is_dead(host, server):
    other = host.run("cm_listen", IPV4, PORT + 1)  # the agent lives on
    other.line("^listening")
    server.kill()
    host.run("cm_connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_REJECTED 8$")


def test_survivors_of_other_connections_notice_nothing(host):
    server = host.run("cm_transfer", "server", IPV4, PORT, 4)
    server.line("^listening")
    client = host.run("cm_transfer", "client", IPV4, PORT, 4)
    client.line("^round 5$")
    for _ in range(3):
        victim = host.run("cm_listen", IPV4, PORT + 1)
        victim.line("^listening")
        other = host.run("cm_connect", IPV4, PORT + 1)
        for end in (other, victim):  # a server that dies before it has taken the RTU rejects
            end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
        victim.kill()
        other.line("^EVENT RDMA_CM_EVENT_DISCONNECTED")
        client.line("^round", count=client.count("^round") + 5)
    client.say("stop")
    client.succeeds()
    server.succeeds()


# The states of the cm that the tests above do not reach. A stopped process keeps its peer in the state that it is in.

def connected(host, server, *options):
    client = host.run("cm_connect", IPV4, PORT, *options)
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.say("accept")
    for end in (server, client):
        end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    return client


def ends_once(survivor, *events):
    """The one terminal event, after which the program ends by itself."""
    assert survivor.line(ENDED)[1] in events
    survivor.status()
    assert survivor.count(ENDED) == 1, survivor.describe()


def test_server_in_req_rcvd(host, server):
    client = host.run("cm_connect", IPV4, PORT)
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.kill()
    ends_once(client, "REJECTED")


def test_server_with_a_request_that_it_never_saw(host, server):
    server.send_signal(signal.SIGSTOP)
    client = host.run("cm_connect", IPV4, PORT)
    client.line("^connect: ok$")
    server.kill()
    ends_once(client, "REJECTED")


def test_server_in_rep_sent(host, server):
    client = host.run("cm_connect", IPV4, PORT, "deaf")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.say("accept")
    server.line("^accept: ok$")
    server.kill()
    client.say("hear")
    ends_once(client, "REJECTED", "CONNECT_ERROR", "DISCONNECTED")


def test_client_in_req_sent_to_a_stopped_server(host, server):
    server.send_signal(signal.SIGSTOP)
    client = host.run("cm_connect", IPV4, PORT)
    client.line("^connect: ok$")
    client.kill()
    server.send_signal(signal.SIGCONT)
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")  # it was in the server's socket, and so is its end
    server.say("accept")
    if server.line("^accept: (.*)$|^no connection$")[1] == "ok":
        server.line(ENDED)


@pytest.mark.parametrize("killed", ["server", "client"])
def test_in_dreq_sent(host, server, killed):
    client = connected(host, server)
    victim, survivor = (server, client) if killed == "server" else (client, server)
    survivor.send_signal(signal.SIGSTOP)
    victim.say("disconnect")
    victim.line("^disconnect: ok$")
    victim.kill()
    survivor.send_signal(signal.SIGCONT)
    assert survivor.line(ENDED)[1] == "DISCONNECTED"


@pytest.mark.parametrize("killed", ["server", "client"])
def test_with_a_dreq_that_it_never_saw(host, server, killed):
    client = connected(host, server)
    victim, survivor = (server, client) if killed == "server" else (client, server)
    victim.send_signal(signal.SIGSTOP)
    survivor.say("disconnect")
    survivor.line("^disconnect: ok$")
    victim.kill()
    assert survivor.line(ENDED)[1] == "DISCONNECTED"


def test_server_in_timewait(host, server):
    client = connected(host, server, "linger")
    server.say("disconnect")
    assert client.line(ENDED)[1] == "DISCONNECTED"
    server.kill()
    client.line("^EVENT RDMA_CM_EVENT_TIMEWAIT_EXIT 0$")
    assert client.count(ENDED) == 1
    client.say("quit")
    client.succeeds()


def test_client_in_timewait(host, server):
    client = connected(host, server, "linger")
    client.say("disconnect")
    assert client.line(ENDED)[1] == "DISCONNECTED"
    server.line("^closed$")
    client.kill()
    assert server.count(ENDED) == 1
    other = host.run("cm_connect", IPV4, PORT)
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$", 2)
    server.say("accept")
    other.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


# -- states that last only while a program does not listen, or in which a message came twice

@pytest.mark.parametrize("killed", ["server", "client"])
def test_in_dreq_rcvd(host, server, killed):
    client = connected(host, server)
    client.say("deaf")
    client.line("^deaf$")
    server.say("disconnect")
    host.reaches(client, "DREQ_RCVD")
    if killed == "server":
        server.kill()
        client.say("hear")
        ends_once(client, "DISCONNECTED")
    else:
        client.kill()
        assert server.line(ENDED)[1] == "DISCONNECTED"
        server.line("^closed$")
        assert server.count(ENDED) == 1


@pytest.mark.parametrize("killed", ["server", "client"])
def test_when_the_request_was_answered_by_an_mra(host, server, killed):  # [spec 5.6.2]
    host.fault("duplicate", "REQ", "--nth", 1)
    client = host.run("cm_connect", IPV4, PORT)
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    host.reaches(server, "MRA_REQ_SENT")
    host.reaches(client, "MRA_REQ_RCVD")
    if killed == "server":
        server.kill()
        ends_once(client, "REJECTED")
    else:
        client.kill()
        server.say("accept")
        if server.line("^accept: (.*)$|^no connection$")[1] == "ok":
            server.line(ENDED)
        assert server.count(ENDED) <= 1


@pytest.mark.parametrize("killed", ["server", "client"])
def test_when_the_response_was_answered_by_an_mra(host, server, killed):  # [spec 5.6.3]
    host.fault("duplicate", "REP", "--nth", 1)
    client = host.run("cm_connect", IPV4, PORT, "deaf")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.say("accept")
    host.reaches(client, "MRA_REP_SENT")
    host.reaches(server, "MRA_REP_RCVD")
    if killed == "server":
        server.kill()
        client.say("hear")
        ends_once(client, "REJECTED", "CONNECT_ERROR", "DISCONNECTED")
    else:
        client.kill()
        assert server.line(ENDED)[1] in ("REJECTED", "DISCONNECTED")
        server.line("^closed$")
        assert server.count(ENDED) == 1


# -- before there is a connection: nobody has to be told, and nothing is left

@pytest.mark.parametrize("state, fault, call", [
    ("ADDR_QUERY", "silence-neighbour", "resolve_addr"), ("ROUTE_QUERY", "silence-route", "resolve_route")])
def test_client_that_resolves(hosts, state, fault, call):
    listener = hosts[0].run("cm_listen", IPV4, PORT)
    listener.line("^listening")
    victim = hosts[1].run("cm_connect", IPV4, PORT, env={"HAWSER_FAULT": f"{fault}={IPV4}"})
    victim.line(f"^{call}: ok$")
    victim.send_signal(signal.SIGSTOP)  # before the timeout
    assert [i["state"] for i in hosts[1].ids()] == [state]
    victim.kill()
    hosts[1].run("cm_connect", IPV4, PORT)
    listener.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    assert listener.count("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST") == 1


def test_program_that_looks_up_a_service(host):
    victim = host.run("cm_multicast", IPV4, env={"HAWSER_FAULT": "silence-service=storage"})
    victim.line("^ready$")
    victim.say("lookup 16 - storage")
    victim.line("^resolve_addrinfo: ok$")
    victim.send_signal(signal.SIGSTOP)
    assert [i["state"] for i in host.ids()] == ["ADDRINFO_QUERY"]
    victim.kill()

