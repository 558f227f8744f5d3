"""Processes that are stopped (SIGSTOP, a debugger) for longer than all retries: their connections are alive after."""
import contextlib
import os
import signal
import time

from harness import IPV4

PORT = 7471
STOPPED_S = 10  # a connection's retries last for about 4 s


@contextlib.contextmanager
def stopped(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def transfer(host, port):
    server = host.run("cm_transfer", "server", IPV4, port, 2)
    server.line("^listening")
    client = host.run("cm_transfer", "client", IPV4, port, 2)
    client.line("^round 5$")
    return server, client


def finish(server, client):
    client.line("^round", count=client.count("^round") + 5)
    client.say("stop")
    client.succeeds()
    assert "done: 2 connections" in server.succeeds()


def test_connections_of_stopped_processes(host):
    """A server and a client in mid-transfer, and a listener that is being connected to, all at the same time."""
    victim_server, its_client = transfer(host, PORT)
    its_server, victim_client = transfer(host, PORT + 1)
    listener = host.run("cm_listen", IPV4, PORT + 2)
    listener.line("^listening")
    with stopped(victim_server.pid, victim_client.pid, listener.pid):
        client = host.run("cm_connect", IPV4, PORT + 2)
        client.line("^connect: ok$")
        time.sleep(STOPPED_S)  # this is what is tested
        for survivor in (its_client, its_server, client):
            assert survivor.running and survivor.count("COMPLETION|ERROR|UNREACHABLE") == 0, survivor.describe()
    finish(victim_server, its_client)
    finish(its_server, victim_client)
    client.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    client.say("quit")
    listener.line("^closed$")
    listener.say("quit")
    listener.succeeds()


def test_a_peer_that_is_killed_while_it_is_stopped(host):
    server, client = transfer(host, PORT)
    server.send_signal(signal.SIGSTOP)
    server.kill()
    assert client.status() == 1
    assert "COMPLETION" in client.output


def test_stopped_agent(host):
    """Connections go on, also over a lossy wire, whose every timeout asks the agent in vain; new ones wait for it."""
    lossy = {"HAWSER_FAULT": "loss=2%,seed=7"}
    server = host.run("cm_transfer", "server", IPV4, PORT, 2, env=lossy)
    server.line("^listening")
    client = host.run("cm_transfer", "client", IPV4, PORT, 2, env=lossy)
    client.line("^round 5$")
    with stopped(host.agent()):
        before = client.count("^round")
        time.sleep(STOPPED_S)  # this is what is tested
        client.line("^round", count=before + 20)
        late = host.run("cm_listen", IPV4, PORT + 1)
    late.line("^listening")
    finish(server, client)
    late.say("quit")
    late.succeeds()
