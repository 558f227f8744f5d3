import contextlib

import pytest

import harness


def pytest_sessionfinish(session, exitstatus):
    """A file of which every test was skipped counts as skipped (ctest's SKIP_RETURN_CODE)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and reporter.stats.get("skipped") and not reporter.stats.get("passed"):
        session.exitstatus = 77


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    item.failed = getattr(item, "failed", False) or report.failed
    if report.failed and call.when == "call":
        hosts = [item.funcargs["host"]] if "host" in item.funcargs else item.funcargs.get("hosts", [])
        for host in hosts:
            for process in host.processes:
                report.sections.append((f"{host.name}: {process.name}", process.describe()))


@pytest.fixture(scope="session")
def tree():
    with harness.Tree.readable() as tree:
        yield tree


@pytest.fixture
def host(request, tree):
    """A host of the test's own. Its programs run unprivileged, or as `every_user` says. Afterwards nothing may be left."""
    harness.need_namespaces()
    host = harness.Host(tree, getattr(request, "param", harness.USERS[-1]))
    host.wire()
    yield host
    host.close(check=not request.node.failed)


@pytest.fixture
def hosts(request, tree):
    """Two hosts and a cable between them: hw0 of each."""
    harness.need_namespaces()
    user = getattr(request, "param", harness.USERS[-1])
    with contextlib.ExitStack() as ends:
        def new_host(**where):
            made = harness.Host(tree, user, **where)
            ends.callback(lambda: made.close(check=not request.node.failed))
            return made
        first = new_host()
        second = new_host(beside=first)
        first.wire_to(second)
        yield first, second


def pytest_configure(config):
    config.addinivalue_line("markers", "every_user: the test runs once for each kind of user")


def pytest_generate_tests(metafunc):
    for fixture in ("host", "hosts"):
        if fixture in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_user"):
            metafunc.parametrize(fixture, harness.USERS, indirect=True)
