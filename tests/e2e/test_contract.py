"""HAWSER_CHECK=1 in C programs: what breaks no rule is never accused, and what does is told with its place."""
import re

import pytest
from harness import IPV4

PORT = 7471
CHECK = {"HAWSER_CHECK": "1"}


def accusations(program):
    return [line for line in program.output.splitlines() if "contract:" in line]


@pytest.mark.parametrize("address", ["127.0.0.1", IPV4])
def test_threads_that_share_an_id_are_legal(host, address):  # [spec 2.2.1, 2.8.9]
    program = host.run("cm_threads", address, PORT, env=CHECK)
    program.line("^rounds of calls: 800$")
    program.succeeds()
    assert accusations(program) == []


def test_a_late_acknowledgement_is_legal(host):  # [spec 6.4.7]
    """Who waits is told for what and where; nobody is accused, for another thread acknowledges in the end."""
    program = host.run("cm_no_ack", IPV4, PORT, env=CHECK)
    program.line(r"rdma_destroy_id called at cm_no_ack\(.*\) waits: event RDMA_CM_EVENT_ADDR_RESOLVED .* of id \d+ .*, "
                 r"which thread \d+ fetched by rdma_get_cm_event called at cm_no_ack\(.*\), is not acknowledged yet")
    program.say("ack")
    program.succeeds()
    assert accusations(program) == []


def test_an_event_that_is_never_acknowledged(host):  # [spec 6.4.7]
    program = host.run("cm_no_ack", IPV4, PORT, "exit", env=CHECK)
    assert program.status() == 0
    found = [re.sub(r"0x[0-9a-f]+|\d+", "N", line) for line in accusations(program)]
    assert found == ["hawser: error: contract: event RDMA_CM_EVENT_ADDR_RESOLVED (N) of id N (N), which thread N fetched "
                     "by rdma_get_cm_event called at cm_no_ack(+N), was never acknowledged: rdma_ack_cm_event is missing"]


@pytest.mark.parametrize("programs", [
    (["rping", "-s", "-a", "0.0.0.0", "-p", PORT, "-C", 3], ["rping", "-c", "-a", IPV4, "-p", PORT, "-C", 3]),
    (["ucmatose", "-b", IPV4, "-p", PORT], ["ucmatose", "-s", IPV4, "-p", PORT]),
], ids=["rping", "ucmatose"])
def test_programs_of_the_distribution_are_clean(host, programs):
    server = host.run(*programs[0], env=CHECK)
    host.listening(server, PORT)
    client = host.run(*programs[1], env=CHECK)
    client.succeeds()
    server.succeeds()
    assert accusations(server) + accusations(client) == []
