#include "ucm_commands.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "stage.hpp"

namespace hawser::scenarios {

using cma::Entry;

namespace {

template <class Call>
void start(UcmStage& stage, Entry entry, Call&& call) {
  stage.promises.started(entry, stage.command(std::forward<Call>(call)).has_value());
}

void create_id(UcmStage& stage) {
  const auto id = stage.near.ucm.create_id(stage.channel->file, 7, cma::PortSpace::tcp, cma::QpType::rc);
  if (id) (void)stage.near.ucm.bind(*stage.channel->file, *id, socket_address(stage.near.address, 0));
}
void destroy_id(UcmStage& stage) {
  const auto reported = stage.command([&](ucm::File& on) { return stage.near.ucm.destroy_id(on, stage.subject); });
  if (reported) stage.destroyed(*reported);
}
void bind(UcmStage& stage) {
  (void)stage.command(
      [&](ucm::File& on) { return stage.near.ucm.bind(on, stage.subject, socket_address(stage.near.address, 0)); });
}
void resolve_addr(UcmStage& stage) {
  const SocketAddress to = socket_address(stage.far.address, service_port);
  start(stage, Entry::resolve_addr,
        [&](ucm::File& on) { return stage.near.ucm.resolve_addr(on, stage.subject, nullptr, to, query_timeout); });
}
void resolve_route(UcmStage& stage) {
  start(stage, Entry::resolve_route,
        [&](ucm::File& on) { return stage.near.ucm.resolve_route(on, stage.subject, query_timeout); });
}
void resolve_service(UcmStage& stage) {
  start(stage, Entry::resolve_service,
        [&](ucm::File& on) { return stage.near.ucm.resolve_service(on, stage.subject, {.name = "s", .id = {}}); });
}
void query_route(UcmStage& stage) {
  (void)stage.command([&](ucm::File& on) { return stage.near.ucm.query_route(on, stage.subject); });
}
void query_services(UcmStage& stage) {
  (void)stage.command([&](ucm::File& on) { return stage.near.ucm.query_services(on, stage.subject); });
}
void connect(UcmStage& stage) {
  start(stage, Entry::connect,
        [&](ucm::File& on) { return stage.near.ucm.connect(on, stage.subject, with_qp(0x100)); });
}
void listen(UcmStage& stage) {
  (void)stage.command([&](ucm::File& on) { return stage.near.ucm.listen(on, stage.subject, 4); });
}
void accept(UcmStage& stage) {
  start(stage, Entry::accept,
        [&](ucm::File& on) { return stage.near.ucm.accept(on, stage.subject, 2, with_qp(0x200)); });
}
void accept_response(UcmStage& stage) {
  start(stage, Entry::accept, [&](ucm::File& on) { return stage.near.ucm.accept_response(on, stage.subject); });
}
void reject(UcmStage& stage) {
  start(stage, Entry::reject, [&](ucm::File& on) { return stage.near.ucm.reject(on, stage.subject, 0, {}); });
}
void disconnect(UcmStage& stage) {
  (void)stage.command([&](ucm::File& on) { return stage.near.ucm.disconnect(on, stage.subject); });
}
void init_qp_attr(UcmStage& stage) {
  (void)stage.command([&](ucm::File& on) { return stage.near.ucm.init_qp_attr(on, stage.subject, cm::QpTarget::rtr); });
}
void get_event(UcmStage& stage) { stage.fetch(); }

constexpr int level_id = 0, level_ib = 1;
void set_option(UcmStage& stage) {
  const int yes = 1;
  (void)stage.command([&](ucm::File& on) {
    return stage.near.ucm.set_option(on, stage.subject, level_id, 1, std::as_bytes(std::span(&yes, 1)));
  });
}
// OPTION_IB_PATH: one path record with the flags that make it usable and an MTU of 1024.
void set_path(UcmStage& stage) {
  std::array<std::byte, 72> data{};
  const std::uint32_t flags = 0x2B;
  std::memcpy(data.data(), &flags, sizeof(flags));
  data[8 + 54] = std::byte{0x83};
  (void)stage.command([&](ucm::File& on) { return stage.near.ucm.set_option(on, stage.subject, level_ib, 1, data); });
}
void notify(UcmStage& stage) {
  constexpr int communication_established = 4;
  start(stage, Entry::notify_established,
        [&](ucm::File& on) { return stage.near.ucm.notify(on, stage.subject, communication_established); });
}
void join_multicast(UcmStage& stage) {
  const auto membership = stage.command([&](ucm::File& on) {
    return stage.near.ucm.join_multicast(on, stage.subject, socket_address(stage_group, 0), 5, 0);
  });
  if (membership) stage.joined(*membership);
}
void leave_multicast(UcmStage& stage) {
  const std::optional<ucm::Handle> membership = stage.membership();
  if (!membership) return;
  const auto reported = stage.command([&](ucm::File& on) { return stage.near.ucm.leave_multicast(on, *membership); });
  if (reported) stage.left(*membership, *reported);
}
void migrate_id(UcmStage& stage) {
  (void)stage.near.ucm.migrate_id(stage.other->file, *stage.channel->file, stage.subject);
}
void write_event(UcmStage& stage) {
  (void)stage.command(
      [&](ucm::File& on) { return stage.near.ucm.write_event(on, stage.subject, 1, cma::EventType::user, 0, 7); });
}
void set_qp(UcmStage& stage) {
  (void)stage.command([&](ucm::File& on) { return stage.near.ucm.set_qp(on, stage.subject, Qpn(0x300), false); });
}
void close(UcmStage& stage) { stage.near.ucm.close(*stage.channel->file); }

constexpr int own = -1;
constexpr std::array all{
    Command{0, "create", create_id},
    Command{1, "destroy", destroy_id},
    Command{2, "bind", bind},
    Command{3, "resolve-addr", resolve_addr},
    Command{4, "resolve-route", resolve_route},
    Command{5, "query-route", query_route},
    Command{6, "connect", connect},
    Command{7, "listen", listen},
    Command{8, "accept", accept},
    Command{8, "accept-response", accept_response},
    Command{9, "reject", reject},
    Command{10, "disconnect", disconnect},
    Command{11, "init-qp-attr", init_qp_attr},
    Command{12, "get-event", get_event},
    Command{14, "set-option", set_option},
    Command{14, "set-path", set_path},
    Command{15, "notify", notify},
    Command{16, "join", join_multicast},
    Command{17, "leave", leave_multicast},
    Command{18, "migrate", migrate_id},
    Command{19, "query-services", query_services},
    Command{23, "resolve-service", resolve_service},
    Command{24, "write-event", write_event},
    Command{own, "set-qp", set_qp},
    Command{own, "close", close},
};

// 13 is not implemented, in the kernel neither; 20 to 22 are newer forms of 2, 3 and 16.
[[nodiscard]] consteval bool complete() {
  for (int number = 0; number <= 24; ++number) {
    if (number == 13 || (number >= 20 && number <= 22)) continue;
    if (std::ranges::find(all, number, &Command::number) == all.end()) return false;
  }
  return true;
}
static_assert(complete(), "a command of the user ABI has no row");

}  // namespace

std::span<const Command> commands() { return all; }

}  // namespace hawser::scenarios
