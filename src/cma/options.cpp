// Options of an id [spec 1.14]; states and errnos as [spec 1.4].
#include "cma/core.hpp"
#include "cma/id.hpp"

namespace hawser::cma {

// [spec 1.4.34, 3.3 B]
Status Id::set_reuse_address(bool reuse) {
  Entered entered(contract_, Entry::set_option, HW_CALL_SITE);
  // One snapshot decides [spec 3.4 I7]; a listen that slips in between is caught by the arbiter, which is where the
  // flag counts once a port is bound [spec 3.3 I4].
  const State now = state();
  if (now == State::listen || (now != State::idle && !reuse)) {
    return refusal(EINVAL, Entry::set_option, Rule::not_listening);
  }
  if (Status changed = set_port_option(PortOption::reuse, reuse); !changed) return changed;
  rt::Lock lock(data_mutex_);
  options_.reuse_address = reuse;
  return {};
}

// Others are held against what the arbiter knows of a bound port [spec 1.8.4].
Status Id::set_port_option(PortOption option, bool value) {
  PortHandle port = 0;
  {
    rt::Lock lock(data_mutex_);
    port = port_;
  }
  return port == 0 ? Status() : core_.services.ports.set_option(port, option, value);
}

// [spec 1.4.35]
Status Id::set_af_only(bool only) {
  Entered entered(contract_, Entry::set_option, HW_CALL_SITE);
  const State now = state();
  if (now != State::idle && now != State::addr_bound) {
    return refusal(EINVAL, Entry::set_option, Rule::idle_or_bound);
  }
  if (Status changed = set_port_option(PortOption::v6_only, only); !changed) return changed;
  rt::Lock lock(data_mutex_);
  options_.v6_only = only;
  return {};
}

// [spec 1.4.36, 4 #17]
Status Id::set_service_type(std::uint8_t tos) {
  Entered entered(contract_, Entry::set_option, HW_CALL_SITE);
  rt::Lock lock(data_mutex_);
  options_.service_type = tos;
  return {};
}

// [spec 1.4.37]
Status Id::set_ack_timeout(std::uint8_t timeout) {
  Entered entered(contract_, Entry::set_option, HW_CALL_SITE);
  if (qp_type_ != QpType::rc && qp_type_ != QpType::xrc_ini) {
    return refusal(EINVAL, Entry::set_option, Rule::wrong_qp_type);
  }
  rt::Lock lock(data_mutex_);
  options_.ack_timeout = timeout;
  return {};
}

// [spec 1.4.38]
Status Id::set_min_rnr_timer(std::uint8_t timer) {
  Entered entered(contract_, Entry::set_option, HW_CALL_SITE);
  if (timer > 31) return refusal(EINVAL, Entry::set_option, Rule::rnr_timer_range);
  if (qp_type_ != QpType::rc && qp_type_ != QpType::xrc_tgt) {
    return refusal(EINVAL, Entry::set_option, Rule::wrong_qp_type);
  }
  rt::Lock lock(data_mutex_);
  options_.min_rnr_timer = timer;
  return {};
}

// [spec 1.14.5]
Status Id::set_response_timeout(std::uint8_t timeout) {
  Entered entered(contract_, Entry::set_option, HW_CALL_SITE);
  if (timeout > response_timeout_max) return fail(EINVAL);
  rt::Lock lock(data_mutex_);
  options_.response_timeout = timeout;
  return {};
}

Status Id::set_retries(std::uint8_t retries) {
  Entered entered(contract_, Entry::set_option, HW_CALL_SITE);
  if (retries > retries_max) return fail(EINVAL);
  rt::Lock lock(data_mutex_);
  options_.retries = retries;
  return {};
}

// [spec 1.14.6]
Status Id::set_report_unreachable(bool report) {
  Entered entered(contract_, Entry::set_option, HW_CALL_SITE);
  rt::Lock lock(data_mutex_);
  options_.report_unreachable = report;
  return {};
}

// [spec 1.14.5, 1.14.6]
RequestTiming Id::request_timing() const {
  const RequestTiming& standard = core_.services.timing;
  rt::Lock lock(data_mutex_);
  return {.response_timeout = options_.response_timeout.value_or(standard.response_timeout),
          .retries = options_.retries.value_or(standard.retries),
          .report_unreachable = options_.report_unreachable.value_or(standard.report_unreachable)};
}

// [spec 1.8.7]
bool Id::v6_only(const SocketAddress& source) const {
  if (source.family == Family::inet) return true;
  {
    rt::Lock lock(data_mutex_);
    if (options_.v6_only) return *options_.v6_only;
  }
  return core_.services.network.bind_v6_only();
}

}  // namespace hawser::cma
