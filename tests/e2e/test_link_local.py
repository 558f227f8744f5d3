"""Link-local addresses: one is another on each link [spec 1.8.5, 4 #35]."""
from harness import IPV6, LINK_LOCAL, PEER_LINK_LOCAL

PORT = 7471
ESTABLISHED = "^EVENT RDMA_CM_EVENT_ESTABLISHED 0$"


def second_cable(first, second):
    """hw1 of both hosts, with the link-local addresses of their hw0."""
    first.ip("link add hw1 type veth peer name hw2")
    first.give("hw2", second)
    second.ip("link set hw2 name hw1")
    for host, address in ((first, LINK_LOCAL), (second, PEER_LINK_LOCAL)):
        host.ip("link set hw1 addrgenmode none")
        host.ip(f"addr add {address}/64 dev hw1 nodad")
        host.ip("link set hw1 up")


def listens(host, interface):
    server = host.run("cm_listen", f"{LINK_LOCAL}%{interface}", PORT)
    server.line("^listening")
    return server


def connects(host, interface):
    client = host.run("cm_connect", f"{LINK_LOCAL}%{interface}", PORT)
    client.line(ESTABLISHED)
    return client


def test_listeners_at_one_address_of_two_links(hosts):
    here, there = hosts
    second_cable(here, there)
    servers = {interface: listens(here, interface) for interface in ("hw0", "hw1")}
    for client_host in (there, here):
        for interface, server in servers.items():
            before = server.count(ESTABLISHED)
            client = connects(client_host, interface)
            server.line(ESTABLISHED, count=before + 1)
            own = [i for i in client_host.ids() if i["pid"] == client.pid]
            assert [i["interface"] for i in own] == [interface]
            client.say("disconnect")
            client.succeeds()
            server.line("^closed", count=before + 1)


def test_an_address_of_ours_on_another_link_is_somebody_elses(hosts):
    here, there = hosts
    there.ip("link add hw1 type veth peer name hw2")
    there.ip(f"addr add {LINK_LOCAL}/64 dev hw1 nodad")
    there.ip("link set hw1 up")
    there.ip("link set hw2 up")
    server = listens(here, "hw0")
    client = connects(there, "hw0")
    server.line(ESTABLISHED)
    client.say("disconnect")
    client.succeeds()


def test_from_a_link_local_address_to_one_that_is_not(hosts):
    here, there = hosts
    server = here.run("rping", "-s", "-a", IPV6, "-C", 5)
    here.listening(server, 7174)
    there.run("rping", "-c", "-a", IPV6, "-I", f"{PEER_LINK_LOCAL}%hw0", "-C", 5).succeeds()
    server.succeeds()
