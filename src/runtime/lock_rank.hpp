// The one lock order of the system, outer to inner [spec 2.1]. A thread may take a mutex only if its rank is greater
// than that of every mutex it holds; the single exception is handler under handler (a listener's, then its child's),
// which is taken with lock_nested(). Checked builds verify it at every acquisition [spec 2.1.1].
#pragma once

#include <cstdint>

namespace hawser::rt {

enum class LockRank : std::uint8_t {
  program_id = 3,      // abi: an id as librdmacm keeps it
  process = 5,         // abi: the process-wide Stack
  device_change = 8,   // verbs: one change of the device list at a time, observers included
  user_id = 10,        // ucm: serialises the entry points of one user id
  handler = 20,        // cma: id's handler_mutex
  cma_global = 30,     // cma: devices, id lists, listen lists
  port_space = 35,     // cma: port tables
  options = 40,        // cma: options of an id (qp_mutex)
  program = 45,        // api: what objects of a C++ program share with their handlers
  ucm_channel = 50,    // ucm: event queue of a channel
  ucm_table = 55,      // ucm: user handles
  cm_connection = 60,  // cm: one connection
  cm_tables = 70,      // cm: tables by id, service, remote endpoint
  cm_window = 75,      // cm: outstanding MADs
  cm_faults = 78,      // cm: what happens to MADs on their way out
  net_faults = 79,     // addr: what the network is made to say
  addr = 80,           // addr: pending requests, network view
  dispatcher = 90,     // runtime: deferred work and timers
  device_table = 100,  // verbs: devices and GIDs
  verbs_object = 110,  // verbs: object tables
  qp = 120,            // verbs: one queue pair
  srq = 125,           // verbs: one shared receive queue
  cq = 130,            // verbs: one completion queue
  comp_channel = 140,  // verbs: one completion channel, one async event queue
  memory = 150,        // verbs: memory regions
  agent_client = 160,  // agent: requests to the daemon
  agent_event = 165,   // agent: its event channel, what is known of peers
  ledger = 170,        // agent: the process's connection ledger
  engine = 180,        // stack: who progresses
  fabric = 200,        // fabric: sockets, simulated network
  state = 250,         // cma: state of an id (leaf)
};

}  // namespace hawser::rt
