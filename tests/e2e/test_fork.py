"""Programs that fork: a child leaves its parent's connections alone and may make its own."""


def test_child_connects_while_the_parent_stays_connected(host):
    listener = host.run("cm_listen", "127.0.0.1", 7471)
    listener.line("^listening")
    program = host.run("cm_fork", "127.0.0.1", 7471)
    program.succeeds()
    for line in ("disconnect of the parent's id: EINVAL", "destroy of the parent's id: EINVAL", "child: 0",
                 "events of the parent meanwhile: 0", "parent: done"):
        assert line in program.output
    listener.line("^EVENT RDMA_CM_EVENT_DISCONNECTED 0$", 2)
    listener.say("quit")
    listener.succeeds()
