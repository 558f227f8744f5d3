#include "agent/counters.hpp"

namespace hawser::agent {
namespace {

struct Field {
  const char* group;
  const char* name;
  std::uint64_t (*value)(const ProcessCounters& counters);
};

// The place in this list is the place in the block: a change of it is a new protocol_version.
constexpr std::array counter_fields{
    Field{"fabric", "sent", [](const ProcessCounters& c) { return c.fabric.sent; }},
    Field{"fabric", "received", [](const ProcessCounters& c) { return c.fabric.received; }},
    Field{"fabric", "truncated", [](const ProcessCounters& c) { return c.fabric.truncated; }},
    Field{"fabric", "send failed", [](const ProcessCounters& c) { return c.fabric.send_failed; }},
    Field{"fabric", "fault drops", [](const ProcessCounters& c) { return c.fabric.fault_dropped; }},
    Field{"fabric", "fault duplicates", [](const ProcessCounters& c) { return c.fabric.fault_duplicated; }},
    Field{"packets", "received", [](const ProcessCounters& c) { return c.packets.datagrams; }},
    Field{"packets", "malformed", [](const ProcessCounters& c) { return c.packets.malformed; }},
    Field{"packets", "bad ICRC", [](const ProcessCounters& c) { return c.packets.bad_icrc; }},
    Field{"packets", "bad P_Key", [](const ProcessCounters& c) { return c.packets.bad_pkey; }},
    Field{"packets", "unknown QP", [](const ProcessCounters& c) { return c.packets.unknown_qp; }},
    Field{"packets", "unknown address", [](const ProcessCounters& c) { return c.packets.unknown_address; }},
    Field{"packets", "misdirected", [](const ProcessCounters& c) { return c.packets.misdirected; }},
    Field{"packets", "unknown group", [](const ProcessCounters& c) { return c.packets.unknown_group; }},
    Field{"packets", "bad Q_Key", [](const ProcessCounters& c) { return c.packets.bad_qkey; }},
    Field{"packets", "no receive", [](const ProcessCounters& c) { return c.packets.no_receive; }},
    Field{"packets", "too long", [](const ProcessCounters& c) { return c.packets.too_long; }},
    Field{"packets", "wrong transport", [](const ProcessCounters& c) { return c.packets.wrong_transport; }},
    Field{"packets", "sends too long", [](const ProcessCounters& c) { return c.packets.sends_too_long; }},
    Field{"cm", "REQs sent", [](const ProcessCounters& c) { return c.cm.req_sent; }},
    Field{"cm", "REQs received", [](const ProcessCounters& c) { return c.cm.req_received; }},
    Field{"cm", "REQ retransmissions", [](const ProcessCounters& c) { return c.cm.req_retransmitted; }},
    Field{"cm", "REP retransmissions", [](const ProcessCounters& c) { return c.cm.rep_retransmitted; }},
    Field{"cm", "DREQ retransmissions", [](const ProcessCounters& c) { return c.cm.dreq_retransmitted; }},
    Field{"cm", "malformed", [](const ProcessCounters& c) { return c.cm.malformed; }},
    Field{"cm", "unmatched", [](const ProcessCounters& c) { return c.cm.unmatched; }},
    Field{"cm", "duplicates", [](const ProcessCounters& c) { return c.cm.duplicates; }},
    Field{"cm", "stale", [](const ProcessCounters& c) { return c.cm.stale; }},
    Field{"cm", "rejects sent", [](const ProcessCounters& c) { return c.cm.rejects_sent; }},
    Field{"cm", "dropped for a full queue", [](const ProcessCounters& c) { return c.cm.dropped_queue_full; }},
    Field{"cm", "window waits", [](const ProcessCounters& c) { return c.cm.window_waits; }},
    Field{"cm", "SIDR_REQs sent", [](const ProcessCounters& c) { return c.cm.sidr_req_sent; }},
    Field{"cm", "SIDR_REQs received", [](const ProcessCounters& c) { return c.cm.sidr_req_received; }},
    Field{"cm", "SIDR_REQ retransmissions", [](const ProcessCounters& c) { return c.cm.sidr_req_retransmitted; }},
    Field{"faults", "dropped", [](const ProcessCounters& c) { return c.faults.dropped; }},
    Field{"faults", "delayed", [](const ProcessCounters& c) { return c.faults.delayed; }},
    Field{"faults", "duplicated", [](const ProcessCounters& c) { return c.faults.duplicated; }},
};
static_assert(counter_fields.size() <= ledger_counters_max);

}  // namespace

CounterBlock to_block(const ProcessCounters& counters) {
  CounterBlock block{};
  for (std::size_t i = 0; i < counter_fields.size(); ++i) block[i] = counter_fields[i].value(counters);
  return block;
}

std::vector<NamedCount> process_counts(const CounterBlock& block) {
  std::vector<NamedCount> counts;
  counts.reserve(counter_fields.size());
  for (std::size_t i = 0; i < counter_fields.size(); ++i)
    counts.push_back({counter_fields[i].group, counter_fields[i].name, block[i]});
  return counts;
}

}  // namespace hawser::agent
