// The walk through ucm: every command on every kind of user id. What it must answer is transcribed by hand from the
// specification; what an id may do in which of its own states is cma's walk [spec 2.8.1, 6.2].
#include <array>
#include <iostream>

#include "ucm/test_channels.hpp"

namespace hawser::ucm {
namespace {

// On which channel, and what is below. Each column of the table is one of these.
enum Kind : std::size_t { unknown, of_another_channel, ended, closed_below, without_device, with_device, kinds };
constexpr std::array<const char*, kinds> kind_names{"that never was",        "of another channel", "that has ended",
                                                    "whose device has gone", "without a device",   "with a device"};

struct Command {
  const char* name;
  std::array<int, kinds> expected;
  Status (*make)(Manager& ucm, const FilePtr& file, Handle id, const FilePtr& other);
};

template <class Value>
Status status_of(const Result<Value>& result) {
  if (!result) return fail(result.error());
  return {};
}

constexpr std::byte tos{0x20};
// Whether the command needs a device is said here, and all else by 2.8.1.
constexpr std::array<int, kinds> any{ENOENT, EINVAL, ENOENT, ENXIO, 0, 0};
constexpr std::array<int, kinds> on_needing_device{ENOENT, EINVAL, ENOENT, ENXIO, EINVAL, 0};

// NOLINTBEGIN(bugprone-unused-parameter)
constexpr Command commands[] = {
    {"bind", any, [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.bind(*f, id, {}); }},
    {"resolve_addr", any,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.resolve_addr(*f, id, nullptr, {}, {}); }},
    {"resolve_service", any,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.resolve_service(*f, id, {}); }},
    {"query_services", any,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return status_of(u.query_services(*f, id)); }},
    {"query_route", any,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return status_of(u.query_route(*f, id)); }},
    {"resolve_route", on_needing_device,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.resolve_route(*f, id, {}); }},
    {"connect", on_needing_device,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.connect(*f, id, {}); }},
    {"listen", any, [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.listen(*f, id, 1); }},
    {"accept", on_needing_device,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.accept(*f, id, 1, {}); }},
    {"accept_response", on_needing_device,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.accept_response(*f, id); }},
    {"reject", on_needing_device,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.reject(*f, id, 28, {}); }},
    {"disconnect", on_needing_device,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.disconnect(*f, id); }},
    {"init_qp_attr", on_needing_device,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) {
       return status_of(u.init_qp_attr(*f, id, cm::QpTarget::init));
     }},
    {"notify", on_needing_device,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.notify(*f, id, 4); }},
    {"set_option", any,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.set_option(*f, id, 0, 0, {&tos, 1}); }},
    {"join_multicast", on_needing_device,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) {
       return status_of(u.join_multicast(*f, id, {}, 1, 0));
     }},
    {"write_event", any,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) {
       return u.write_event(*f, id, 1, cma::EventType::user, 0, 0);
     }},
    {"set_qp", any,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return u.set_qp(*f, id, Qpn(5), false); }},
    {"migrate", any,
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr& to) { return status_of(u.migrate_id(to, *f, id)); }},
    // What is below may have gone: the user id is there until its owner destroys it [spec 2.8.2].
    {"destroy",
     {ENOENT, EINVAL, ENOENT, 0, 0, 0},
     [](Manager& u, const FilePtr& f, Handle id, const FilePtr&) { return status_of(u.destroy_id(*f, id)); }},
};
// NOLINTEND(bugprone-unused-parameter)

class UcmWalk : public UcmTest {
 protected:
  Handle make(Kind kind) {
    const auto [id, impl] = new_id(1);
    below_ = impl;
    switch (kind) {
      case unknown: return id + 1000;
      case ended: EXPECT_TRUE(ucm_.destroy_id(*file_, id)); break;
      case closed_below:
        impl->deliver(cma::EventType::device_removal);
        EXPECT_TRUE(dispatcher_.run());
        break;
      case without_device: impl->current_route.device = nullptr; break;
      default: break;
    }
    return id;
  }
  cma::Id* below_ = nullptr;
};

TEST_F(UcmWalk, EveryCommandOnEveryKindOfUserId) {
  std::size_t compared = 0;
  for (const Command& command : commands) {
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      SCOPED_TRACE(std::string(command.name) + " of an id " + kind_names[kind]);
      const Handle id = make(static_cast<Kind>(kind));
      const FilePtr& file = kind == of_another_channel ? other_ : file_;
      EXPECT_EQ(errno_of(command.make(ucm_, file, id, kind == of_another_channel ? file_ : other_)),
                command.expected[kind]);
      if (command.expected[kind] != 0 && kind != ended && kind != closed_below) {
        EXPECT_TRUE(below_->calls.empty()) << "what is refused does not reach the connection manager";
      }
      ++compared;
    }
  }
  std::cout << "ucm walk: " << compared << " cells compared, 0 open\n";
  EXPECT_EQ(compared, std::size(commands) * kinds);
}

}  // namespace
}  // namespace hawser::ucm
