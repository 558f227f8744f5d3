// Clients and a real agent in a network namespace of their own.
#include "agent/client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "agent/lease_table.hpp"
#include "agent/mad_port.hpp"
#include "agent/netns_test_support.hpp"
#include "agent/socket_group.hpp"
#include "agent/steering.hpp"
#include "roce/packet.hpp"

namespace hawser::agent {
namespace {

using test::localhost;
using test::readable;
using test::tcp_port;

// The next MAD that reaches the socket of a client.
std::optional<ArrivedMad> next_mad(fabric::Fabric& fabric, int timeout_ms = 5000) {
  if (!readable(fabric.poll_fd(), timeout_ms)) return std::nullopt;
  std::array<fabric::InDatagram, 1> in;
  if (fabric.receive(in) != 1) return std::nullopt;
  const auto packet = roce::decode(in[0]);
  if (!packet) return std::nullopt;
  return parse_mad(in[0], *packet);
}

cm::Req request_for(std::uint16_t port, CommId local, const IpAddress& to = localhost) {
  cm::Req req;
  req.local_comm_id = local;
  req.service_id = ServiceId(0x01060000U | port);
  req.local_ca_guid = Guid(0x0248570000000001);
  req.local_qpn = Qpn(77);
  req.primary.local_gid = localhost;
  req.primary.remote_gid = to;
  return req;
}

void send_request(Client& client, std::uint16_t port, CommId local, const IpAddress& to = localhost) {
  send_mad(client.fabric(), {localhost, localhost, 0, 0, 64}, cm::encode({0, 0, 42, 0}, request_for(port, local, to)));
}

TEST(Client, ConnectsAndStartsTheAgent) {
  HW_RUN_IN_NETNS([]() -> std::string {
    HW_EXPECT(errno_of(query_host()) == ENOENT);
    auto a = Client::connect({});
    HW_EXPECT(a);
    auto b = Client::connect({.daemon_path = {}, .program = "second"});
    HW_EXPECT(b);
    HW_EXPECT((*a)->slot() != (*b)->slot());
    HW_EXPECT((*a)->host_identity() == (*b)->host_identity());
    const auto report = query_host();
    HW_EXPECT(report);
    HW_EXPECT(report->processes.size() == 2);
    HW_EXPECT(report->processes[1].program == "second");
    HW_EXPECT(report->agent_pid != getpid());
    return {};
  });
}

TEST(Client, RejectsARequestThatNobodyListensFor) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto client = Client::connect({});
    HW_EXPECT(client);
    const auto id = (*client)->comm_ids().allocate();
    HW_EXPECT(id);
    send_request(**client, 7471, *id);
    const auto mad = next_mad((*client)->fabric());
    // The REJ's remote id is ours: the kernel gave it to our slot.
    HW_EXPECT(mad);
    const auto* reject = std::get_if<cm::Rej>(&mad->message.body);
    HW_EXPECT(reject != nullptr);
    HW_EXPECT(reject->reason == 8);
    HW_EXPECT(reject->remote_comm_id == *id);
    HW_EXPECT(mad->message.header.tid == 42);
    return {};
  });
}

cma::PortRequest port_at(const char* address, std::uint16_t port) {
  cma::PortRequest request;
  request.source = {Family::inet, *IpAddress::parse(address), port, 0, 0};
  return request;
}

// The next request that the agent relays comes from localhost.
bool takes_relayed_request(Client& client) {
  bool taken = false;
  Client::Observer observer;
  observer.relayed = [&taken](const fabric::InDatagram& datagram) {
    const auto packet = roce::decode(datagram);
    taken = packet && datagram.source == localhost;
  };
  client.set_observer(std::move(observer));
  if (!readable(client.poll_fd())) return false;
  client.poll();
  return taken;
}

bool is_request(const std::optional<ArrivedMad>& mad) {
  return mad && std::holds_alternative<cm::Req>(mad->message.body);
}

std::uint64_t relayed_by_the_agent() {
  const auto report = query_host();
  for (const NamedCount& count : report ? report->agent_counters : std::vector<NamedCount>()) {
    if (count.group == "doorman" && count.name == "received") return count.value;
  }
  return ~std::uint64_t{0};
}

TEST(Client, AListenersRequestsPassTheAgentBy) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto server = Client::connect({});
    auto client = Client::connect({});
    HW_EXPECT(server && client);
    const auto binding = (*server)->ports().bind(tcp_port(7471));
    HW_EXPECT(binding && binding->port == 7471);
    HW_EXPECT((*server)->ports().listen(binding->handle));
    const auto id = (*client)->comm_ids().allocate();
    HW_EXPECT(id);
    send_request(**client, 7471, *id);
    HW_EXPECT(is_request(next_mad((*server)->fabric())));
    HW_EXPECT(relayed_by_the_agent() == 0);
    (*server)->ports().unlisten(binding->handle);
    send_request(**client, 7471, *id);
    const auto mad = next_mad((*client)->fabric());
    HW_EXPECT(mad && std::holds_alternative<cm::Rej>(mad->message.body));
    // Another process listens: whoever was told that it does finds it, and not the first.
    (*server)->ports().release(binding->handle);
    const auto second = (*client)->ports().bind(tcp_port(7471));
    HW_EXPECT(second && (*client)->ports().listen(second->handle));
    send_request(**server, 7471, *id);
    HW_EXPECT(is_request(next_mad((*client)->fabric())));
    return {};
  });
}

TEST(Client, RelaysARequestToTheListenerAtItsAddress) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto one = Client::connect({});
    auto two = Client::connect({});
    HW_EXPECT(one && two);
    const auto at_one = (*one)->ports().bind(port_at("10.0.0.1", 7471));
    const auto at_two = (*two)->ports().bind(port_at("10.0.0.2", 7471));
    HW_EXPECT(at_one && at_two);
    HW_EXPECT((*one)->ports().listen(at_one->handle) && (*two)->ports().listen(at_two->handle));
    send_request(**one, 7471, CommId(1), *IpAddress::parse("10.0.0.2"));
    HW_EXPECT(takes_relayed_request(**two));
    send_request(**two, 7471, CommId(2), *IpAddress::parse("10.0.0.1"));
    HW_EXPECT(takes_relayed_request(**one));
    (*one)->ports().release(at_one->handle);  // now one listens alone
    send_request(**one, 7471, CommId(3), *IpAddress::parse("10.0.0.2"));
    HW_EXPECT(is_request(next_mad((*two)->fabric())));
    return {};
  });
}

// The second listener would take a duplicate for a new request.
TEST(Client, ADuplicateReachesTheProcessThatTookTheFirstAndListensNoMore) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto first = Client::connect({});
    auto second = Client::connect({});
    HW_EXPECT(first && second);
    const auto binding = (*first)->ports().bind(tcp_port(7471));
    HW_EXPECT(binding && (*first)->ports().listen(binding->handle));
    cm::LedgerRecord* record = (*first)->ledger().allocate();
    cm::update(record, [](cm::LedgerRecord& r) {
      r.port_space = static_cast<std::uint16_t>(cma::PortSpace::tcp);
      r.source_port = 7471;
      r.cm_state = static_cast<std::uint8_t>(cm::State::rep_sent);
      r.remote_comm_id = 99;
      r.remote_guid = request_for(7471, CommId(99)).local_ca_guid.value;
    });
    (*first)->ports().release(binding->handle);
    const auto next = (*second)->ports().bind(tcp_port(7471));
    HW_EXPECT(next && (*second)->ports().listen(next->handle));
    send_request(**second, 7471, CommId(99));
    HW_EXPECT(takes_relayed_request(**first));
    return {};
  });
}

TEST(Client, ArbitratesPortsBetweenProcesses) {  // [spec 1.1.3, 1.8.4]
  HW_RUN_IN_NETNS([]() -> std::string {
    auto a = Client::connect({});
    auto b = Client::connect({});
    HW_EXPECT(a && b);
    const auto first = (*a)->ports().bind(tcp_port(7471));
    HW_EXPECT(first);
    HW_EXPECT(errno_of((*b)->ports().bind(tcp_port(7471))) == EADDRNOTAVAIL);  // wildcards [spec 1.8]
    auto specific = tcp_port(7472);
    specific.source.ip = *IpAddress::parse("10.0.0.1");
    HW_EXPECT((*a)->ports().bind(specific));
    HW_EXPECT(errno_of((*b)->ports().bind(specific)) == EADDRINUSE);
    (*a)->ports().release(first->handle);
    HW_EXPECT((*b)->ports().bind(tcp_port(7471)));
    const auto ephemeral = (*a)->ports().bind(tcp_port(0));
    HW_EXPECT(ephemeral && ephemeral->port >= 1024);
    return {};
  });
}

TEST(Client, OptionsOfABoundPortCountForOthersAndForTheNextAgent) {  // [spec 1.8.4]
  HW_RUN_IN_NETNS([]() -> std::string {
    auto six = Client::connect({});
    auto four = Client::connect({});
    HW_EXPECT(six && four);
    auto both_families = tcp_port(7471);
    both_families.source = {Family::inet6, IpAddress::any_v6(), 7471, 0, 0};
    const auto at_six = (*six)->ports().bind(both_families);
    HW_EXPECT(at_six);
    HW_EXPECT(errno_of((*four)->ports().bind(tcp_port(7471))) == EADDRNOTAVAIL);
    HW_EXPECT((*six)->ports().set_option(at_six->handle, cma::PortOption::v6_only, true));
    const auto granted = (*four)->ports().bind(tcp_port(7471));
    HW_EXPECT(granted);
    (*four)->ports().release(granted->handle);
    const auto before = query_host();
    HW_EXPECT(before);
    kill(before->agent_pid, SIGKILL);
    for (Client* client : {six->get(), four->get()}) {
      HW_EXPECT(readable(client->poll_fd()));
      client->poll();
    }
    const auto at_four = (*four)->ports().bind(tcp_port(7471));
    HW_EXPECT(at_four);
    HW_EXPECT((*six)->ports().listen(at_six->handle) && (*four)->ports().listen(at_four->handle));
    HW_EXPECT(errno_of((*six)->ports().set_option(at_six->handle, cma::PortOption::v6_only, false)) == EINVAL);
    send_request(**six, 7471, CommId(1));
    HW_EXPECT(takes_relayed_request(**four));
    return {};
  });
}

TEST(Client, ShowsWhatItCountedWithoutBeingAsked) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto client = Client::connect({});
    HW_EXPECT(client);
    ProcessCounters counters;
    counters.packets.bad_icrc = 77;
    (*client)->publish(counters);
    const std::array<std::byte, 3> junk{};
    const fabric::OutDatagram datagram{.source = localhost, .destination = localhost, .payload = junk};
    HW_EXPECT((*client)->fabric().send({&datagram, 1}) == 1);
    const auto has = [](const std::vector<NamedCount>& counts, const NamedCount& count) {
      return std::ranges::find(counts, count) != counts.end();
    };
    for (int i = 0; i < 500; ++i) {  // until the agent has read the junk
      const auto report = query_host();
      HW_EXPECT(report && report->processes.size() == 1);
      HW_EXPECT(has(report->processes[0].counters, {"packets", "bad ICRC", 77}));
      HW_EXPECT(has(report->processes[0].counters, {"packets", "malformed", 0}));
      if (has(report->agent_counters, {"doorman", "malformed", 1})) return {};
      poll(nullptr, 0, 10);
    }
    return "the junk was not counted";
  });
}

std::size_t descriptors_of(pid_t pid) {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(Client, AnAgentWithoutDescriptorsSaysSoAndServesAgainWhenItHasSome) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto first = Client::connect({});
    const auto report = query_host();
    HW_EXPECT(first && report);
    constexpr std::size_t room = 4;
    rlimit limit{};
    HW_EXPECT(prlimit(report->agent_pid, RLIMIT_NOFILE, nullptr, &limit) == 0);
    const rlimit lower{descriptors_of(report->agent_pid) + room, limit.rlim_max};
    HW_EXPECT(prlimit(report->agent_pid, RLIMIT_NOFILE, &lower, nullptr) == 0);
    std::vector<Descriptor> guests;
    for (std::size_t i = 0; i < room + 5; ++i) {
      auto guest = connect_to_agent();
      HW_EXPECT(guest);
      guests.push_back(std::move(*guest));
    }
    for (std::size_t i = room + 1; i < guests.size(); ++i) {  // the session that reported may have been one of them
      HW_EXPECT(readable(guests[i].get()));
      std::array<std::byte, message_bytes_max> buffer;
      const auto refusal = receive_message(guests[i].get(), buffer);
      HW_EXPECT(refusal);
      auto reader = MessageReader::open(refusal->bytes);
      HW_EXPECT(reader && reader->type() == MessageType::reply && reader->sequence() == 0);
      HW_EXPECT(reader->get<std::int32_t>() == EMFILE);
    }
    HW_EXPECT(errno_of(Client::connect({})) == EMFILE);
    HW_EXPECT((*first)->ports().bind(tcp_port(7471)));
    guests.clear();
    HW_EXPECT(prlimit(report->agent_pid, RLIMIT_NOFILE, &limit, nullptr) == 0);
    HW_EXPECT(test::eventually([] { return Client::connect({}).has_value(); }));
    return {};
  });
}

// A process that has all numbers, so that no other gets any: each attempt cost the agent a slot.
TEST(Client, ASlotWithoutNumbersIsFreeAgain) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto first = Client::connect({});
    const auto report = query_host();
    auto greedy = connect_to_agent();
    HW_EXPECT(first && report && greedy);
    std::vector<Descriptor> received;  // to close the event channel is to leave
    const auto ask = [&greedy, &received](MessageWriter message) -> int {
      std::array<std::byte, message_bytes_max> buffer;
      if (!send_message(greedy->get(), message.bytes())) return ECONNRESET;
      auto answer = receive_message(greedy->get(), buffer);
      if (!answer || answer->bytes.empty()) return ECONNRESET;
      for (Descriptor& descriptor : answer->descriptors) received.push_back(std::move(descriptor));
      auto reader = MessageReader::open(answer->bytes);
      return reader ? reader->get<std::int32_t>() : EPROTO;
    };
    HW_EXPECT(ask(std::move(MessageWriter(MessageType::hello, 1).text("greedy"))) == 0);
    int error = 0;
    for (std::uint32_t i = 0; i < chunk_count && error == 0; ++i)
      error = ask(MessageWriter(MessageType::lease_chunk, 2));
    HW_EXPECT(error == ENOMEM);
    for (std::uint32_t i = 0; i < 2 * sockets_min; ++i) HW_EXPECT(errno_of(Client::connect({})) == ENOMEM);
    const std::size_t descriptors = descriptors_of(report->agent_pid);
    for (std::uint32_t i = 0; i < 2 * sockets_min; ++i) HW_EXPECT(errno_of(Client::connect({})) == ENOMEM);
    HW_EXPECT(test::eventually([&] { return descriptors_of(report->agent_pid) <= descriptors; }));
    greedy->reset();
    HW_EXPECT(test::eventually([] { return Client::connect({}).has_value(); }));
    return {};
  });
}

TEST(Client, LeasesGrow) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto a = Client::connect({});
    auto b = Client::connect({});
    HW_EXPECT(a && b);
    std::set<std::uint32_t> numbers;
    for (int i = 0; i < 10'000; ++i) {
      for (Client* client : {a->get(), b->get()}) {
        const auto qpn = client->qpns().allocate();
        HW_EXPECT(qpn);
        HW_EXPECT(qpn->value > 1 && qpn->value < 0xFFFFFF);
        HW_EXPECT(numbers.insert(qpn->value).second);
      }
    }
    std::set<std::uint32_t> chunks;
    for (const std::uint32_t number : numbers) chunks.insert(chunk_of_qpn(number));
    HW_EXPECT(chunks.size() == 6);
    // A number that was freed rests.
    const std::uint32_t freed = *numbers.begin();
    (*a)->qpns().release(Qpn(freed));
    const auto next = (*a)->qpns().allocate();
    HW_EXPECT(next && next->value != freed);
    return {};
  });
}

// A forked child would keep the UDP port for itself, and its parent's session alive.
TEST(Client, AForkedChildKeepsNothing) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto client = Client::connect({});
    HW_EXPECT(client);
    const pid_t child = fork();
    if (child == 0) {
      const bool closed = fcntl((*client)->fabric().poll_fd(), F_GETFD) < 0 && fcntl((*client)->poll_fd(), F_GETFD) < 0;
      client->reset();  // as a destructor at exit() would: it must not say goodbye for its parent
      _exit(closed ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    HW_EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    HW_EXPECT((*client)->ports().bind(tcp_port(7471)));
    HW_EXPECT(query_host()->processes.size() == 1);
    return {};
  });
}

TEST(Client, TheAgentLeavesWithTheLastClient) {
  HW_RUN_IN_NETNS([]() -> std::string {
    auto client = Client::connect({});
    HW_EXPECT(client);
    const auto report = query_host();
    HW_EXPECT(report);
    const int agent = static_cast<int>(report->agent_pid);
    client->reset();
    for (int i = 0; i < 500 && process_start_time(agent) != 0; ++i) poll(nullptr, 0, 10);
    HW_EXPECT(process_start_time(agent) == 0);
    auto again = Client::connect({});
    HW_EXPECT(again);
    return {};
  });
}

}  // namespace
}  // namespace hawser::agent
