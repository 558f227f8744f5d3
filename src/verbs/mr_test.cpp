#include "verbs/mr.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <set>
#include <thread>

#include <gtest/gtest.h>

namespace hawser::verbs {
namespace {

namespace rights = roce::access;

class MemoryTableTest : public testing::Test {
 protected:
  MemoryRegion* add(std::uint32_t access, std::uint64_t iova = 0x1000) {
    return *table.add(pd, bytes.data(), bytes.size(), iova, access);
  }

  std::unique_ptr<rt::World> world = rt::World::simulated(3);
  MemoryTable table{*world};
  std::shared_ptr<Pd> pd = std::make_shared<Pd>();
  std::array<std::byte, 100> bytes{};
};

TEST_F(MemoryTableTest, AKeyOpensItsRangeWithItsRightsInItsDomainOnly) {
  MemoryRegion* region = add(rights::local_write | rights::remote_read);
  const Pd other;
  const auto opens = [&](std::uint64_t at, std::uint32_t length, std::uint32_t needs, const Pd& domain) {
    MemoryRegion* pinned = table.pin(region->rkey, domain, at, length, needs);
    if (pinned != nullptr) table.unpin({&pinned, 1});
    return pinned != nullptr;
  };
  EXPECT_TRUE(opens(0x1000, 100, rights::remote_read, *pd));
  EXPECT_TRUE(opens(0x1063, 1, rights::remote_read, *pd));
  EXPECT_FALSE(opens(0x1064, 1, rights::remote_read, *pd));
  EXPECT_FALSE(opens(0x0FFF, 1, rights::remote_read, *pd));
  EXPECT_FALSE(opens(0x1000, 101, rights::remote_read, *pd));
  EXPECT_FALSE(opens(~0ULL, 2, rights::remote_read, *pd));
  EXPECT_FALSE(opens(0x1000, 1, rights::remote_write, *pd));
  EXPECT_FALSE(opens(0x1000, 1, rights::remote_read, other));
  EXPECT_EQ(table.pin(LKey(region->rkey.value), *pd, 0x1000, 1, 0), nullptr);
  EXPECT_EQ(table.pin(RKey(region->lkey.value), *pd, 0x1000, 1, rights::remote_read), nullptr);
  table.remove(region);
  EXPECT_EQ(pd->users.load(), 0U);
}

TEST_F(MemoryTableTest, LocalRegionsHaveNoRemoteKeyAndStaleKeysOpenNothing) {
  MemoryRegion* region = add(rights::local_write);
  EXPECT_EQ(region->rkey, RKey());
  EXPECT_EQ(table.pin(RKey(), *pd, 0x1000, 1, 0), nullptr);
  const LKey stale = region->lkey;
  table.remove(region);
  EXPECT_EQ(table.pin(stale, *pd, 0x1000, 1, 0), nullptr);
  EXPECT_EQ(table.pin(LKey(0xFFFFFFFF), *pd, 0x1000, 1, 0), nullptr);
}

TEST_F(MemoryTableTest, KeysAreDistinctAndSlotsAreUsedAgain) {
  std::set<std::uint32_t> keys;
  for (int round = 0; round < 1000; ++round) {
    MemoryRegion* region = add(rights::local_write);
    keys.insert(region->lkey.value);
    EXPECT_LT(region->lkey.value >> 12, 100U);
    table.remove(region);
  }
  EXPECT_GT(keys.size(), 990U);
}

TEST_F(MemoryTableTest, RefusesRightsThatMakeNoSense) {
  const auto error = [&](std::uint32_t access, std::size_t length = 10) {
    return errno_of(table.add(pd, bytes.data(), length, 0, access));
  };
  EXPECT_EQ(error(rights::remote_write), EINVAL);
  EXPECT_EQ(error(rights::remote_atomic), EINVAL);
  EXPECT_EQ(error(access::on_demand), EINVAL);
  EXPECT_EQ(error(1U << 10), EINVAL);
  EXPECT_EQ(error(0, 0), EINVAL);
  EXPECT_EQ(errno_of(table.add(pd, bytes.data(), ~std::size_t{0}, 0, 0)), EINVAL);
}

TEST_F(MemoryTableTest, RefusesMemoryThatIsNotThereOrNotWritable) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  auto* map =
      static_cast<std::byte*>(mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(map, MAP_FAILED);
  munmap(map + 2 * page, page);
  mprotect(map + page, page, PROT_READ);
  const auto error = [&](std::byte* at, std::size_t length, std::uint32_t access) {
    const auto region = table.add(pd, at, length, 0, access);
    if (region) table.remove(*region);
    return errno_of(region);
  };
  EXPECT_EQ(error(map, page, rights::local_write), 0);
  EXPECT_EQ(error(map, 2 * page, 0), 0);
  EXPECT_EQ(error(map, page + 1, rights::local_write), EFAULT);
  EXPECT_EQ(error(map, 2 * page + 1, 0), EFAULT);
  EXPECT_EQ(error(map + 2 * page, 1, 0), EFAULT);
  EXPECT_EQ(error(nullptr, 1, 0), EFAULT);
  munmap(map, 2 * page);
}

TEST_F(MemoryTableTest, RemovalWaitsForPins) {
  MemoryRegion* region = add(rights::local_write);
  MemoryRegion* pinned = table.pin(region->lkey, *pd, 0x1000, 1, 0);
  ASSERT_EQ(pinned, region);
  const LKey key = region->lkey;
  std::atomic<bool> removed{false};
  std::thread remover([&] {
    table.remove(region);
    removed = true;
  });
  for (MemoryRegion* again = pinned; again != nullptr;) {  // until the remover has made it unfindable
    again = table.pin(key, *pd, 0x1000, 1, 0);
    if (again != nullptr) table.unpin({&again, 1});
  }
  EXPECT_FALSE(removed);
  table.unpin({&pinned, 1});
  remover.join();
  EXPECT_TRUE(removed);
}

}  // namespace
}  // namespace hawser::verbs
