// Deaths: of processes, of the agent, of both; and a port that is not ours. In a network namespace of their own.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "agent/channel.hpp"
#include "agent/client.hpp"
#include "agent/lease_table.hpp"
#include "agent/mad_port.hpp"
#include "agent/netns_test_support.hpp"
#include "agent/port_holder.hpp"
#include "agent/process_activity.hpp"
#include "fabric/udp_posix.hpp"

namespace hawser::agent {
namespace {

using test::eventually;
using test::localhost;
using test::readable;
using test::tcp_port;

[[nodiscard]] bool is_gone(pid_t pid) { return process_start_time(pid) == 0; }

// Sends `count` packets with numbers to a QP of `to` and collects the numbers that arrive there.
std::set<std::uint32_t> numbers_that_arrive(Client& from, Client& to, Qpn qpn, std::uint32_t first,
                                            std::uint32_t count) {
  std::set<std::uint32_t> arrived;
  for (std::uint32_t number = first; number < first + count; ++number) {
    roce::Packet packet;
    packet.bth.opcode = {roce::Transport::rc, roce::Operation::send_only};
    packet.bth.destination = qpn;
    packet.bth.psn = Psn(number);
    std::array<std::byte, 64> bytes{};
    const std::size_t size = roce::encode(packet, localhost, localhost, from.fabric().source_port(), bytes);
    const fabric::OutDatagram out{localhost, localhost, 0, 0, 64, std::span(bytes).first(size)};
    from.fabric().send({&out, 1});
    std::array<fabric::InDatagram, 8> in;
    const std::size_t n = to.fabric().receive(in);
    for (std::size_t i = 0; i < n; ++i) {
      if (const auto got = roce::decode(in[i])) arrived.insert(got->bth.psn.value);
    }
  }
  return arrived;
}

// A process with one connection of this state to `remote`, as its ledger says; it sleeps until it is killed.
struct Victim {
  pid_t pid{};
  int ready{};
};
Victim start_victim(cm::State state, CommId remote) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return {};
  const pid_t pid = fork();
  if (pid != 0) {
    close(ends[1]);
    return {pid, ends[0]};
  }
  close(ends[0]);
  auto client = Client::connect({.daemon_path = {}, .program = "victim"});
  if (!client) _exit(1);
  const auto id = (*client)->comm_ids().allocate();
  const auto qpn = (*client)->qpns().allocate();
  const auto binding = (*client)->ports().bind(tcp_port(7471));
  if (!id || !qpn || !binding) _exit(2);
  cm::update((*client)->ledger().allocate(), [&](cm::LedgerRecord& r) {
    r.cm_state = static_cast<std::uint8_t>(state);
    r.local_comm_id = id->value;
    r.remote_comm_id = remote.value;
    r.local_qpn = qpn->value;
    r.remote_qpn = 0x777;
    std::ranges::copy(localhost.bytes, r.local_gid);
    std::ranges::copy(localhost.bytes, r.remote_gid);
  });
  (void)!write(ends[1], "r", 1);
  for (;;) pause();
}
[[nodiscard]] bool is_ready(const Victim& victim) {
  char byte = 0;
  return readable(victim.ready) && read(victim.ready, &byte, 1) == 1;
}

template <class Body>
[[nodiscard]] bool receives(Client& client) {
  return eventually([&client] {
    std::array<fabric::InDatagram, 1> in;
    if (client.fabric().receive(in) != 1) return false;
    const auto packet = roce::decode(in[0]);
    const auto mad = packet ? parse_mad(in[0], *packet) : std::nullopt;
    return mad && std::holds_alternative<Body>(mad->message.body);
  });
}

TEST(Death, OfAProcessDisconnectsAndFreesItsPorts) {  // [spec 1.8.11]
  HW_RUN_IN_NETNS([]() -> std::string {
    auto us = Client::connect({});
    HW_EXPECT(us);
    const auto id = (*us)->comm_ids().allocate();
    HW_EXPECT(id);
    const Victim victim = start_victim(cm::State::established, *id);
    HW_EXPECT(is_ready(victim));
    HW_EXPECT(!(*us)->ports().bind(tcp_port(7471)));
    kill(victim.pid, SIGKILL);
    HW_EXPECT(receives<cm::Dreq>(**us));
    HW_EXPECT((*us)->ports().bind(tcp_port(7471)));
    waitpid(victim.pid, nullptr, 0);
    HW_EXPECT(eventually([] { return query_host()->processes.size() == 1; }));
    return {};
  });
}

// A child that nobody told of fork() holds a copy of everything: the end of the connections does not come.
TEST(Death, OfAProcessIsNoticedWhileAChildOfItsLives) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto us = Client::connect({});
    HW_EXPECT(us);
    std::array<int, 2> until{}, ready{};
    HW_EXPECT(pipe(until.data()) == 0 && pipe(ready.data()) == 0);
    const pid_t victim = fork();
    if (victim == 0) {
      auto client = Client::connect({.daemon_path = {}, .program = "victim"});
      if (!client || !(*client)->ports().bind(tcp_port(7471))) _exit(1);
      const long child = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);  // runs no atfork handler
      char byte = 'r';
      if (child == 0) {
        close(until[1]);
        (void)!read(until[0], &byte, 1);  // until the test is over
        _exit(0);
      }
      (void)!write(ready[1], &byte, 1);
      for (;;) pause();
    }
    char byte = 0;
    HW_EXPECT(readable(ready[0]) && read(ready[0], &byte, 1) == 1);
    HW_EXPECT(query_host()->processes.size() == 2);
    HW_EXPECT(!(*us)->ports().bind(tcp_port(7471)));
    kill(victim, SIGKILL);
    waitpid(victim, nullptr, 0);
    HW_EXPECT(eventually([&us] { return (*us)->ports().bind(tcp_port(7471)).has_value(); }));
    HW_EXPECT(query_host()->processes.size() == 1);
    close(until[1]);
    return {};
  });
}

// The kernel had given it to the dead listener's socket, where nobody would have answered it.
TEST(Death, OfAListenerLeavesNoRequestUnanswered) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto us = Client::connect({});
    HW_EXPECT(us);
    const auto id = (*us)->comm_ids().allocate();
    std::array<int, 2> ready{};
    HW_EXPECT(id && pipe(ready.data()) == 0);
    const pid_t victim = fork();
    if (victim == 0) {
      auto client = Client::connect({.daemon_path = {}, .program = "victim"});
      const auto binding = client ? (*client)->ports().bind(tcp_port(7471)) : fail(ENOENT);
      if (!binding || !(*client)->ports().listen(binding->handle)) _exit(1);
      (void)!write(ready[1], "r", 1);
      for (;;) pause();
    }
    HW_EXPECT(is_ready({victim, ready[0]}));
    const auto report = query_host();
    HW_EXPECT(report);
    kill(report->agent_pid, SIGSTOP);  // it does not see the process die
    kill(victim, SIGKILL);
    waitpid(victim, nullptr, 0);
    cm::Req request;
    request.local_comm_id = *id;
    request.service_id = ServiceId(0x01061d2f);  // 7471
    request.local_ca_guid = Guid(1);
    request.primary.remote_gid = localhost;
    send_mad((*us)->fabric(), {localhost, localhost, 0, 0, 64}, cm::encode({0, 0, 1, 0}, request));
    kill(report->agent_pid, SIGCONT);
    HW_EXPECT(receives<cm::Rej>(**us));
    return {};
  });
}

TEST(Death, OfAProcessRejectsWhatWasUnderWay) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto us = Client::connect({});
    HW_EXPECT(us);
    const auto id = (*us)->comm_ids().allocate();
    HW_EXPECT(id);
    const Victim victim = start_victim(cm::State::rep_sent, *id);
    HW_EXPECT(is_ready(victim));
    kill(victim.pid, SIGKILL);
    HW_EXPECT(receives<cm::Rej>(**us));
    waitpid(victim.pid, nullptr, 0);
    return {};
  });
}

TEST(Death, OfTheAgentLosesNothing) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto a = Client::connect({});
    auto b = Client::connect({});
    HW_EXPECT(a && b);
    const auto qpn = (*b)->qpns().allocate();
    const auto binding = (*b)->ports().bind(tcp_port(7471));
    HW_EXPECT(qpn && binding);
    HW_EXPECT((*b)->ports().listen(binding->handle));
    const auto before = query_host();
    HW_EXPECT(before);
    const int poll_fd = (*b)->poll_fd();

    HW_EXPECT(numbers_that_arrive(**a, **b, *qpn, 0, 500).size() >= 500 - 8);
    kill(before->agent_pid, SIGKILL);
    std::set<std::uint32_t> arrived = numbers_that_arrive(**a, **b, *qpn, 1000, 500);
    HW_EXPECT(readable((*b)->poll_fd()));
    (*b)->poll();
    HW_EXPECT(readable((*a)->poll_fd()));
    (*a)->poll();
    arrived.merge(numbers_that_arrive(**a, **b, *qpn, 1500, 500));
    arrived.merge(numbers_that_arrive(**a, **b, *qpn, 2000, 1));
    for (std::uint32_t number = 1000; number < 2000; ++number) HW_EXPECT(arrived.contains(number));

    const auto after = query_host();
    HW_EXPECT(after);
    HW_EXPECT(after->agent_pid != before->agent_pid);
    HW_EXPECT(after->processes.size() == 2);
    HW_EXPECT((*b)->poll_fd() == poll_fd);
    // Ports and listeners are what they were, and a newcomer gets a slot of its own.
    auto c = Client::connect({});
    HW_EXPECT(c);
    HW_EXPECT((*c)->slot() != (*a)->slot() && (*c)->slot() != (*b)->slot());
    HW_EXPECT(!(*c)->ports().bind(tcp_port(7471)));
    cm::Req request;
    request.local_comm_id = *(*c)->comm_ids().allocate();
    request.service_id = ServiceId(0x01061d2f);  // 7471
    request.local_ca_guid = Guid(1);
    request.primary.remote_gid = localhost;
    send_mad((*c)->fabric(), {localhost, localhost, 0, 0, 64}, cm::encode({0, 0, 1, 0}, request));
    HW_EXPECT(receives<cm::Req>(**b));
    return {};
  });
}

TEST(Death, OfTheAgentKeepsTenThousandPorts) {
  HW_RUN_IN_NETNS([]() -> std::string {
    constexpr std::uint16_t first = 20'000, last = 29'999;
    auto a = Client::connect({});
    auto b = Client::connect({});
    HW_EXPECT(a && b);
    for (std::uint16_t port = first; port <= last; ++port) HW_EXPECT((*a)->ports().bind(tcp_port(port)));
    const auto before = query_host();
    HW_EXPECT(before);
    kill(before->agent_pid, SIGKILL);
    HW_EXPECT(readable((*a)->poll_fd()));
    (*a)->poll();
    for (std::uint16_t port = first; port <= last; ++port) HW_EXPECT(!(*b)->ports().bind(tcp_port(port)));
    HW_EXPECT((*b)->ports().bind(tcp_port(last + 1)));
    return {};
  });
}

TEST(Death, OfTheAgentIsNotNoticedByARequest) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto client = Client::connect({});
    HW_EXPECT(client);
    const auto before = query_host();
    HW_EXPECT(before);
    kill(before->agent_pid, SIGKILL);
    HW_EXPECT((*client)->ports().bind(tcp_port(7471)));
    HW_EXPECT(query_host()->agent_pid != before->agent_pid);
    return {};
  });
}

TEST(Death, OfAgentAndProcessTogetherLeavesNothingBehind) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto us = Client::connect({});
    HW_EXPECT(us);
    const auto id = (*us)->comm_ids().allocate();
    HW_EXPECT(id);
    const Victim victim = start_victim(cm::State::established, *id);
    HW_EXPECT(is_ready(victim));
    const auto before = query_host();
    HW_EXPECT(before);
    kill(before->agent_pid, SIGSTOP);  // it does not see the process die
    kill(victim.pid, SIGKILL);
    waitpid(victim.pid, nullptr, 0);
    kill(before->agent_pid, SIGKILL);
    HW_EXPECT(readable((*us)->poll_fd()));
    (*us)->poll();
    HW_EXPECT(receives<cm::Dreq>(**us));
    HW_EXPECT(eventually([] { return query_host()->processes.size() == 1; }));
    const pid_t agent = query_host()->agent_pid;
    us->reset();
    HW_EXPECT(eventually([agent] { return is_gone(agent); }));
    HW_EXPECT(port_holders(roce_v2_port).empty());
    return {};
  });
}

TEST(Port, OfSomebodyElseIsExplained) {
  HW_RUN_IN_NETNS([]() -> std::string {
    const auto socket = fabric::open_udp_socket({});
    HW_EXPECT(socket);
    ::testing::internal::CaptureStderr();
    HW_EXPECT(errno_of(Client::connect({})) == EADDRINUSE);
    const std::string message = ::testing::internal::GetCapturedStderr();
    // In a user namespace of its own this process has capabilities that hawserd has not: then only the uid can be told.
    const std::string named = fmt::format("process {} ({})", getpid(), program_name(getpid()));
    const std::string by_uid = fmt::format("a process of uid {}", geteuid());
    const bool told =
        message.find(named) != std::string::npos || (geteuid() != 0 && message.find(by_uid) != std::string::npos);
    if (!told) return message;
    close(*socket);
    HW_EXPECT(eventually([] { return Client::connect({}).has_value(); }));
    return {};
  });
}

TEST(Hostile, BytesDoNotHurtTheAgent) {
  const std::uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  HW_RUN_IN_NETNS([seed]() -> std::string {
    auto client = Client::connect({});
    HW_EXPECT(client);
    const auto before = query_host();
    HW_EXPECT(before);
    std::mt19937 random(seed);
    for (int round = 0; round < 300; ++round) {
      auto channel = connect_to_agent();
      HW_EXPECT(channel);
      for (int i = 0; i < 5; ++i) {
        constexpr std::array<std::uint16_t, 15> types{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 100, 999};
        MessageWriter message(static_cast<MessageType>(types[random() % types.size()]), 1);
        // Half of them introduce themselves properly first, so that what follows is looked at.
        if (i == 0 && round % 2 == 0) message = std::move(MessageWriter(MessageType::hello, 1).text("x"));
        const std::size_t extra = i == 0 && round % 2 == 0 ? 0 : random() % 120;
        for (std::size_t n = 0; n < extra; ++n) message.put(static_cast<std::uint8_t>(random()));
        if (!send_message(channel->get(), message.bytes(), {}, MSG_DONTWAIT)) break;
      }
    }
    HW_EXPECT((*client)->ports().bind(tcp_port(0)));
    const auto after = query_host();
    HW_EXPECT(after && after->agent_pid == before->agent_pid);
    return {};
  });
}

// Found by daemon_fuzzer. What we leave unread makes the agent's next read of the event channel fail before it has come
// to our message, whose descriptor keeps the channel of the session open.
TEST(Hostile, AMessageUnreadInTheEventChannelKeepsNoSession) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto client = Client::connect({});
    const auto report = query_host();
    HW_EXPECT(client && report);
    {
      auto channel = connect_to_agent();
      HW_EXPECT(channel && send_message(channel->get(), MessageWriter(MessageType::hello, 1).text("x").bytes()));
      std::array<std::byte, message_bytes_max> buffer;
      auto welcome = receive_message(channel->get(), buffer);
      HW_EXPECT(welcome && !welcome->descriptors.empty());
      const Descriptor& event = welcome->descriptors.front();
      MessageWriter question(MessageType::ask_peer, 0);
      question.put(std::uint32_t{0});
      HW_EXPECT(send_message(event.get(), question.bytes()));
      HW_EXPECT(readable(event.get()));  // the answer, which stays there
      kill(report->agent_pid, SIGSTOP);
      HW_EXPECT(eventually([&] { return ProcessActivity().stopped(report->agent_pid, rt::Time()); }));
      HW_EXPECT(send_message(event.get(), question.bytes(), std::array{channel->get()}));
    }
    kill(report->agent_pid, SIGCONT);
    HW_EXPECT(eventually([] { return query_host()->processes.size() == 1; }));
    return {};
  });
}

}  // namespace
}  // namespace hawser::agent
