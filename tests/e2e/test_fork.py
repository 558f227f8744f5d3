"""The rows of docs/fork.md: what a child may expect of a program that forks, and what its parent and its peers notice."""
import pytest

PORT = 7471


@pytest.fixture
def listener(host):
    listener = host.run("cm_listen", "127.0.0.1", PORT)
    listener.line("^listening")
    return listener


def test_child_connects_while_the_parent_stays_connected(host, listener):
    program = host.run("cm_fork", "127.0.0.1", PORT)
    program.succeeds()
    for line in ("disconnect of the parent's id: EINVAL", "destroy of the parent's id: EINVAL", "child: 0",
                 "events of the parent meanwhile: 0", "parent: done"):
        assert line in program.output
    listener.line("^EVENT RDMA_CM_EVENT_DISCONNECTED 0$", 2)
    listener.say("quit")
    listener.succeeds()


@pytest.mark.parametrize("case", ["untouched", "daemon-first", "busy"])
def test_connection_lives(host, listener, case):
    program = host.run("cm_fork_case", case, "127.0.0.1", PORT)
    program.line("^connected$")
    assert listener.count("DISCONNECTED") == 0
    program.say("disconnect")
    program.line("^done$")
    listener.line("^closed$")


def test_what_a_daemon_made_before_is_gone(host, listener):
    program = host.run("cm_fork_case", "daemon-later", "127.0.0.1", PORT)
    program.line("^resolve_addr of an id from before: EINVAL$")
    program.line("^connected$")
    program.say("disconnect")
    program.line("^done$")
    listener.line("^closed$")


def test_child_goes_on_when_the_parent_exits(host, listener):
    program = host.run("cm_fork_case", "parent-exits", "127.0.0.1", PORT)
    program.line("^child goes on$")
    listener.line("^EVENT RDMA_CM_EVENT_DISCONNECTED")  # the parent's
    program.line("^connected$", 2)
    program.say("disconnect")
    program.line("^done$")
    listener.line("^closed$", 2)


def test_child_that_holds_descriptors_does_not_keep_the_parents_connection(host, listener):
    program = host.run("cm_fork_case", "silent-child", "127.0.0.1", PORT)
    program.line("^connected$")
    listener.line("^closed$")
    program.say("")  # the child still reads what was the parent's input
    program.line("^done$")


def test_both_use_what_the_parent_made(host, listener):
    program = host.run("cm_fork_case", "both-use", "127.0.0.1", PORT)
    for call in ("disconnect", "create_qp", "get_cm_event", "migrate_id", "create_id on the channel", "destroy_id"):
        program.line(f"^{call}: EINVAL$")
    assert listener.count("DISCONNECTED") == 0
    program.say("disconnect")
    program.line("^done$")
    listener.line("^closed$")
