// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/session.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/net/tcp.h"
#include "bgp/wire/message.h"

namespace margay::bench {
namespace {

using bgp::wire::Bytes;
using bgp::wire::Reader;

constexpr std::uint8_t kOpen = 1, kUpdate = 2, kNotification = 3, kKeepalive = 4;
constexpr std::uint8_t kAsPath = 2, kMpReach = 14, kExtendedLength = 0x10;
constexpr int kReadsAtOnce = 8;

// The second AS number of a path of four-byte numbers: whom the machine under test had it from.
std::uint32_t second_as(Bytes path) {
  Reader r(path);
  (void)r.u8();
  const unsigned n = r.u8();
  (void)r.u32();
  return n < 2 ? 0 : r.u32();
}

}  // namespace

Session::Session(World& world, const Group& group, std::uint32_t index)
    : world_(world),
      group_(group),
      address_(group.address.plus(index)),
      as_(group.as + group.as_step * index),
      routes_(routes_of(group, index, world.target_as, world.numbering)),
      present_(world.numbers / 64 + 1) {}

std::uint32_t Session::have_of(const Routes& others) const {
  std::uint32_t n = 0;
  for (std::uint32_t i = others.first; i < others.first + others.count; ++i) {
    n += (present_[i / 64] >> (i % 64) & 1U) != 0 ? 1U : 0U;
  }
  return n;
}

// --- the connection --------------------------------------------------------------------------

bool Session::connect() {
  auto made = net::tcp_socket(Family::v4, address_);
  if (!made) {
    std::fprintf(stderr, "%s\n", made.error().message().c_str());
    return false;
  }
  fd_ = std::move(*made);
  const int error = net::tcp_connect(fd_.get(), {world_.target, world_.port});
  if (error != 0 && error != EINPROGRESS) {
    fd_ = Fd();
    return false;
  }
  state_ = State::connecting;
  return true;
}

void Session::close() {
  if (up()) ++losses_;
  fd_ = Fd();
  state_ = State::down;
  watched_for_writing = false;
  partial_.clear();
  out_.clear();
  sent_ = queued_at_ = 0;
  queued_ = nullptr;
  std::fill(present_.begin(), present_.end(), 0);
  have_ = 0;
  world_.changed = true;
}

void Session::send_open() {
  bgp::wire::Open open;
  open.asn = Asn(as_);
  open.hold_time = world_.hold;
  open.id = RouterId(address_.v4_host_order());
  open.capabilities.multiprotocol = {bgp::wire::unicast(Family::v4)};
  open.capabilities.route_refresh = true;
  open.capabilities.as4 = Asn(as_);
  bgp::wire::Buffer bytes;
  bgp::wire::encode_open(bytes, open);
  state_ = State::open_sent;
  say(bytes);
}

void Session::keep_alive(double time) {
  if (!up() || time < next_keepalive_) return;
  next_keepalive_ = time + world_.hold / 3.0;
  bgp::wire::Buffer bytes;
  bgp::wire::encode_keepalive(bytes);
  say(bytes);
}

void Session::queue(const bgp::wire::Buffer& bytes) {
  queued_ = &bytes;
  queued_at_ = 0;
  (void)flush();
}

// Between whole runs of prepared bytes only: never into the middle of a message.
void Session::say(const bgp::wire::Buffer& bytes) {
  if (queued_at_ != 0 && queued_at_ < queued_size()) return;  // those keep the session alive too
  out_.insert(out_.end(), bytes.begin(), bytes.end());
  (void)flush();
}

bool Session::flush() {
  while (sent_ < out_.size()) {
    const long n = net::write_some(fd_.get(), Bytes(out_).subspan(sent_));
    if (n < 0) return n == -EAGAIN;
    sent_ += static_cast<std::size_t>(n);
  }
  out_.clear();
  sent_ = 0;
  while (queued_at_ < queued_size()) {
    const long n = net::write_some(fd_.get(), Bytes(*queued_).subspan(queued_at_));
    if (n < 0) return n == -EAGAIN;
    queued_at_ += static_cast<std::size_t>(n);
  }
  return true;
}

bool Session::on_writable() {
  if (state_ != State::connecting) return flush();
  if (net::socket_error(fd_.get()) != 0) return false;
  send_open();
  return true;
}

bool Session::on_readable(double time) {
  for (int i = 0; i < kReadsAtOnce; ++i) {
    const std::size_t before = partial_.size();
    std::copy(partial_.begin(), partial_.end(), world_.incoming.begin());
    const long n = net::read_some(fd_.get(), std::span(world_.incoming).subspan(before));
    if (n == -EAGAIN) return true;
    if (n <= 0) return false;
    partial_.assign(world_.incoming.begin(),
                    world_.incoming.begin() + static_cast<long>(before) + n);
    if (!consume(time)) return false;
    if (static_cast<std::size_t>(n) < world_.incoming.size() / 2) return true;
  }
  return true;
}

// --- messages --------------------------------------------------------------------------------

bool Session::consume(double time) {
  Bytes left = partial_;
  while (left.size() >= bgp::wire::kHeaderSize) {
    const std::size_t size = static_cast<std::size_t>(left[16]) << 8 | left[17];
    if (size < bgp::wire::kHeaderSize) return false;
    if (left.size() < size) break;
    const Bytes body = left.first(size).subspan(bgp::wire::kHeaderSize);
    if (!on_message(left[18], body, time)) return false;
    left = left.subspan(size);
  }
  partial_.erase(partial_.begin(), partial_.end() - static_cast<long>(left.size()));
  return true;
}

bool Session::on_message(std::uint8_t type, Bytes body, double time) {
  switch (type) {
    case kOpen: {
      bgp::wire::Buffer bytes;
      bgp::wire::encode_keepalive(bytes);
      state_ = State::open_confirm;
      say(bytes);
      return true;
    }
    case kKeepalive:
      if (state_ != State::open_confirm) return true;
      state_ = State::established;
      up_since_ = time;
      // Spread, so that they do not all come in the same moment for ever.
      next_keepalive_ = time + world_.hold / 3.0 * (0.5 + 0.5 * (address_.bytes()[3] % 97) / 97.0);
      world_.changed = true;
      return true;
    case kUpdate:
      return on_update(body, time);
    case kNotification:
      if (body.size() >= 2) {
        std::fprintf(stderr, "%s %s: notification %u.%u\n", group_.name.c_str(),
                     address_.to_string().c_str(), unsigned{body[0]}, unsigned{body[1]});
      }
      return false;
    default:
      return true;
  }
}

bool Session::on_update(Bytes body, double time) {
  ++updates_;
  Reader r(body);
  const Bytes withdrawn = r.take(r.u16());
  Reader attributes(r.take(r.u16()));
  if (!r.ok()) return false;
  on_prefixes(withdrawn, false, false);
  bool wanted = group_.expect_as == 0;
  while (!attributes.empty()) {
    const std::uint8_t flags = attributes.u8(), type = attributes.u8();
    const Bytes value =
        attributes.take((flags & kExtendedLength) != 0 ? attributes.u16() : attributes.u8());
    if (!attributes.ok()) return false;
    if (type == kAsPath && !wanted) wanted = second_as(value) == group_.expect_as;
    if (type == kMpReach && value.size() > 5)
      return false;  // IPv4 only, in the message's own field
  }
  on_prefixes(r.rest(), true, wanted);
  if (!withdrawn.empty() || !r.empty()) world_.last_update = time;
  return true;
}

void Session::on_prefixes(Bytes bytes, bool announced, bool present) {
  const std::uint8_t* p = bytes.data();
  const std::uint8_t* end = p + bytes.size();
  while (p < end) {
    const unsigned length = *p++;
    const unsigned octets = (length + 7) / 8;
    if (length > 32 || p + octets > end) return;
    std::uint32_t address = 0;
    for (unsigned i = 0; i < octets; ++i) address |= std::uint32_t{p[i]} << (24 - 8 * i);
    p += octets;
    announced ? ++announced_ : ++withdrawn_;
    if (const auto n = world_.numbering.number(length, address)) set(*n, present);
  }
}

void Session::set(std::uint32_t number, bool present) {
  if (number >= world_.numbers) return;
  std::uint64_t& word = present_[number / 64];
  const std::uint64_t bit = std::uint64_t{1} << (number % 64);
  if (((word & bit) != 0) == present) return;
  word ^= bit;
  present ? ++have_ : --have_;
  world_.changed = true;
}

}  // namespace margay::bench
