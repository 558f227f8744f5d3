"""Five datagrams of a hundred are lost (injected under the UDP fabric): programs end right, their data compared.

What is lost at the end of a message is sent again after the acknowledge timeout that librdmacm's programs get (0.54 s),
a message of the connection manager after 4.6 s: so these tests wait most of their time.
"""
import pytest

from harness import IPV4

PORT = 7471


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rping(host, seed):
    lossy = {"HAWSER_FAULT": f"loss=5%,seed={seed}"}
    server = host.run("rping", "-s", "-a", IPV4, "-V", "-S", 20000, "-C", 20, env=lossy)
    host.listening(server, 7174)
    client = host.run("rping", "-c", "-a", IPV4, "-V", "-S", 20000, "-C", 20, env=lossy)
    assert client.status(240) == 0, client.describe()
    assert server.status() == 0, server.describe()


def test_transfer(host):
    lossy = {"HAWSER_FAULT": "loss=5%,duplicate=1%,seed=7"}
    server = host.run("cm_transfer", "server", IPV4, PORT, 4, env=lossy)
    server.line("^listening")
    client = host.run("cm_transfer", "client", IPV4, PORT, 4, 20, env=lossy)
    assert client.status(240) == 0, client.describe()
    assert server.status(240) == 0, server.describe()


def test_ucmatose(host):
    lossy = {"HAWSER_FAULT": "loss=5%,seed=11"}
    server = host.run("ucmatose", "-b", IPV4, "-c", 30, env=lossy)
    host.listening(server, PORT)
    client = host.run("ucmatose", "-s", IPV4, "-c", 30, env=lossy)
    for end in (client, server):
        assert end.status(240) == 0, end.describe()
        assert "test complete" in end.output and "return status 0" in end.output


@pytest.mark.parametrize("nth", [13, 14, 15])
def test_farewell(host, nth):
    # rping's client does not wait for the answer to its last DREQ (one of these datagrams): when that is lost and the
    # client is gone, the agent asks again.
    server = host.run("rping", "-s", "-a", "127.0.0.1", "-C", 2)
    host.listening(server, 7174)
    client = host.run("rping", "-c", "-a", "127.0.0.1", "-C", 2, env={"HAWSER_FAULT": f"nth={nth}"})
    assert client.status() == 0, client.describe()
    assert server.status() == 0, server.describe()


def test_a_wrong_plan_is_an_error(host):
    # Else a test with a typing error would be a run without faults.
    client = host.run("rping", "-c", "-a", IPV4, "-C", 1, env={"HAWSER_FAULT": "loss=a lot"})
    assert client.status() != 0 and "HAWSER_FAULT" in client.output


def test_first_request_is_sent_again(host):
    # The client's first datagram is its REQ; the second comes after the CM's timeout (4.6 s).
    server = host.run("cm_listen", IPV4, PORT)
    server.line("^listening")
    client = host.run("cm_connect", IPV4, PORT, env={"HAWSER_FAULT": "nth=0"})
    client.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
