"""`hawser fault`: what is made to go wrong does, programs end right nevertheless, and it is counted."""
import errno
import os
import signal

import pytest

from harness import IPV4, IPV6, run_pair, wait_for

PORT = 7471


@pytest.fixture
def listener(host):
    listener = host.run("cm_listen", IPV4, PORT)
    listener.line("^listening")
    return listener


def counters(host, process):
    return next(p["counters"] for p in host.devices()["processes"] if p["pid"] == process.pid)


# -- messages of the connection manager

# Who repeats what after a while: the sender, or the one who waits for the answer [spec 5.6].
@pytest.mark.parametrize("message", ["REQ", "REP", "RTU", "DREQ", "DREP"])
def test_first_of_a_kind_is_lost(host, listener, message):
    host.fault("drop", message, "--nth", 1)
    client = host.run("cm_connect", IPV4, PORT)  # younger than the fault
    for end in (client, listener):
        end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    client.say("disconnect")
    client.line("^EVENT RDMA_CM_EVENT_DISCONNECTED 0$")
    listener.line("^closed$")
    # RTU and DREP are each side's: one process or the other has lost its first.
    wait_for("it is counted", lambda: host.faults()[f"drop={message}:nth=1"] == 1)
    client.succeeds()


def test_reject_is_lost(host):
    listener = host.run("cm_listen", IPV4, PORT, "hold")
    listener.line("^listening")
    host.fault("drop", "REJ", "--nth", 1, "--pid", listener.pid)
    client = host.run("cm_connect", IPV4, PORT)
    for count in (1, 2):  # the client asks again, as if for the first time
        listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$", count=count)
        listener.say("reject")
    client.line("^EVENT RDMA_CM_EVENT_REJECTED 28$")
    assert host.faults() == {"drop=REJ:nth=1": 1}
    assert counters(host, listener)["faults"] == {"dropped": 1, "delayed": 0, "duplicated": 0}


def test_request_twice_is_answered_by_mra_which_is_lost(host):
    listener = host.run("cm_listen", IPV4, PORT, "hold")
    listener.line("^listening")
    host.fault("drop", "MRA", "--nth", 1)
    host.fault("delay", "REQ", "--nth", 2, "--by", "1s")  # the program has it in hand when it comes again
    client = host.run("cm_connect", IPV4, PORT)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    wait_for("an MRA for the second request", lambda: host.faults()["drop=MRA:nth=1"] == 1)
    listener.say("accept")
    client.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    assert listener.count("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST") == 1


def test_who_is_killed_has_told(host, listener):
    host.fault("drop", "REQ")
    client = host.run("cm_connect", IPV4, PORT)
    client.line("^connect: ok$")
    client.kill()
    wait_for("it is counted", lambda: host.faults() == {"drop=REQ": 1})


@pytest.mark.parametrize("message", ["SIDR_REQ", "SIDR_REP"])
def test_first_of_a_kind_is_lost_for_an_unreliable_service(host, listener, message):
    host.fault("drop", message, "--nth", 1, "--port", 7174)
    run_pair(host, ["udaddy", "-b", IPV4], ["udaddy", "-s", IPV4], 7174)
    assert host.faults()[f"drop={message}:nth=1:port=7174"] == 1


@pytest.mark.parametrize("message", ["REQ", "REP", "RTU", "DREQ", "DREP"])
def test_every_one_of_a_kind_comes_twice(host, message):
    keeper = host.run("cm_listen", IPV4, PORT + 1)
    keeper.line("^listening")
    host.fault("duplicate", message)
    run_pair(host, ["ucmatose", "-b", IPV4, "-c", 10], ["ucmatose", "-s", IPV4, "-c", 10], PORT)
    assert host.faults()[f"duplicate={message}"] > 0


@pytest.mark.parametrize("message", ["REQ", "REP", "RTU", "DREQ", "DREP"])
def test_every_one_of_a_kind_comes_late(host, message):
    keeper = host.run("cm_listen", IPV4, PORT + 1)
    keeper.line("^listening")
    host.fault("delay", message, "--by", "300ms")
    run_pair(host, ["ucmatose", "-b", IPV4, "-c", 10], ["ucmatose", "-s", IPV4, "-c", 10], PORT)
    assert host.faults()[f"delay={message}:by=300ms"] > 0


def test_one_port_only(host, listener):
    other = host.run("cm_listen", IPV4, PORT + 1)
    other.line("^listening")
    host.fault("drop", "REQ", "--port", PORT)
    lost = host.run("cm_connect", IPV4, PORT)
    lost.line("^connect: ok$")
    host.run("cm_connect", IPV4, PORT + 1).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    assert lost.count("^EVENT RDMA_CM_EVENT_ESTABLISHED") == 0
    wait_for("it is counted", lambda: host.faults()[f"drop=REQ:port={PORT}"] >= 1)
    host.fault("clear")
    assert host.faults() == {}
    lost.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_one_id_only(host):
    listener = host.run("cm_listen", IPV4, PORT, "hold")
    listener.line("^listening")
    first = host.run("cm_connect", IPV4, PORT)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    [number] = [i["number"] for i in host.ids() if i["pid"] == listener.pid and i["state"] == "CONNECT"]
    host.fault("drop", "REP", "--pid", listener.pid, "--id", number)
    listener.say("accept")
    listener.line("^accept: ok$")
    second = host.run("cm_connect", IPV4, PORT)
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$", count=2)
    listener.say("accept")
    second.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    assert first.count("^EVENT RDMA_CM_EVENT_ESTABLISHED") == 0
    host.fault("clear", 1)
    first.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_one_program_only(host, listener):
    host.fault("drop", "REQ", "--nth", 1, "--program", "ucmatose")
    host.run("cm_connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    assert host.faults() == {"drop=REQ:nth=1": 0}


def test_chance_is_decided_by_the_seed(host, listener):
    fates = []
    for _ in range(2):
        host.fault("duplicate", "REQ", "--chance", "50%", "--seed", 7, "--program", "ucmatose")
        run_pair(host, ["ucmatose", "-p", PORT + 1, "-b", IPV4, "-c", 30],
                 ["ucmatose", "-p", PORT + 1, "-s", IPV4, "-c", 30], PORT + 1)
        fates.append(host.faults())
        host.fault("clear")
    [[(_, first)], [(_, second)]] = (fate.items() for fate in fates)
    assert first == second and 0 < first < 30


def test_plan_of_the_environment(host, listener):
    client = host.run("cm_connect", IPV4, PORT, env={"HAWSER_FAULT": "drop=REQ:nth=1,duplicate=RTU"})
    client.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    wait_for("both are counted", lambda: counters(host, client)["faults"] == {"dropped": 1, "delayed": 0, "duplicated": 1})
    assert host.faults() == {}  # nobody's but the program's own


@pytest.mark.parametrize("plan", ["drop=RQE", "loss=5%,delay=REQ", "remove=eth0"])
def test_wrong_plan_of_the_environment(host, plan):
    client = host.run("cm_connect", IPV4, PORT, env={"HAWSER_FAULT": plan})
    assert client.status() != 0
    assert "HAWSER_FAULT: " in client.output


def test_a_successor_of_the_agent_knows_the_faults(host, listener):
    host.fault("duplicate", "REP", "--program", "cm_listen")
    host.run("cm_connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    wait_for("it is counted", lambda: host.faults() == {"duplicate=REP": 1})
    os.kill(host.agent(), signal.SIGKILL)
    wait_for("the successor knows it", lambda: host.faults() == {"duplicate=REP": 1})
    host.run("cm_connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    wait_for("it still holds", lambda: host.faults() == {"duplicate=REP": 2})


# -- devices, addresses, neighbours: each event of docs/events.md

@pytest.fixture
def connected(hosts):
    listener = hosts[0].run("cm_events", "listen", "::", PORT)
    listener.line("^listening")
    client = hosts[1].run("cm_events", "connect", IPV4, PORT, "slow")
    for end in (listener, client):
        end.line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    return listener, client


def test_remove_a_device_and_give_it_back(hosts, connected):
    listener, client = connected
    hosts[0].fault("remove", "hw_hw0")
    listener.line("^ASYNC hw_hw0 IBV_EVENT_DEVICE_FATAL$")
    listener.line("^EVENT RDMA_CM_EVENT_DEVICE_REMOVAL 0$")
    listener.say("devices")
    listener.line("^DEVICES 1$")
    listener.line("^destroyed$")
    client.line("^EVENT RDMA_CM_EVENT_DISCONNECTED 0$")  # a DREQ, as its end goes
    hosts[0].fault("clear")
    listener.say("devices")
    listener.line("^DEVICES 2$")
    hosts[1].run("cm_connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")  # the listener has extended to it


def test_remove_a_device_from_one_process(host):
    ends = [host.run("cm_events", "listen", IPV4, PORT + n) for n in range(2)]
    for end in ends:
        end.line("^listening")
    host.fault("remove", "hw_hw0", "--pid", ends[0].pid)
    ends[0].line("^EVENT RDMA_CM_EVENT_DEVICE_REMOVAL 0$")
    host.run("cm_connect", IPV4, PORT + 1).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")
    assert ends[1].count("DEVICE") == 0


def test_remove_an_address(hosts, connected):
    listener, client = connected
    hosts[0].fault("remove-address", IPV4)
    listener.line("^ASYNC hw_hw0 IBV_EVENT_GID_CHANGE$")
    assert hosts[0].run("cm_listen", IPV4, PORT + 1).line("^bind: (.*)$")[1] == "EADDRNOTAVAIL"
    assert listener.count("^EVENT RDMA_CM_EVENT_(DISCONNECTED|DEVICE_REMOVAL)") == 0
    hosts[0].fault("clear")
    listener.line("^ASYNC hw_hw0 IBV_EVENT_GID_CHANGE$", count=2)


def test_link_down(hosts, connected):
    hosts[0].fault("link-down", "hw_hw0")
    connected[0].line("^ASYNC hw_hw0 IBV_EVENT_PORT_ERR$")
    hosts[0].fault("clear")
    connected[0].line("^ASYNC hw_hw0 IBV_EVENT_PORT_ACTIVE$")


def test_change_a_mac(hosts, connected):
    hosts[0].fault("change-mac", "hw_hw0")
    connected[0].line("^EVENT RDMA_CM_EVENT_ADDR_CHANGE 0$")


def test_move_a_neighbour(hosts, connected):
    hosts[1].fault("move-neighbour", IPV4)
    connected[1].line("^EVENT RDMA_CM_EVENT_UNREACHABLE -110$")


def test_silence_a_neighbour(hosts, connected):
    hosts[1].fault("silence-neighbour", IPV4)
    hosts[1].run("cm_events", "connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_ADDR_ERROR -110$")
    hosts[1].fault("clear")
    hosts[1].run("cm_events", "connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_silence_a_route(hosts, connected):
    hosts[1].fault("silence-route", IPV4)
    client = hosts[1].run("cm_events", "connect", IPV4, PORT)
    client.line("^EVENT RDMA_CM_EVENT_ROUTE_ERROR -110$")
    wait_for("it is counted", lambda: hosts[1].faults() == {f"silence-route={IPV4}": 1})
    hosts[1].run("cm_events", "connect", IPV6, PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")  # another address
    hosts[1].fault("clear")
    hosts[1].run("cm_events", "connect", IPV4, PORT).line("^EVENT RDMA_CM_EVENT_ESTABLISHED 0$")


def test_silence_a_service(host, listener):
    host.fault("silence-service", "storage")
    program = host.run("cm_multicast", IPV4)  # younger than the fault
    program.line("^ready$")
    for name, error in (("storage", errno.ETIMEDOUT), ("another", errno.ENODATA)):
        program.say(f"lookup 16 - {name}")
        program.line(f"^EVENT RDMA_CM_EVENT_ADDRINFO_ERROR -{error}$")
    wait_for("it is counted", lambda: host.faults() == {"silence-service=storage": 1})
    host.fault("clear")
    late = host.run("cm_multicast", IPV4)
    late.say("lookup 16 - storage")
    late.line("^resolve_addrinfo: EOPNOTSUPP$")


def test_remove_the_address_of_a_member(host):
    program = host.run("cm_multicast", IPV4)
    program.line("^ready$")
    host.fault("remove-address", IPV4)
    wait_for("it is in force", lambda: host.faults() == {f"remove-address={IPV4}": 1})
    program.say("join 239.1.2.3")
    program.line("^EVENT RDMA_CM_EVENT_MULTICAST_ERROR -22$")


@pytest.mark.parametrize("when, event", [("requested", "REJECTED 28"), ("answered", "CONNECT_ERROR -22")])
def test_remove_the_device_of_a_peer(hosts, when, event):
    """What a request comes to whose listener loses its device; answered, but the client has not looked yet."""
    listener = hosts[0].run("cm_listen", IPV4, PORT, "hold")
    listener.line("^listening")
    client = hosts[1].run("cm_connect", IPV4, PORT, "deaf")
    listener.line("^EVENT RDMA_CM_EVENT_CONNECT_REQUEST 0$")
    if when == "answered":
        listener.say("accept")
        hosts[1].reaches(client, "REP_RCVD", "MRA_REP_SENT")
    hosts[0].fault("remove", "hw_hw0")
    hosts[1].reaches(client, "TIMEWAIT", "")
    client.say("hear")
    client.line(f"^EVENT RDMA_CM_EVENT_{event}$")
    client.status()
    assert client.count("RDMA_CM_EVENT_(REJECTED|CONNECT_ERROR|DISCONNECTED|UNREACHABLE)") == 1, client.describe()


def test_end_timewait(hosts, connected):
    client = connected[1]
    client.say("disconnect")
    client.line("^EVENT RDMA_CM_EVENT_DISCONNECTED 0$")
    assert client.count("TIMEWAIT_EXIT") == 0  # not for minutes
    hosts[1].fault("end-timewait")
    client.line("^EVENT RDMA_CM_EVENT_TIMEWAIT_EXIT 0$")
    wait_for("it is counted", lambda: hosts[1].faults() == {"end-timewait": 1})


# -- wrong arguments

@pytest.mark.parametrize("arguments, explanation", [
    (["drop", "RQE"], "\"RQE\" is no message: one of REQ, REP"),
    (["drop", "REQ", "--nth", 0], "counted from 1"),
    (["drop", "REQ", "--port", 99999], "a port"),
    (["delay", "REQ", "--by", "soon"], "by=500ms"),
    (["delay", "REQ"], "--by"),
    (["remove", "eth0"], "its name begins with hw_"),
    (["remove", "hw_eth9"], "there is no device hw_eth9"),
    (["remove-address", "10.99.99.99"], "no interface of this host has the address"),
    (["remove-address", "hw_hw0"], "no IP address"),
    (["silence-route", "storage"], "no IP address"),
    (["clear", 77], "there is no fault 77"),
    (["break"], "subcommand"),
])
def test_wrong_arguments_are_explained(host, listener, arguments, explanation):
    process = host.hawser("fault", *arguments)
    assert process.status() != 0
    assert explanation in process.output
    assert host.faults() == {}


def test_without_an_agent(host):
    process = host.hawser("fault", "drop", "REQ")
    assert process.status() == 1 and "nothing runs over Hawser here" in process.output
    assert host.faults() == {}
    assert host.agent() is None
