#include "cma/private_header.hpp"

#include <gtest/gtest.h>

namespace hawser::cma {
namespace {

std::byte at(const std::vector<std::byte>& field, std::size_t i) { return field.at(i); }

TEST(PrivateHeaderTest, WritesTheFieldsWhereTheKernelReadsThem) {  // [spec 1.11.1, 1.11.3]
  const PrivateHeader header{
      .v4 = true, .source_port = 0x1234, .source = IpAddress::v4(0x0A000001), .destination = IpAddress::v4(0x0A000002)};
  const std::vector<std::byte> user{std::byte{0xAA}, std::byte{0xBB}};
  const auto field = with_private_header(header, user, req_user_data_bytes);
  ASSERT_TRUE(field);
  ASSERT_EQ(field->size(), 38U);
  EXPECT_EQ(at(*field, 0), std::byte{0});
  EXPECT_EQ(at(*field, 1), std::byte{0x40});
  EXPECT_EQ(at(*field, 2), std::byte{0x12});
  EXPECT_EQ(at(*field, 3), std::byte{0x34});
  for (std::size_t i = 4; i < 16; ++i) EXPECT_EQ(at(*field, i), std::byte{0}) << "no ::ffff here";
  EXPECT_EQ(at(*field, 16), std::byte{0x0A});
  EXPECT_EQ(at(*field, 19), std::byte{1});
  EXPECT_EQ(at(*field, 35), std::byte{2});
  EXPECT_EQ(at(*field, 37), std::byte{0xBB});
  EXPECT_EQ(*PrivateHeader::parse(*field), header);
}

TEST(PrivateHeaderTest, Ipv6IsCopiedVerbatim) {
  const PrivateHeader header{.v4 = false,
                             .source_port = 1,
                             .source = *IpAddress::parse("fd00::1"),
                             .destination = *IpAddress::parse("fd00::2")};
  const auto field = with_private_header(header, {}, req_user_data_bytes);
  ASSERT_TRUE(field);
  EXPECT_EQ(at(*field, 1), std::byte{0x60});
  EXPECT_EQ(at(*field, 4), std::byte{0xFD});
  EXPECT_EQ(*PrivateHeader::parse(*field), header);
}

TEST(PrivateHeaderTest, RefusesWhatDoesNotFitOrIsNotOurs) {  // [spec 1.11.2, 4 #19]
  EXPECT_TRUE(with_private_header({}, std::vector<std::byte>(56), req_user_data_bytes));
  EXPECT_EQ(errno_of(with_private_header({}, std::vector<std::byte>(57), req_user_data_bytes)), EINVAL);
  EXPECT_EQ(errno_of(with_private_header({}, std::vector<std::byte>(255), req_user_data_bytes)), EINVAL)
      << "[spec 4 #19]";
  EXPECT_TRUE(with_private_header({}, std::vector<std::byte>(180), sidr_req_user_data_bytes));
  EXPECT_EQ(errno_of(with_private_header({}, std::vector<std::byte>(181), sidr_req_user_data_bytes)), EINVAL);
  std::vector<std::byte> field =
      *with_private_header({.v4 = true, .source_port = 1, .source = {}, .destination = {}}, {}, req_user_data_bytes);
  EXPECT_TRUE(PrivateHeader::parse(field));
  EXPECT_EQ(errno_of(PrivateHeader::parse(std::span(field).first(35))), EINVAL);
  field[0] = std::byte{1};
  EXPECT_EQ(errno_of(PrivateHeader::parse(field)), EINVAL) << "version";
  field[0] = std::byte{0};
  field[1] = std::byte{0x50};
  EXPECT_EQ(errno_of(PrivateHeader::parse(field)), EINVAL) << "IP version";
}

}  // namespace
}  // namespace hawser::cma
