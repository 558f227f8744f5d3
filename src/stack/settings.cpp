#include "stack/settings.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/log.hpp"

namespace hawser::stack {
namespace {

// `value` stays as it is when the variable is not set or empty.
Status read_number(const Environment& environment, const char* name, std::uint8_t max, std::uint8_t& value) {
  const char* const text = environment(name);
  if (text == nullptr || *text == '\0') return {};
  const std::string_view view(text);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), number);
  if (error != std::errc() || end != view.data() + view.size() || number > max) {
    log::error("{}=\"{}\" is not a number from 0 to {}", name, text, max);
    return fail(EINVAL);
  }
  value = static_cast<std::uint8_t>(number);
  return {};
}

}  // namespace

Environment process_environment() {
  return [](const char* name) { return std::getenv(name); };  // NOLINT(concurrency-mt-unsafe): nobody sets them
}

// [spec 1.14.5, 1.14.6]
Result<cma::RequestTiming> request_timing(const Environment& environment) {
  cma::RequestTiming timing;
  std::uint8_t report = 0;
  if (Status read =
          read_number(environment, "HAWSER_CM_RESPONSE_TIMEOUT", cma::response_timeout_max, timing.response_timeout);
      !read) {
    return fail(read.error());
  }
  if (Status read = read_number(environment, "HAWSER_CM_RETRIES", cma::retries_max, timing.retries); !read) {
    return fail(read.error());
  }
  if (Status read = read_number(environment, "HAWSER_CM_REPORT_UNREACHABLE", 1, report); !read) {
    return fail(read.error());
  }
  timing.report_unreachable = report != 0;
  return timing;
}

}  // namespace hawser::stack
