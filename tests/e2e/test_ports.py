"""Port spaces between processes [spec 1.8]: who may bind what beside whom."""
import pytest

from harness import IPV4, IPV6

PORT = 7471


def held(host, address):
    holder = host.run("cm_listen", address, PORT)
    holder.line("^listening")
    return holder


@pytest.mark.parametrize("holder, other, result", [
    ("0.0.0.0", "0.0.0.0", "EADDRNOTAVAIL"),
    ("0.0.0.0", IPV4, "EADDRNOTAVAIL"),
    (IPV4, "0.0.0.0", "EADDRNOTAVAIL"),
    ("127.0.0.1", "127.0.0.1", "EADDRNOTAVAIL"),
    ("127.0.0.1", IPV4, "EADDRNOTAVAIL"),
    (IPV4, IPV4, "EADDRINUSE"),
    (IPV6, IPV6, "EADDRINUSE"),
    ("::", IPV6, "EADDRNOTAVAIL"),
    ("::", IPV4, "EADDRNOTAVAIL"),  # dual-stack: net.ipv6.bindv6only is 0
    (IPV4, IPV6, "ok"),
])
def test_conflict(host, holder, other, result):  # [spec 1.1.3, 1.8.4]
    held(host, holder)
    second = host.run("cm_listen", other, PORT)
    assert second.line("^bind: (.*)$")[1] == result
    if result != "ok":
        assert second.status() == 2


def test_port_is_free_again_when_its_holder_is_killed(host):  # [spec 1.8.11]
    held(host, IPV4).kill()
    other = host.run("cm_connect", "127.0.0.1", 9)  # keeps an agent alive meanwhile
    other.line("^EVENT RDMA_CM_EVENT_REJECTED 8$")
    held(host, IPV4)


def test_any_port_is_chosen_from_the_ephemeral_range(host):  # [spec 1.8.6]
    low, high = (int(word) for word in host.read("/proc/sys/net/ipv4/ip_local_port_range").split())
    ports = []
    for _ in range(3):
        server = host.run("cm_listen", IPV4, 0)
        ports.append(int(server.line(r"^listening on (\d+)$")[1]))
    assert len(set(ports)) == 3 and all(low <= port <= high for port in ports)


def test_address_of_another_host(host):
    assert host.run("cm_listen", "10.99.99.99", PORT).line("^bind: (.*)$")[1] == "EADDRNOTAVAIL"


def test_privileged_port(host):  # [spec 1.8.3]
    if host.user != "nobody":
        pytest.skip("needs an unprivileged user")
    assert host.run("cm_listen", IPV4, 700).line("^bind: (.*)$")[1] == "EACCES"
