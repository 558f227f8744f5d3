#include "program.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace hawser::fuzz {
namespace {

template <class T>
constexpr Value named(std::string_view name, T value) {
  return {name, static_cast<std::int64_t>(value)};
}

constexpr std::array channels{Value{"c0", 0}, Value{"c1", 1}, Value{"c2", 2}};
static_assert(channels.size() == channels_per_host);
constexpr std::array ids{Value{"i0", 0}, Value{"i1", 1}, Value{"i2", 2}, Value{"i3", 3},
                         Value{"i4", 4}, Value{"i5", 5}, Value{"i6", 6}, Value{"i7", 7}};
static_assert(ids.size() == ids_per_host);
constexpr std::array members{Value{"m0", 0}, Value{"m1", 1}, Value{"m2", 2}, Value{"m3", 3}};
static_assert(members.size() == members_per_host);
constexpr std::array places{
    named("unset", Place::unset),         named("here", Place::here),         named("here6", Place::here6),
    named("here_too", Place::here_too),   named("peer", Place::peer),         named("peer6", Place::peer6),
    named("peer_too", Place::peer_too),   named("nobody", Place::nobody),     named("any", Place::any),
    named("any6", Place::any6),           named("loopback", Place::loopback), named("loopback6", Place::loopback6),
    named("mapped", Place::mapped),       named("unscoped", Place::unscoped), named("group", Place::group),
    named("group_too", Place::group_too), named("group6", Place::group6),     named("infiniband", Place::infiniband)};
constexpr std::array ports{Value{"0", 0}, Value{"7471", 7471}, Value{"7472", 7472}, Value{"1", 1},
                           Value{"65535", 65535}};
constexpr std::array spaces{Value{"tcp", 0x0106}, Value{"udp", 0x0111}, Value{"ib", 0x013F}, Value{"ipoib", 0x0002},
                            Value{"unknown", 0x7777}};
constexpr std::array qp_types{Value{"rc", 2},      Value{"ud", 4},       Value{"uc", 3},
                              Value{"xrc_ini", 9}, Value{"xrc_tgt", 10}, Value{"none", 0}};
constexpr std::array times{Value{"2s", 2000}, Value{"0s", 0}, Value{"1ms", 1}, Value{"100ms", 100},
                           Value{"20s", 20'000}};
constexpr std::array backlogs{Value{"8", 8},
                              Value{"1", 1},
                              Value{"0", 0},
                              Value{"-1", -1},
                              Value{"1024", 1024},
                              Value{"1025", 1025},
                              Value{"2147483647", 2147483647}};
// The most that fits into REQ, SIDR_REQ, REP, REJ, SIDR_REP, and one more.
constexpr std::array lengths{Value{"0", 0},     Value{"1", 1},     Value{"56", 56},   Value{"57", 57},
                             Value{"92", 92},   Value{"136", 136}, Value{"137", 137}, Value{"148", 148},
                             Value{"149", 149}, Value{"180", 180}, Value{"181", 181}, Value{"196", 196},
                             Value{"197", 197}, Value{"220", 220}, Value{"255", 255}};
constexpr std::array qpns{Value{"0x100", 0x100}, Value{"0x200", 0x200},       Value{"0", 0},
                          Value{"1", 1},         Value{"0xffffff", 0xFFFFFF}, Value{"0x1000100", 0x1000100}};
constexpr std::array depths{Value{"1", 1}, Value{"0", 0}, Value{"7", 7}, Value{"255", 255}};
constexpr std::array reasons{Value{"28", 28}, Value{"0", 0}, Value{"35", 35}, Value{"4", 4}, Value{"65535", 65535}};
constexpr std::array settings{named("tos", Setting::tos),
                              named("reuse", Setting::reuse),
                              named("no_reuse", Setting::no_reuse),
                              named("af_only", Setting::af_only),
                              named("not_af_only", Setting::not_af_only),
                              named("ack_timeout", Setting::ack_timeout),
                              named("path", Setting::path),
                              named("path_no_mtu", Setting::path_no_mtu),
                              named("no_path", Setting::no_path),
                              named("response_timeout", Setting::response_timeout),
                              named("response_timeout_too_long", Setting::response_timeout_too_long),
                              named("no_retries", Setting::no_retries),
                              named("report_unreachable", Setting::report_unreachable),
                              named("too_short", Setting::too_short),
                              named("unknown", Setting::unknown)};
constexpr std::array targets{Value{"init", 0}, Value{"rtr", 1}, Value{"rts", 2}};
constexpr std::array async_events{Value{"comm_est", 4}, Value{"qp_fatal", 1}, Value{"sq_drained", 5}, Value{"-1", -1}};
constexpr std::array joins{Value{"full", 0}, Value{"send_only", 1}, Value{"unknown", 2}};
constexpr std::array events{Value{"user", 18}, Value{"internal", 19}, Value{"established", 9}};
constexpr std::array happenings{
    named("device_goes", Happening::device_goes),         named("both_devices_go", Happening::both_devices_go),
    named("devices_return", Happening::devices_return),   named("device_flaps", Happening::device_flaps),
    named("neighbour_moves", Happening::neighbour_moves), named("neighbour_silent", Happening::neighbour_silent),
    named("bond_fails_over", Happening::bond_fails_over)};
constexpr std::array queues{named("small", Queue::small),
                            named("extended", Queue::extended),
                            named("none_asked", Queue::none_asked),
                            named("too_large", Queue::too_large),
                            named("too_many_sges", Queue::too_many_sges),
                            named("datagrams", Queue::datagrams),
                            named("unconnected", Queue::unconnected)};
constexpr std::array queue_states{Value{"err", 6}, Value{"init", 1}, Value{"rtr", 2},   Value{"rts", 3},
                                  Value{"sqd", 4}, Value{"sqe", 5},  Value{"reset", 0}, Value{"unknown", 9}};
constexpr std::array works{named("plain", Work::plain),
                           named("inlined", Work::inlined),
                           named("rdma_write", Work::rdma_write),
                           named("rdma_read", Work::rdma_read),
                           named("unsignaled", Work::unsignaled),
                           named("immediate", Work::immediate),
                           named("nothing", Work::nothing),
                           named("wrong_key", Work::wrong_key),
                           named("wrong_remote_key", Work::wrong_remote_key),
                           named("too_many_sges", Work::too_many_sges),
                           named("inlined_too_long", Work::inlined_too_long),
                           named("list_with_a_wrong_one", Work::list_with_a_wrong_one)};

using enum Kind;
constexpr std::array<Command, op_count> commands{{
    {"create_id", {channel, id, space, qp_type}},
    {"destroy_id", {channel, id}},
    {"bind", {channel, id, address, port}},
    {"resolve_addr", {channel, id, address, address, port, time}},
    {"resolve_service", {channel, id}},
    {"query_services", {channel, id}},
    {"resolve_route", {channel, id, time}},
    {"query_route", {channel, id}},
    {"connect", {channel, id, qpn, length, depth}},
    {"listen", {channel, id, backlog}},
    {"accept", {channel, id, qpn, length, depth}},
    {"accept_response", {channel, id}},
    {"reject", {channel, id, reason, length}},
    {"disconnect", {channel, id}},
    {"init_qp_attr", {channel, id, target}},
    {"get_event", {channel, id, time}},  // a CONNECT_REQUEST's id goes to the place `id`
    {"set_option", {channel, id, option}},
    {"notify", {channel, id, async_event}},
    {"join_multicast", {channel, id, address, member, join_flags}},
    {"leave_multicast", {channel, member}},
    {"migrate_id", {channel, channel, id}},  // to, from
    {"write_event", {channel, id, event}},
    {"set_qp", {channel, id, qpn}},
    {"close", {channel}},
    {"happen", {happening}},
    {"pause", {time}},
    {"create_sync_id", {id, space}},
    {"create_ep", {id, address, port, space, queue}},  // of an address of this host: passive
    {"get_request", {id, id}},                         // of the first, to the place of the second
    {"migrate_sync", {id}},
    {"wait_event", {channel, id}},  // as get_event
    {"ack_event", {}},
    {"create_qp", {id, queue}},
    {"destroy_qp", {id}},
    {"create_srq", {id}},
    {"destroy_srq", {id}},
    {"modify_qp", {id, queue_state}},
    {"reregister", {id}},
    {"post_recv", {id, work}},
    {"post_send", {id, work}},
    {"poll", {id}},
    {"cq_event", {id}},
    {"attach", {id, address}},
    {"detach", {id, address}},
    {"ece", {id}},
    {"ports", {id}},
    {"getaddrinfo", {address, port, space}},
    {"devices", {}},
}};

// The words of a line, without its comment.
std::vector<std::string_view> words_of(std::string_view line) {
  line = line.substr(0, line.find('#'));
  std::vector<std::string_view> words;
  for (std::size_t at = 0; (at = line.find_first_not_of(" \t\r", at)) != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(" \t\r", at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

std::expected<Call, std::string> parse_call(std::span<const std::string_view> words) {
  const auto known = std::ranges::find(commands, words.front(), &Command::name);
  if (known == commands.end()) return std::unexpected(fmt::format("there is no call {}", words.front()));
  Call call{.op = static_cast<Op>(known - commands.begin())};
  const auto wanted =
      static_cast<std::size_t>(std::ranges::count_if(known->arguments, [](Kind k) { return k != none; }));
  if (words.size() != 1 + wanted) return std::unexpected(fmt::format("{} takes {} arguments", known->name, wanted));
  for (std::size_t i = 0; i < wanted; ++i) {
    const auto table = values(known->arguments[i]);
    const auto value = std::ranges::find(table, words[1 + i], &Value::name);
    if (value == table.end())
      return std::unexpected(fmt::format("{}: no such argument: {}", known->name, words[1 + i]));
    call.arguments[i] = static_cast<std::uint8_t>(value - table.begin());
  }
  return call;
}

std::string parse_line(std::span<const std::string_view> words, Program& program) {
  if (words.front() == "lossy" && words.size() == 1) {
    program.lossy = true;
    return {};
  }
  if (words.front() == "thread") {
    const bool good = words.size() == 2 && (words[1] == "near" || words[1] == "far");
    if (!good || program.threads.size() == threads_max)
      return fmt::format("expected thread near or far, at most {}", threads_max);
    program.threads.push_back({words[1] == "near" ? Side::near : Side::far, {}});
    return {};
  }
  const auto call = parse_call(words);
  if (!call) return call.error();
  if (program.threads.empty()) return "a call before the first thread";
  if (program.threads.back().calls.size() == calls_max) return fmt::format("more than {} calls in a thread", calls_max);
  program.threads.back().calls.push_back(*call);
  return {};
}

}  // namespace

std::span<const Value> values(Kind kind) {
  switch (kind) {
    case none: return {};
    case channel: return channels;
    case id: return ids;
    case member: return members;
    case address: return places;
    case port: return ports;
    case space: return spaces;
    case qp_type: return qp_types;
    case time: return times;
    case backlog: return backlogs;
    case length: return lengths;
    case qpn: return qpns;
    case depth: return depths;
    case reason: return reasons;
    case option: return settings;
    case target: return targets;
    case async_event: return async_events;
    case join_flags: return joins;
    case event: return events;
    case happening: return happenings;
    case queue: return queues;
    case queue_state: return queue_states;
    case work: return works;
  }
  return {};
}

bool has(Form form, Op op) {
  if (form == Form::commands) return op <= Op::pause;
  return op != Op::query_route && op != Op::set_qp;  // no program calls these: the library does
}

const Command& command(Op op) { return commands[static_cast<std::size_t>(op)]; }

std::int64_t Call::value(std::size_t argument) const {
  const auto table = values(command(op).arguments[argument]);
  return table[arguments[argument] % table.size()].value;
}

std::string text_of(const Call& call) {
  const Command& known = command(call.op);
  std::string text(known.name);
  for (std::size_t i = 0; i < arguments_max && known.arguments[i] != none; ++i) {
    const auto table = values(known.arguments[i]);
    text += fmt::format(" {}", table[call.arguments[i] % table.size()].name);
  }
  return text;
}

std::string text_of(const Program& program) {
  std::string text = program.lossy ? "lossy\n" : "";
  for (const Thread& thread : program.threads) {
    text += thread.side == Side::near ? "thread near\n" : "thread far\n";
    for (const Call& call : thread.calls) text += text_of(call) + '\n';
  }
  return text;
}

std::expected<Program, std::string> parse(std::string_view text) {
  Program program;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.empty()) continue;
    if (const std::string wrong = parse_line(words, program); !wrong.empty()) {
      return std::unexpected(fmt::format("line {}: {}", number, wrong));
    }
  }
  return program;
}

}  // namespace hawser::fuzz
