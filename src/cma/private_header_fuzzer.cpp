// libFuzzer: any private data of a REQ or SIDR_REQ; a header that is understood is written again as the same bytes.
#include <algorithm>

#include "base/assert.hpp"
#include "cma/private_header.hpp"

using namespace hawser;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> field(reinterpret_cast<const std::byte*>(data), size);
  const auto header = cma::PrivateHeader::parse(field);
  if (!header) return 0;
  HW_ASSERT(header->source.is_v4() || !header->v4, "fuzz-header-v4-source");
  const auto user_data = field.subspan(cma::private_header_bytes);
  const auto again = cma::with_private_header(*header, user_data, cma::sidr_req_user_data_bytes);
  HW_ASSERT(again.has_value() == (user_data.size() <= cma::sidr_req_user_data_bytes), "fuzz-header-size");
  if (!again) return 0;
  HW_ASSERT(cma::PrivateHeader::parse(*again) == header, "fuzz-header-changed");
  HW_ASSERT(std::ranges::equal(user_data, std::span(*again).subspan(cma::private_header_bytes)),
            "fuzz-header-user-data");
  return 0;
}
