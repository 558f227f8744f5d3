"""The calls of librdmacm that no program of the distribution makes, and every call with wrong arguments [spec 6.4]."""
import pytest

from harness import IPV4, IPV6, wait_for

PORT = 7471


def lines_of(host, program, address="127.0.0.1", *options):
    return host.run(program, address, PORT, *options).succeeds().splitlines()


@pytest.mark.every_user
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", IPV4, IPV6])
def test_endpoints_in_synchronous_mode(host, address):  # [spec 6.4.3, 6.4.4, 6.4.11-6.4.13]
    assert lines_of(host, "cm_endpoints", address) == [
        "set_option of a synchronous listener: ok", "connect: ok", "post_write: ok", "post_writev: ok", "post_read: ok",
        "post_readv: ok", "post_send: ok", "post_sendv: ok", "get_recv_comp: ok", "post_send of too many pieces: EINVAL",
        "disconnect: ok", "connect without a listener: ECONNREFUSED"]


def test_migration(host):  # [spec 6.4.11, 6.4.12, 6.4.14]
    assert lines_of(host, "cm_migrate") == [
        "waiting event: ok", "unacknowledged event: ok", "to the channel that it is on: ok",
        "get_request with a channel: EINVAL", "to synchronous mode twice: EINVAL", "synchronous connect: ok",
        "back to a channel: ok", "event during the migration: ok",
        "request during the migration: ok", "waiting request: ok"]


def test_queue_pairs_of_the_programs_own(host):  # [spec 6.2 #3, #19, 6.4.2-6.4.4, 6.4.6, 6.4.9, 6.4.19]
    assert lines_of(host, "cm_external_qp") == [
        "init_qp_attr for SQD: EINVAL", "init_qp_attr without a mask: EINVAL",
        "connect without a queue pair or parameters: EINVAL", "set_local_ece without a vendor: EINVAL",
        "set_local_ece with a mask: EINVAL", "set_local_ece of nothing: EINVAL", "get_remote_ece to nowhere: EINVAL",
        "establish before connect: EINVAL", "request: vendor 0x15b3 options 0x7",
        "accept without a queue pair or parameters: EINVAL", "response: vendor 0x15b3 options 0x3",
        "notify of an established connection: EISCONN", "notify of something else: EINVAL", "message: ok",
        "reject_ece twice: EINVAL", "rejected: 35 ece", "set_local_ece with a queue pair: EINVAL",
        "get_remote_ece with a queue pair: EINVAL", "establish with a queue pair: EINVAL", "a second queue pair: EINVAL"]


# What is not EINVAL.
ERRORS = {
    "set_option of an unknown level": "ENOSYS", "set_option of an unknown name": "ENOSYS",
    "bind_addr of somebody else's address": "EADDRNOTAVAIL", "resolve_addr from somebody else's address": "EADDRNOTAVAIL",
    "create_qp_ex without a domain": "ok",
}


def test_wrong_arguments(host):  # [spec 6.4.3, 6.4.18]
    said = dict(line.rsplit(": ", 1) for line in lines_of(host, "cm_wrong_arguments"))
    assert len(said) == 39
    assert said == {call: ERRORS.get(call, "EINVAL") for call in said}


def test_destroy_that_waits_says_for_what(host):
    program = host.run("cm_no_ack", IPV4, PORT, env={"HAWSER_DEBUG": "1"})
    program.line("^destroying$")
    program.line("rdma_destroy_id waits: event RDMA_CM_EVENT_ADDR_RESOLVED .* of id ")
    wait_for("the id that waits", lambda: [i["state"] for i in host.ids()] == [
        "DESTROYING, RDMA_CM_EVENT_ADDR_RESOLVED not acknowledged"])
    program.say("ack")
    program.line("^destroy_id: ok$")
    program.succeeds()
    assert host.ids() == []


@pytest.mark.parametrize("address", ["127.0.0.1", IPV6])
def test_path_and_datagram_of_the_programs_own(host, address):  # [spec 1.4.17, 6.4.18]
    assert lines_of(host, "cm_path", address) == [
        "path of a wrong length: EINVAL", "path: ok", "path of an id that has one: EINVAL", "path MTU of the peer: 256",
        "message: ok", "post_ud_send: ok", "datagram: ok"]


@pytest.mark.parametrize("options", [[], ["ex"]], ids=["plain", "ex"])
def test_shared_receive_queue(host, options):
    assert lines_of(host, "cm_srq", "127.0.0.1", *options) == ["create_srq: ok", "create_srq twice: EINVAL", "messages: ok"]
