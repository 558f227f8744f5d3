// Between scatter/gather lists and packets. Memory is looked up when it is touched, never kept (QpHost). Private to the
// room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "roce/qp_host.hpp"
#include "roce/work.hpp"

namespace hawser::roce {

[[nodiscard]] std::uint64_t total_bytes(const SgeList& sges);

// Copies the bytes that start `offset` bytes into the list to `out`. False if some of the memory may not be read.
[[nodiscard]] bool gather(QpHost& host, const SgeList& sges, std::uint64_t offset, std::span<std::byte> out);

// Copies `data` into the list, `offset` bytes behind its start. The caller has checked that it fits. False if some of
// the memory may not be written; nothing says how much has been.
[[nodiscard]] bool scatter(QpHost& host, const SgeList& sges, std::uint64_t offset, std::span<const std::byte> data);

}  // namespace hawser::roce
