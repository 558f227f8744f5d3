"""The life of a connection, event by event, and who ends it."""
import re
from pathlib import Path

import pytest

from harness import IPV4, IPV6, wait_for


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
def test_one_side_disconnects(host, address, who):  # [spec 6.4.5]
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


def test_threads_of_an_idle_connection_sleep(host):
    server, client = connected(host)

    def switches():
        """Context switches of every thread in this host: a thread that sleeps in one call makes none."""
        files = [task / "status" for pid in host.pids() for task in Path(f"/proc/{pid}/task").iterdir()]
        return {str(file): int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read_text(), re.M)[1]) for file in files}

    def ticks():
        fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in host.pids()]
        return sum(int(f[11]) + int(f[12]) for f in fields)

    def look():
        """What happened in a second; it may begin while the last work is still being done."""
        switches_before, ticks_before = switches(), ticks()
        host.start("timeout", "1", "tail", "-f", "/dev/null").status()
        now = switches()
        return {thread: now[thread] - n for thread, n in switches_before.items() if thread in now}, ticks() - ticks_before

    def asleep():
        woken, used = look()
        # A thread that wakes every millisecond would count 1,000; one that spins, 100 ticks.
        return max(woken.values()) <= 10 and used <= 2

    assert host.agent() is not None
    wait_for("every thread of client, server and agent sleeps", asleep)
    assert asleep()  # and goes on sleeping
    for end in (client, server):
        assert end.running
