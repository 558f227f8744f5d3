// Names and rates: pure functions.
#include <array>
#include <span>

#include "abi/verbs/verbs_header.hpp"

namespace {

template <std::size_t Count>
const char* name_of(const std::array<const char*, Count>& names, int value) {
  return value >= 0 && static_cast<std::size_t>(value) < Count ? names[static_cast<std::size_t>(value)] : "unknown";
}

struct Rate {
  ibv_rate rate;
  int multiple;  // of 2.5 Gb/s; -1 where it is none
  int mbps;
};

// IBTA 14.2.5.6 (PathRecord rates).
constexpr Rate rates[] = {
    {IBV_RATE_2_5_GBPS, 1, 2500},     {IBV_RATE_5_GBPS, 2, 5000},         {IBV_RATE_10_GBPS, 4, 10000},
    {IBV_RATE_20_GBPS, 8, 20000},     {IBV_RATE_30_GBPS, 12, 30000},      {IBV_RATE_40_GBPS, 16, 40000},
    {IBV_RATE_60_GBPS, 24, 60000},    {IBV_RATE_80_GBPS, 32, 80000},      {IBV_RATE_120_GBPS, 48, 120000},
    {IBV_RATE_14_GBPS, 6, 14062},     {IBV_RATE_56_GBPS, 22, 56250},      {IBV_RATE_112_GBPS, 45, 112500},
    {IBV_RATE_168_GBPS, 67, 168750},  {IBV_RATE_25_GBPS, 10, 25781},      {IBV_RATE_100_GBPS, 41, 103125},
    {IBV_RATE_200_GBPS, 82, 206250},  {IBV_RATE_300_GBPS, 124, 309375},   {IBV_RATE_28_GBPS, 11, 28125},
    {IBV_RATE_50_GBPS, 20, 50000},    {IBV_RATE_400_GBPS, 160, 400000},   {IBV_RATE_600_GBPS, 240, 600000},
    {IBV_RATE_800_GBPS, 320, 800000}, {IBV_RATE_1200_GBPS, 480, 1200000},
};

}  // namespace

extern "C" {

const char* ibv_wc_status_str(ibv_wc_status status) {
  static constexpr std::array names{"success",
                                    "local length error",
                                    "local QP operation error",
                                    "local EE context operation error",
                                    "local protection error",
                                    "work request flushed",
                                    "memory window bind error",
                                    "bad response",
                                    "local access error",
                                    "remote invalid request",
                                    "remote access error",
                                    "remote operation error",
                                    "transport retries exceeded",
                                    "receiver-not-ready retries exceeded",
                                    "local RDD violation",
                                    "remote invalid RD request",
                                    "operation aborted by the remote side",
                                    "invalid EE context number",
                                    "invalid EE context state",
                                    "fatal error",
                                    "response timed out",
                                    "general error",
                                    "tag matching error",
                                    "tag matching rendezvous incomplete"};
  return name_of(names, status);
}

const char* ibv_node_type_str(ibv_node_type type) {
  static constexpr std::array names{"unknown", "channel adapter", "switch",    "router",
                                    "RNIC",    "usNIC",           "usNIC UDP", "unspecified"};
  return name_of(names, type);
}

const char* ibv_port_state_str(ibv_port_state state) {
  static constexpr std::array names{"no state change", "down", "init", "armed", "active", "active (deferred)"};
  return name_of(names, state);
}

const char* ibv_event_type_str(ibv_event_type event) {
  static constexpr std::array names{"CQ error",
                                    "QP fatal error",
                                    "QP request error",
                                    "QP access error",
                                    "communication established",
                                    "send queue drained",
                                    "path migrated",
                                    "path migration failed",
                                    "device fatal error",
                                    "port active",
                                    "port error",
                                    "LID changed",
                                    "P_Key changed",
                                    "subnet manager changed",
                                    "SRQ error",
                                    "SRQ limit reached",
                                    "last WQE reached",
                                    "client reregistration",
                                    "GID table changed",
                                    "WQ fatal error"};
  return name_of(names, event);
}

int ibv_rate_to_mult(ibv_rate rate) {
  for (const Rate& r : rates) {
    if (r.rate == rate) return r.multiple;
  }
  return -1;
}

ibv_rate mult_to_ibv_rate(int multiple) {
  for (const Rate& r : rates) {
    if (r.multiple == multiple) return r.rate;
  }
  return IBV_RATE_MAX;
}

int ibv_rate_to_mbps(ibv_rate rate) {
  for (const Rate& r : rates) {
    if (r.rate == rate) return r.mbps;
  }
  return -1;
}

ibv_rate mbps_to_ibv_rate(int mbps) {
  for (const Rate& r : rates) {
    if (r.mbps == mbps) return r.rate;
  }
  return IBV_RATE_MAX;
}

}  // extern "C"
