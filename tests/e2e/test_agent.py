"""The agent's life: starts with the first program that needs it, is replaced when killed, leaves with the last."""
import os
import signal

from harness import IPV4, wait_for

PORT = 7471


def test_one_agent_for_all_and_it_leaves(host):
    servers = [host.run("cm_listen", IPV4, PORT + n) for n in range(8)]
    for server in servers:
        server.line("^listening")
    assert host.agent() is not None
    for server in servers:
        server.say("quit")
        server.succeeds()
    wait_for("the agent leaves with its last client", lambda: host.agent() is None)


def test_agent_does_not_hold_its_first_clients_session_or_descriptors(host):
    host.run("cm_listen", IPV4, PORT).line("^listening")
    agent = wait_for("an agent", host.agent)
    assert os.getsid(agent) == agent
    targets = {os.readlink(f"/proc/{agent}/fd/{fd}") for fd in os.listdir(f"/proc/{agent}/fd")}
    assert not {target for target in targets if target.startswith("pipe:")}, targets


def test_killed_while_100_connections_move_data(host):
    server = host.run("cm_transfer", "server", IPV4, PORT, 100)
    server.line("^listening")
    client = host.run("cm_transfer", "client", IPV4, PORT, 100)
    client.line("^round 3$")
    for _ in range(2):
        agent = host.agent()
        os.kill(agent, signal.SIGKILL)
        client.line("^round", count=client.count("^round") + 3)
        # A new connection needs the successor.
        listener = host.run("cm_listen", IPV4, PORT + 1)
        listener.line("^listening")
        newcomer = host.run("cm_connect", IPV4, PORT + 1)
        newcomer.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
        newcomer.say("disconnect")
        newcomer.succeeds()
        listener.say("quit")
        listener.succeeds()
        assert host.agent() not in (None, agent)
    client.say("stop")
    assert "done: 100 connections" in client.succeeds()
    assert "done: 100 connections" in server.succeeds()


def test_many_programs_start_at_once(host):
    # All find no agent and try to start one; one wins.
    clients = [host.run("cm_connect", "127.0.0.1", 7999) for _ in range(20)]
    for client in clients:
        client.line("^EVENT RDMA_CM_EVENT_REJECTED 8$")


def test_asking_starts_no_agent(host):
    host.hawser("ids").succeeds()
    host.hawser("devices").succeeds()
    assert host.agent() is None
