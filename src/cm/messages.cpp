#include "cm/messages.hpp"

#include <utility>

namespace hawser::cm {
namespace {

constexpr std::size_t body_at = 24;
constexpr std::uint8_t base_version = 1, class_cm = 0x07, class_version = 2, method_send = 0x03;

struct Envelope {
  std::uint8_t base_version{cm::base_version}, mgmt_class{class_cm}, class_version{cm::class_version},
      method{method_send};
  std::uint16_t attribute{};
  MadHeader header;

  template <class Io, class Self>
  static constexpr void describe(Io& io, Self& m) {
    io.field(0, 0, 8, m.base_version);
    io.field(1, 0, 8, m.mgmt_class);
    io.field(2, 0, 8, m.class_version);
    io.field(3, 0, 8, m.method);
    io.field(4, 0, 16, m.header.status);
    io.field(6, 0, 16, m.header.class_specific);
    io.field(8, 0, 64, m.header.tid);
    io.field(16, 0, 16, m.attribute);
    io.field(20, 0, 32, m.header.attribute_modifier);
  }
};

template <std::size_t I = 0>
bool decode_body(std::uint16_t attribute, std::span<const std::byte> bytes, Body& body) {
  if constexpr (I == std::variant_size_v<Body>) {
    return false;
  } else {
    using M = std::variant_alternative_t<I, Body>;
    if (attribute != std::to_underlying(M::attribute)) return decode_body<I + 1>(attribute, bytes, body);
    WireReader reader(bytes);
    M::describe(reader, body.emplace<M>());
    return true;
  }
}

}  // namespace

// [spec 5.2.1]
std::expected<Message, DecodeError> decode(const verbs::Mad& mad) {
  const std::span<const std::byte> bytes(mad);
  WireReader reader(bytes);
  Envelope envelope;
  Envelope::describe(reader, envelope);
  if (envelope.base_version != base_version) return std::unexpected(DecodeError::bad_base_version);
  if (envelope.mgmt_class != class_cm) return std::unexpected(DecodeError::bad_class);
  if (envelope.class_version != class_version) return std::unexpected(DecodeError::bad_class_version);
  if (envelope.method != method_send) return std::unexpected(DecodeError::bad_method);
  Message message{envelope.header, {}};
  if (!decode_body(envelope.attribute, bytes.subspan(body_at), message.body)) {
    return std::unexpected(DecodeError::unknown_attribute);
  }
  return message;
}

verbs::Mad encode(const MadHeader& header, const Body& body) {
  verbs::Mad mad{};
  const std::span<std::byte> bytes(mad);
  Envelope envelope;
  envelope.header = header;
  std::visit(
      [&]<class M>(const M& message) {
        envelope.attribute = std::to_underlying(M::attribute);
        WireWriter writer(bytes.subspan(body_at));
        M::describe(writer, message);
      },
      body);
  WireWriter writer(bytes);
  Envelope::describe(writer, std::as_const(envelope));
  return mad;
}

const char* name(Attribute attribute) {
  switch (attribute) {
    case Attribute::req: return "REQ";
    case Attribute::mra: return "MRA";
    case Attribute::rej: return "REJ";
    case Attribute::rep: return "REP";
    case Attribute::rtu: return "RTU";
    case Attribute::dreq: return "DREQ";
    case Attribute::drep: return "DREP";
    case Attribute::sidr_req: return "SIDR_REQ";
    case Attribute::sidr_rep: return "SIDR_REP";
    case Attribute::lap: return "LAP";
    case Attribute::apr: return "APR";
  }
  return "unknown";
}

}  // namespace hawser::cm
