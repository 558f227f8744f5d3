"""Port space UDP: services are resolved by SIDR, datagram queue pairs talk."""
import re

import pytest

from harness import IPV4, IPV6, PEER_IPV4, PEER_IPV6, Capture, run_pair

PORT = 7174
UNREACHABLE = "^EVENT RDMA_CM_EVENT_UNREACHABLE (-?\\d+)$"
ETIMEDOUT, ECONNREFUSED = -110, -111
UNSUPPORTED, REJECTED = 1, 2  # SIDR status


# -- udaddy of rdmacm-utils

@pytest.mark.every_user
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", IPV4, IPV6])
def test_udaddy(host, address):
    server, [client] = run_pair(host, ["udaddy", "-b", address], ["udaddy", "-s", address], PORT)
    for end in (server, client):
        assert "data transfers complete" in end.output and "return status 0" in end.output


def test_udaddy_several_connections_and_larger_messages(host):
    # Datagrams are not repeated: together they fit into a socket's stock buffer.
    many = ["-c", 4, "-C", 10, "-S", 1000]
    server, [client] = run_pair(host, ["udaddy", *many], ["udaddy", "-s", IPV4, *many], PORT)
    for end in (server, client):
        assert "return status 0" in end.output


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_udaddy_between_two_hosts(hosts, address):
    server, client = hosts
    run_pair(server, ["udaddy", "-b", address], ["udaddy", "-s", address], PORT, peer=client)


# -- what udaddy does not show

def listen(host, address, *options, **kwargs):
    server = host.run("cm_datagram", "listen", address, PORT, *options, **kwargs)
    server.line("^listening")
    return server


def connect(host, address, *options, **kwargs):
    return host.run("cm_datagram", "connect", address, PORT, *options, **kwargs)


@pytest.mark.every_user
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", IPV4, IPV6])
def test_private_data_goes_both_ways(host, address):
    server = listen(host, address, "qp=0x4711", "data=welcome")
    client = connect(host, address, "qp=0x1234", "data=hello")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.line("^  private data 180: hello")
    assert server.line(r"^  from (\d+) to (\d+)$")[2] == str(PORT)
    client.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    client.line("^  private data 136: welcome")
    told = client.line("^  qp 0x4711 key 0x1234567 to (.*) global 1 port 1$")[1]
    assert told == (address if ":" in address else f"::ffff:{address}")
    client.succeeds()


@pytest.mark.parametrize("length, answer", [(180, "ok"), (181, "EINVAL")])
def test_length_of_private_data(host, length, answer):
    listen(host, IPV4, "qp=1")
    connect(host, IPV4, "qp=1", "data=" + "x" * length).line(f"^connect: {answer}$")


def test_reject(host):
    server = listen(host, IPV4, "qp=1", "hold", "data=no")
    client = connect(host, IPV4, "qp=1")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.say("reject")
    server.line("^reject: ok$")
    assert int(client.line(UNREACHABLE)[1]) == REJECTED
    client.line("^  private data 136: no")
    assert client.status() == 1


def test_no_listener(host):
    assert int(connect(host, IPV4, "qp=1").line(UNREACHABLE)[1]) == UNSUPPORTED


def test_no_listener_in_a_process_that_listens_elsewhere(host):
    other = host.run("cm_datagram", "listen", IPV4, PORT + 1, "qp=1")
    other.line("^listening")
    assert int(connect(host, IPV4, "qp=1").line(UNREACHABLE)[1]) == UNSUPPORTED


def test_the_server_dies_before_it_answers(host):
    server = listen(host, IPV4, "qp=1", "hold")
    client = connect(host, IPV4, "qp=1")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.kill()
    # The agent refuses for it; a repeated request finds nobody.
    assert int(client.line(UNREACHABLE)[1]) in (REJECTED, UNSUPPORTED)


def test_the_client_dies_before_the_answer(host):
    server = listen(host, IPV4, "qp=1", "hold")
    client = connect(host, IPV4, "qp=1")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    client.kill()
    server.say("accept")
    server.line("^accept: ok$")
    connect(host, IPV4, "qp=1")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$", count=2)


def test_a_lost_answer_is_given_again(host):
    # The server's only datagram is lost. The client asks again, and is no second client.
    server = listen(host, IPV4, "qp=0x42", env={"HAWSER_FAULT": "bitmap=1"})
    client = connect(host, IPV4, "qp=1", "timeout=16")
    client.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    client.succeeds()
    server.say("quit")
    server.succeeds()
    assert server.count("CONNECT_REQUEST") == 1


def test_an_answer_is_given_again_when_nobody_listens_any_more(host):
    server = listen(host, IPV4, "qp=0x42", "hold", env={"HAWSER_FAULT": "bitmap=1"})
    other = host.run("cm_listen", IPV4, 7471)  # the agent knows more than one process
    other.line("^listening")
    client = connect(host, IPV4, "qp=1", "timeout=18")
    server.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    server.say("accept")
    server.line("^accept: ok$")
    server.say("close")
    server.line("^close: ok$")
    client.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_ids_show_the_service(host):
    server = listen(host, IPV4, "qp=1")
    [shown] = [i for i in host.ids() if i["pid"] == server.pid]
    assert shown["state"] == "LISTEN" and shown["port_space"] == "UDP"


# -- a host without an RDMA stack

@pytest.mark.parametrize("address", [PEER_IPV4, PEER_IPV6])
@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_host_without_a_stack_is_reported_at_once(hosts, address, how):
    # With the default patience this would take 66 s; LIVENESS_S is less.
    host, _ = hosts
    options, env = (["report"], {}) if how == "option" else ([], {"HAWSER_CM_REPORT_UNREACHABLE": "1"})
    client = connect(host, address, "qp=1", *options, env=env)
    assert int(client.line(UNREACHABLE)[1]) == ECONNREFUSED
    assert client.status() == 1


def test_a_connection_to_a_host_without_a_stack_is_reported_at_once(hosts):
    host, _ = hosts
    client = host.run("cm_connect", PEER_IPV4, 7471, env={"HAWSER_CM_REPORT_UNREACHABLE": "1"})
    assert int(client.line(UNREACHABLE)[1]) == ECONNREFUSED


@pytest.mark.parametrize("how", ["option", "environment"])
def test_patience_is_what_the_program_or_its_user_says(hosts, tmp_path, how):
    host, _ = hosts
    capture = Capture(host, tmp_path / "asks.pcap", interface="hw0")
    options, env = (["timeout=10", "retries=3"], {})
    if how == "environment":
        options, env = [], {"HAWSER_CM_RESPONSE_TIMEOUT": "10", "HAWSER_CM_RETRIES": "3"}
    client = connect(host, PEER_IPV4, "qp=1", *options, env=env)
    assert int(client.line(UNREACHABLE)[1]) == ETIMEDOUT
    capture.stop()
    assert len(capture.tshark("-Y", "ip.src == " + IPV4 + " && infiniband.mad")) == 4


@pytest.mark.parametrize("option, answer", [("timeout=32", "set timeout"), ("retries=16", "set retries")])
def test_nonsense_is_refused(host, option, answer):
    connect(host, IPV4, "qp=1", option).line(f"^{answer}: EINVAL$")


def test_nonsense_in_the_environment_is_explained(host):
    client = connect(host, IPV4, "qp=1", env={"HAWSER_CM_RETRIES": "many"})
    client.line('HAWSER_CM_RETRIES="many" is not a number from 0 to 15')
    assert client.status() != 0
