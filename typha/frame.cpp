// SPDX-License-Identifier: Apache-2.0
#include "typha/frame.h"

#include <algorithm>

#include "base/result.h"

namespace margay::typha {
namespace {

// Field numbers and wire types of sync.proto, ready-made.
constexpr char kHeadKind = 0x08;         // SyncMessage.kind
constexpr char kHeadRevision = 0x10;     // SyncMessage.revision
constexpr char kHeadStoreId = 0x1a;      // SyncMessage.store_id
constexpr char kEntries = 0x22;          // SyncMessage.entries
constexpr char kHeadStaleMs = 0x28;      // SyncMessage.stale_ms
constexpr char kHeadStaleReason = 0x32;  // SyncMessage.stale_reason
constexpr char kHeadAge = 0x38;          // SyncMessage.age_us
constexpr char kEntryKey = 0x0a;         // Entry.key; always first
constexpr char kEntryRevision = 0x18;    // Entry.revision; always second
constexpr char kEntryValue = 0x12;       // Entry.value
constexpr char kEntryDeleted = 0x20;     // Entry.deleted
constexpr char kEntryMore = 0x28;        // Entry.more

constexpr std::size_t kMaxReason = 1024;
constexpr std::size_t kMaxKey = 4096;
constexpr std::size_t kMaxPart = kMaxBody - kMaxKey - 64;  // of a value, in one piece

void append_varint(std::string& out, std::uint64_t n) {
  while (n >= 0x80) {
    out.push_back(static_cast<char>((n & 0x7f) | 0x80));
    n >>= 7;
  }
  out.push_back(static_cast<char>(n));
}

std::uint64_t read_varint(std::string_view& in) {
  std::uint64_t n = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    MARGAY_ASSERT(!in.empty());
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    n |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return n;
  }
  MARGAY_ASSERT(!"varint of our own is too long");
  return 0;
}

void append_bytes(std::string& out, char tag, std::string_view bytes) {
  out.push_back(tag);
  append_varint(out, bytes.size());
  out += bytes;
}

void append_number(std::string& out, char tag, std::uint64_t n) {
  out.push_back(tag);
  append_varint(out, n);
}

void expect(std::string_view& in, char tag) {
  MARGAY_ASSERT(!in.empty() && in.front() == tag);
  in.remove_prefix(1);
}

std::string_view read_bytes(std::string_view& in) {
  const auto n = read_varint(in);
  MARGAY_ASSERT(n <= in.size());
  const auto bytes = in.substr(0, n);
  in.remove_prefix(n);
  return bytes;
}

std::string encode_piece(const datastore::Event& e, std::string_view part, bool more) {
  std::string entry;
  entry.reserve(e.key.size() + part.size() + 32);
  append_bytes(entry, kEntryKey, e.key);
  append_number(entry, kEntryRevision, e.revision.value());
  if (!part.empty()) append_bytes(entry, kEntryValue, part);
  if (e.deleted) append_number(entry, kEntryDeleted, 1);
  if (more) append_number(entry, kEntryMore, 1);
  std::string out;
  out.reserve(entry.size() + 8);
  append_bytes(out, kEntries, entry);
  return out;
}

}  // namespace

std::string encode_head(Kind kind, Revision revision, std::string_view store_id,
                        const Staleness& stale) {
  std::string head;
  append_number(head, kHeadKind, static_cast<std::uint64_t>(kind));
  if (revision.value() != 0) append_number(head, kHeadRevision, revision.value());
  if (!store_id.empty()) append_bytes(head, kHeadStoreId, store_id);
  MARGAY_ASSERT(head.size() <= kMaxHead);
  if (stale.ms != 0) {  // never with bodies
    append_number(head, kHeadStaleMs, stale.ms);
    append_bytes(head, kHeadStaleReason, std::string_view(stale.reason).substr(0, kMaxReason));
  }
  return head;
}

std::string encode_delta_head(Revision upto, std::chrono::microseconds age) {
  std::string head = encode_head(Kind::delta, upto);
  if (age.count() > 0) append_number(head, kHeadAge, static_cast<std::uint64_t>(age.count()));
  return head;
}

std::vector<std::string> encode_entry(const datastore::Event& e) {
  MARGAY_ASSERT(e.key.size() <= kMaxKey);
  std::vector<std::string> pieces;
  std::string_view rest = e.deleted ? std::string_view() : e.value;
  do {
    const auto part = rest.substr(0, kMaxPart);
    rest.remove_prefix(part.size());
    pieces.push_back(encode_piece(e, part, !rest.empty()));
  } while (!rest.empty());
  return pieces;
}

std::vector<Piece> pieces_of(std::string_view body) {
  std::vector<Piece> pieces;
  while (!body.empty()) {
    const char* begin = body.data();
    expect(body, kEntries);
    auto entry = read_bytes(body);
    expect(entry, kEntryKey);
    const auto key = read_bytes(entry);
    expect(entry, kEntryRevision);
    const Revision revision(read_varint(entry));
    pieces.push_back({key, {begin, static_cast<std::size_t>(body.data() - begin)}, revision});
  }
  return pieces;
}

Body after(const Body& body, Revision revision) {
  std::string rest;
  for (const auto& p : pieces_of(*body)) {
    if (p.revision > revision) rest += p.bytes;
  }
  return std::make_shared<const std::string>(std::move(rest));
}

}  // namespace margay::typha
