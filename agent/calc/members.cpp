// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/members.h"

#include <algorithm>

namespace margay::calc {
namespace {

constexpr std::uint8_t kV6 = 64;  // added to the length byte of a packed IPv6 network

std::uint32_t meta_of(const model::SetMember& m, model::SetKind kind) {
  if (kind == model::SetKind::nets) return m.prefix.length();
  return std::uint32_t{m.protocol} << 16 | m.port;
}

MemberKey4 key4(const model::SetMember& m, model::SetKind kind) {
  return {m.prefix.addr().v4_host_order(), meta_of(m, kind)};
}

MemberKey6 key6(const model::SetMember& m, model::SetKind kind) {
  MemberKey6 key;
  std::ranges::copy(m.prefix.addr().bytes(), key.addr.begin());
  key.meta = meta_of(m, kind);
  return key;
}

model::SetMember member(const Ip& addr, std::uint32_t meta, model::SetKind kind) {
  if (kind == model::SetKind::nets) return {Prefix::containing(addr, meta), 0, 0};
  return {Prefix::host(addr), static_cast<std::uint8_t>(meta >> 16),
          static_cast<std::uint16_t>(meta & 0xffff)};
}

model::SetMember member(const MemberKey4& key, model::SetKind kind) {
  return member(Ip::v4(key.addr), key.meta, kind);
}
model::SetMember member(const MemberKey6& key, model::SetKind kind) {
  return member(Ip::v6(key.addr), key.meta, kind);
}

}  // namespace

void Members::add(const model::SetMember& m, model::SetKind kind) {
  if (m.prefix.family() == Family::v4) {
    v4_.add(key4(m, kind));
  } else {
    v6_.add(key6(m, kind));
  }
}

void Members::remove(const model::SetMember& m, model::SetKind kind) {
  if (m.prefix.family() == Family::v4) {
    v4_.remove(key4(m, kind));
  } else {
    v6_.remove(key6(m, kind));
  }
}

void Members::send_all(model::SetUpdate& out) {
  out.added.reserve(size());
  const auto add = [&](const auto& key) { out.added.push_back(member(key, out.kind)); };
  v4_.send_all(add);
  v6_.send_all(add);
}

void Members::send_changes(model::SetUpdate& out) {
  const auto put = [&](const auto& key, bool added) {
    (added ? out.added : out.removed).push_back(member(key, out.kind));
  };
  v4_.send_changes(put);
  v6_.send_changes(put);
}

std::vector<std::uint8_t> pack(std::span<const Prefix> nets) {
  std::vector<Prefix> sorted(nets.begin(), nets.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<std::uint8_t> out;
  for (const Prefix& net : sorted) {
    const bool v6 = net.family() == Family::v6;
    out.push_back(static_cast<std::uint8_t>(net.length() + (v6 ? kV6 : 0)));
    const auto bytes = net.addr().bytes();
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

std::vector<Prefix> unpack(std::span<const std::uint8_t> bytes) {
  std::vector<Prefix> out;
  while (!bytes.empty()) {
    const bool v6 = bytes[0] >= kV6;
    const std::size_t size = v6 ? 16 : 4;
    out.push_back(
        Prefix::containing(Ip::from_bytes(bytes.subspan(1, size)), bytes[0] - (v6 ? kV6 : 0U)));
    bytes = bytes.subspan(1 + size);
  }
  return out;
}

}  // namespace margay::calc
