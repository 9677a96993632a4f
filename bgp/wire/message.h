// SPDX-License-Identifier: Apache-2.0
// BGP messages as values and their codec: bytes to messages and back, without sockets, clocks or
// exceptions. Decoding never reads past the span it is given, allocates nothing per prefix, and
// returns what RFC 7606 says to do about an error as data. Decoded spans point into the input.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "base/types.h"
#include "bgp/wire/attributes.h"
#include "bgp/wire/bytes.h"

namespace margay::bgp::wire {

inline constexpr std::size_t kHeaderSize = 19;
inline constexpr std::size_t kMaxMessage = 4096;
inline constexpr std::size_t kMaxExtendedMessage = 65535;  // RFC 8654
inline constexpr Asn kAsTrans{23456};

enum class MessageType : std::uint8_t {
  open = 1,
  update = 2,
  notification = 3,
  keepalive = 4,
  route_refresh = 5,
};

// Codes and subcodes of NOTIFICATION (RFC 4271 4.5, 4486, 6608, 7313, 5492, 9384).
namespace code {
inline constexpr std::uint8_t header = 1, open = 2, update = 3, hold = 4, fsm = 5, cease = 6,
                              refresh = 7;
}
namespace subcode {
inline constexpr std::uint8_t not_synchronized = 1, bad_length = 2, bad_type = 3;
inline constexpr std::uint8_t version = 1, bad_peer_as = 2, bad_identifier = 3, bad_parameter = 4,
                              hold_time = 6, capability = 7;
inline constexpr std::uint8_t malformed_list = 1, invalid_network = 10;
inline constexpr std::uint8_t in_open_sent = 1, in_open_confirm = 2, in_established = 3;
inline constexpr std::uint8_t max_prefixes = 1, shutdown = 2, deconfigured = 3, reset = 4,
                              rejected = 5, config_change = 6, collision = 7, resources = 8,
                              hard_reset = 9;
inline constexpr std::uint8_t refresh_length = 1;
}  // namespace subcode

struct Notification {
  std::uint8_t code = 0;
  std::uint8_t subcode = 0;
  std::vector<std::uint8_t> data;
  friend bool operator==(const Notification&, const Notification&) = default;
};
// BIRD's words: "Hold timer expired", "Administrative shutdown". Unknown: "Unknown error 9.3".
[[nodiscard]] std::string describe(const Notification& n);
// The operator's message of an administrative shutdown or reset (RFC 9003); empty: none.
[[nodiscard]] std::string shutdown_message(const Notification& n);
// An administrative shutdown with such a message, cut to the 255 bytes that fit.
[[nodiscard]] Notification shutdown_notification(std::string_view message);
// RFC 8538 3.1: the same wrapped into a Hard Reset, after which no routes are kept.
[[nodiscard]] Notification hard_reset(const Notification& n);
[[nodiscard]] bool is_hard_reset(const Notification& n);
// RFC 4486 4: which limit of which family was passed.
[[nodiscard]] Notification too_many_prefixes(Family family, std::uint32_t limit);

struct AfiSafi {
  std::uint16_t afi = 0;
  std::uint8_t safi = 0;
  friend bool operator==(const AfiSafi&, const AfiSafi&) = default;
};
[[nodiscard]] std::optional<Family> unicast_family(AfiSafi a);
[[nodiscard]] AfiSafi unicast(Family f);

struct GracefulRestart {
  bool restarting = false;    // R: the sender has restarted
  bool notification = false;  // N: RFC 8538
  std::uint16_t time = 0;     // seconds
  struct Entry {
    AfiSafi family;
    bool forwarding = false;  // F: its forwarding state survived
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::vector<Entry> families;
  friend bool operator==(const GracefulRestart&, const GracefulRestart&) = default;
};

struct AddPath {
  AfiSafi family;
  bool receive = false, send = false;
  friend bool operator==(const AddPath&, const AddPath&) = default;
};

// RFC 8950: routes of `family` may have next hops of another address family.
struct ExtendedNextHop {
  AfiSafi family;
  std::uint16_t next_hop_afi = 0;
  friend bool operator==(const ExtendedNextHop&, const ExtendedNextHop&) = default;
};

struct Capabilities {
  std::vector<AfiSafi> multiprotocol;
  bool route_refresh = false;
  bool enhanced_refresh = false;   // RFC 7313
  bool extended_messages = false;  // RFC 8654
  std::optional<Asn> as4;
  std::optional<GracefulRestart> graceful_restart;
  std::vector<AddPath> add_path;
  std::vector<ExtendedNextHop> extended_next_hop;
  friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

struct Open {
  std::uint8_t version = 4;
  Asn asn;  // the real one: of the capability when there is one
  std::uint16_t hold_time = 0;
  RouterId id;
  Capabilities capabilities;
  friend bool operator==(const Open&, const Open&) = default;
};

struct RouteRefresh {
  AfiSafi family;
  std::uint8_t subtype = 0;  // 0 refresh, 1 beginning, 2 end (RFC 7313)
  friend bool operator==(const RouteRefresh&, const RouteRefresh&) = default;
};

struct Keepalive {
  friend bool operator==(const Keepalive&, const Keepalive&) = default;
};

// --- UPDATE ----------------------------------------------------------------------------------

struct NlriEntry {
  Prefix prefix;
  std::uint32_t path_id = 0;
};

// A run of prefixes that has been checked: reading it cannot fail.
class Nlri {
 public:
  Nlri() = default;
  Nlri(Family family, bool add_path, Bytes bytes)
      : bytes_(bytes), family_(family), add_path_(add_path) {}
  [[nodiscard]] Family family() const { return family_; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  template <typename F>  // f(const NlriEntry&)
  void for_each(F&& f) const {
    for (Bytes left = bytes_; !left.empty();) f(next(left));
  }

 private:
  NlriEntry next(Bytes& left) const;
  Bytes bytes_;
  Family family_ = Family::v4;
  bool add_path_ = false;
};

struct DecodeContext {
  bool as4 = true;
  bool internal = false;                          // iBGP
  bool add_path_v4 = false, add_path_v6 = false;  // we receive path identifiers
};

// What must be done with an UPDATE, mildest first (RFC 7606 2); the worst of all errors counts.
enum class Treatment : std::uint8_t { none, attribute_discard, treat_as_withdraw, session_reset };

struct Update {
  // NLRI and next hop of the message's own fields are IPv4; those of MP_REACH/MP_UNREACH either.
  Nlri withdrawn, announced, mp_withdrawn, mp_announced;
  bool has_mp_reach = false;
  Ip mp_next_hop;
  std::optional<Ip> mp_link_local;
  Attributes attributes;  // next_hop: of `announced`
  std::optional<Family> end_of_rib;
  Treatment treatment = Treatment::none;
  std::uint8_t error_attribute = 0;  // type of the attribute that made it so
  Notification notification;         // with session_reset
};

[[nodiscard]] Update decode_update(Bytes body, const DecodeContext& context);

// --- messages --------------------------------------------------------------------------------

struct Frame {
  enum class Status { incomplete, complete, bad };
  Status status = Status::incomplete;
  MessageType type = MessageType::keepalive;
  Bytes body;
  std::size_t size = 0;       // of the whole message
  Notification notification;  // with bad
};
// The first message of a stream.
[[nodiscard]] Frame next_frame(Bytes stream, std::size_t max_size = kMaxMessage);

template <typename T>
using Decoded = std::variant<T, Notification>;  // a value, or how to end the session
[[nodiscard]] Decoded<Open> decode_open(Bytes body);
[[nodiscard]] Decoded<RouteRefresh> decode_route_refresh(Bytes body);
[[nodiscard]] Notification decode_notification(Bytes body);

void encode_open(Buffer& out, const Open& open);
void encode_keepalive(Buffer& out);
void encode_notification(Buffer& out, const Notification& n);
void encode_route_refresh(Buffer& out, const RouteRefresh& r);
void encode_end_of_rib(Buffer& out, Family family);

struct EncodeContext {
  bool as4 = true;
  bool add_path = false;
  std::size_t max_size = kMaxMessage;
};

// Writes UPDATEs of one family into a buffer, as few as the prefixes allow: a message is closed
// when it is full, when the attributes change, and by finish().
class UpdateWriter {
 public:
  UpdateWriter(Buffer& out, Family family, const EncodeContext& context);
  void withdraw(const Prefix& prefix, std::uint32_t path_id = 0);
  // Announcements that follow carry these attributes.
  void set_attributes(const Attributes& attributes);
  void announce(const Prefix& prefix, std::uint32_t path_id = 0);
  void finish();
  [[nodiscard]] std::size_t messages() const { return messages_; }
  // Prefixes that could not be sent because their attributes alone fill a message.
  [[nodiscard]] std::size_t oversized() const { return oversized_; }

 private:
  enum class Open { none, withdraw, announce };
  void open_withdraw();
  void open_announce();
  void put_prefix(const Prefix& prefix, std::uint32_t path_id);
  [[nodiscard]] std::size_t prefix_size(const Prefix& prefix) const;

  Buffer& out_;
  Family family_;
  EncodeContext context_;
  Open open_ = Open::none;
  bool mp_ = false;    // NLRI in MP_REACH/MP_UNREACH
  Buffer attributes_;  // encoded, without MP_REACH
  Buffer next_hop_;    // of MP_REACH
  std::size_t start_ = 0;
  std::size_t length_at_ = 0;  // where the length of the open field stands
  std::size_t messages_ = 0;
  std::size_t oversized_ = 0;
};

}  // namespace margay::bgp::wire
