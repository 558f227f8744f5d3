#include "abi/rdmacm/acknowledgements.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "abi/rdmacm/support.hpp"
#include "base/call_site.hpp"
#include "base/log.hpp"
#include "cm/ledger.hpp"
#include "cma/state.hpp"

namespace hawser::abi::rdmacm {
namespace {

constexpr auto silent_wait = std::chrono::seconds(1);

std::string describe(const CmEvent& event) {
  const char* const name = cma::name(event.type());
  std::string what = fmt::format("event {} ({}) of id {} ({})", name, fmt::ptr(&event.pub), event.owner->handle,
                                 fmt::ptr(&event.owner->pub));
  if (event.fetched.number == 0) return what;
  return fmt::format("{}, which thread {} fetched by rdma_get_cm_event called at {},", what, event.fetched.thread,
                     site_text(event.fetched.site));
}

// In the order in which they were fetched. Those of synchronous calls are the library's to acknowledge.
std::vector<std::shared_ptr<CmEvent>> unacknowledged() {
  auto events = Process::current().events.list();
  std::erase_if(events, [](const auto& event) { return event->fetched.number == 0; });
  std::ranges::sort(events, {}, [](const auto& event) { return event->fetched.number; });
  return events;
}

// Nobody can acknowledge them any more. A forked child has none.
void report_at_exit() {
  constexpr std::size_t reports_max = 20;
  const auto events = unacknowledged();
  for (std::size_t i = 0; i < std::min(events.size(), reports_max); ++i) {
    log::error("contract: {} was never acknowledged: rdma_ack_cm_event is missing", describe(*events[i]));
  }
  if (events.size() > reports_max) log::error("contract: so were {} more events", events.size() - reports_max);
}

// What keeps an id from its end, for `hawser ids`.
cm::LedgerHold show_waiting(CmId& id, cma::EventType event) {
  const std::lock_guard own(id.own);
  auto hold = cm::hold_record(Process::current().stack().ledger());
  cm::update(hold.get(), [&](cm::LedgerRecord& record) {
    const auto source = SocketAddress::from(&id.pub.route.addr.src_addr);
    const auto destination = SocketAddress::from(&id.pub.route.addr.dst_addr);
    record.in_use = 1;
    record.cma_state = static_cast<std::uint8_t>(cma::State::destroying);
    record.qp_type = static_cast<std::uint8_t>(id.pub.qp_type);
    record.port_space = static_cast<std::uint16_t>(id.pub.ps);
    record.unacknowledged = static_cast<std::uint8_t>(static_cast<unsigned>(event) + 1);
    if (source) {
      record.source_family = static_cast<std::uint8_t>(source->family);
      record.source_port = source->port;
      std::ranges::copy(source->ip.bytes, record.source);
    }
    if (destination) {
      record.destination_family = static_cast<std::uint8_t>(destination->family);
      record.destination_port = destination->port;
      std::ranges::copy(destination->ip.bytes, record.destination);
    }
  });
  return hold;
}

[[nodiscard]] bool checked() { return Process::current().stack().cma().contract().watched(); }

}  // namespace

void note_fetched(CmEvent& event, const void* site) {
  if (!checked()) return;
  // The first of them arranges for the report.
  static rt::Atomic<std::uint64_t> fetched{0};
  [[maybe_unused]] static const int registered = std::atexit(report_at_exit);
  event.fetched = {.number = ++fetched, .thread = ::gettid(), .site = site};
}

// Waiting is no breach of anything: another thread may be about to acknowledge. So this accuses nobody.
void wait_for_acknowledgements(CmId& id, unsigned fetched, const char* call, const void* site) {
  const rt::World& world = Process::current().stack().world();
  if (id.acknowledged_by(fetched, world.now() + silent_wait)) return;
  const bool ends = std::string_view(call) == "rdma_destroy_id";
  cm::LedgerHold shown;
  for (const auto& event : Process::current().events.list()) {
    if (event->owner.get() != &id) continue;
    if (checked()) {
      log::warning("{} called at {} waits: {} is not acknowledged yet", call, site_text(site), describe(*event));
    } else {
      log::debug("{} waits: {} was fetched and is not acknowledged", call, describe(*event));
    }
    if (ends && shown == nullptr) shown = show_waiting(id, event->type());
  }
  id.wait_until_acknowledged(fetched);
}

}  // namespace hawser::abi::rdmacm
