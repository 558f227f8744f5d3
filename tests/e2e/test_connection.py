"""The life of a connection, event by event, and who ends it."""
import pytest

from harness import IPV4, IPV6


def connected(host, address="127.0.0.1"):
    server = host.run("cm_listen", address, 7471)
    server.line("^listening")
    client = host.run("cm_connect", address, 7471)
    for end in (server, client):
        end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    return server, client


@pytest.mark.every_user
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", IPV4, IPV6])
@pytest.mark.parametrize("who", ["server", "client"])
def test_one_side_disconnects(host, address, who):
    server, client = connected(host, address)
    (server if who == "server" else client).say("disconnect")
    for end in (server, client):
        end.line("^EVENT RDMA_CM_EVENT_DISCONNECTED 0$")
        end.line("^COMPLETION flushed$", count=4)
    assert client.succeeds().splitlines() == [
        "resolve_addr: ok", "EVENT RDMA_CM_EVENT_ADDR_RESOLVED 0", "resolve_route: ok", "EVENT RDMA_CM_EVENT_ROUTE_RESOLVED 0",
        "connect: ok", "EVENT RDMA_CM_EVENT_ESTABLISHED 0", *(["disconnect: ok"] if who == "client" else []),
        "EVENT RDMA_CM_EVENT_DISCONNECTED 0", *["COMPLETION flushed"] * 4]
    server.line("^closed$")
    server.say("quit")
    server.succeeds()


def test_ids_of_the_host_are_shown(host):
    server, client = connected(host, IPV4)
    shown = {(i["pid"], i["state"]): i for i in host.ids()}
    assert shown.keys() == {(server.pid, "LISTEN"), (server.pid, "CONNECT"), (client.pid, "CONNECT")}
    active, passive = shown[client.pid, "CONNECT"], shown[server.pid, "CONNECT"]
    assert active["destination"] == passive["source"] == f"{IPV4}:7471"
    assert active["source"] == passive["destination"]
    assert active["program"] == "cm_connect" and passive["program"] == "cm_listen"
    table = host.hawser("ids").succeeds()
    assert "LISTEN" in table and str(server.pid) in table and f"{IPV4}:7471" in table


def test_an_idle_connection_uses_no_processor_time(host):
    server, client = connected(host)

    def ticks():
        fields = [open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split() for pid in host.pids()]
        return sum(int(f[11]) + int(f[12]) for f in fields)

    # A busy thread would use all of the time that this program takes (100 ticks); idle threads only their wake-ups.
    before = ticks()
    host.start("timeout", "1", "tail", "-f", "/dev/null").status()
    assert ticks() - before < 20
    for end in (client, server):
        assert end.running
