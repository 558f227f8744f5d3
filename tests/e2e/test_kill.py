"""kill -9 of one side: the other side is told, soon, as if a kernel had cleaned up; nothing is left (the host fixture)."""
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
